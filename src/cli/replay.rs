//! `warmkey replay`: policies compared in virtual time, with the oracle beside them.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use crate::{
    replay::{self, Comparison, Conditions, Policy, Row, SCENARIOS, Scenario, Trace},
    sim,
};

/// What all synthetic agents ask for.
const MODEL: &str = "claude-sonnet-4-6";

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which one (`all` for all; an unknown name lists them)
    #[arg(long, value_name = "NAME", default_value = "team50")]
    scenario: String,
    /// Where chance comes from; several, separated by commas, are run one after the other
    #[arg(long, visible_alias = "seed", value_name = "N,..", value_delimiter = ',', default_value = "1")]
    seeds: Vec<u64>,
    /// Which ones, separated by commas; the oracle is run in any case
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    policies: Vec<String>,
    /// Print one JSON object a policy and seed
    #[arg(long)]
    json: bool,
    /// Write the figures to this file, too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Replay this trace instead, on the accounts of the scenario
    #[arg(long, value_name = "FILE", conflicts_with = "write_trace")]
    trace: Option<PathBuf>,
    /// Write the scenario's trace to this file, as it goes on one account without limits
    #[arg(long, value_name = "FILE")]
    write_trace: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let scenarios = scenarios(&args.scenario)?;
    let policies = policies(&args.policies)?;
    let model = sim::model(MODEL).ok_or_else(|| anyhow!("no such model: {MODEL}"))?;
    if let Some(path) = &args.write_trace {
        let [scenario] = scenarios[..] else { bail!("--write-trace: name one scenario") };
        let seed = args.seeds.first().copied().unwrap_or(1);
        return write_trace(&scenario.trace(model, seed), &scenario.conditions(), seed, path, out);
    }
    let mut csv = args.csv.as_deref().map(Csv::create).transpose()?;
    let mut valid = true;
    for scenario in scenarios {
        let conditions = scenario.conditions();
        let mut all = Vec::new();
        for &seed in &args.seeds {
            let (name, trace) = match &args.trace {
                Some(path) => (stem(path), read_trace(path)?),
                None => (scenario.name.to_owned(), scenario.trace(model, seed)),
            };
            let runs = policies.len() + usize::from(!policies.contains(&Policy::Oracle5m));
            let progress = Progress::new(format!("{name}, seed {seed}"), trace.requests() * runs);
            let tell = || progress.step();
            let compared = replay::compare(&name, (&trace, &conditions), seed, &policies, &tell);
            progress.clear();
            valid &= compared.invalid.is_empty();
            if let Some(csv) = &mut csv {
                csv.add(&compared)?;
            }
            if args.json {
                print_json(&compared, &policies, out)?;
            } else {
                print_table(&compared, scenario, &trace, out)?;
            }
            all.push(compared);
        }
        if all.len() > 1 && !args.json {
            print_mean(&all, out)?;
        }
    }
    if let Some(csv) = csv {
        csv.close()?;
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn scenarios(name: &str) -> anyhow::Result<Vec<&'static Scenario>> {
    if name == "all" {
        return Ok(SCENARIOS.iter().collect());
    }
    let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).chain(["all"]).collect();
    let found = replay::find(name).ok_or_else(|| unknown("scenario", name, &known))?;
    Ok(vec![found])
}

fn policies(names: &[String]) -> anyhow::Result<Vec<Policy>> {
    let known: Vec<&str> = Policy::ALL.iter().map(|policy| policy.label()).collect();
    let mut found = Vec::new();
    for name in names {
        let policy = Policy::find(name.trim()).ok_or_else(|| unknown("policy", name, &known))?;
        if !found.contains(&policy) {
            found.push(policy);
        }
    }
    Ok(if found.is_empty() { Policy::ALL.to_vec() } else { found })
}

fn unknown(what: &str, name: &str, known: &[&str]) -> anyhow::Error {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map_or_else(String::new, |(_, near)| format!(" (did you mean `{near}`?)"));
    anyhow!("unknown {what} `{name}`{hint}; known: {}", known.join(", "))
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "trace".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn read_trace(path: &Path) -> anyhow::Result<Trace> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    replay::read(BufReader::new(file)).map_err(|faults| anyhow!("{}:\n{faults}", path.display()))
}

fn write_trace(
    trace: &Trace,
    conditions: &Conditions,
    seed: u64,
    path: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let outcome = Policy::Oracle5m.run(trace, conditions, seed, &|| ());
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut file = BufWriter::new(file);
    replay::write(trace, &outcome.times, &mut file)?;
    file.flush()?;
    writeln!(out, "{} turns of {} agents: {}", trace.requests(), trace.agents.len(), path.display())?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(compared: &Comparison, asked: &[Policy], out: &mut dyn Write) -> anyhow::Result<()> {
    for row in compared.rows.iter().filter(|row| asked.contains(&row.policy)) {
        let outcome = &row.outcome;
        let object = json!({
            "scenario": compared.scenario,
            "seed": compared.seed,
            "policy": row.policy.label(),
            "hit_rate": outcome.hit_rate(),
            "cost_usd": outcome.cost.as_usd(),
            "cost_ratio": row.cost_ratio,
            "client_429": outcome.client_429,
            "wait_p50_s": outcome.wait(0.50),
            "wait_p99_s": outcome.wait(0.99),
            "client_5xx": outcome.client_5xx,
            "refused": outcome.refused,
            "spread_cv": row.spread,
            "requests": outcome.requests(),
            "input_tokens": outcome.usage.total_input(),
            "valid": compared.invalid.is_empty(),
            "invalid": compared.invalid,
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}

const HEAD: &str =
    "policy             hit rate  input cost  to oracle   client 429  wait p50  wait p99  spread";

fn print_table(
    compared: &Comparison,
    scenario: &Scenario,
    trace: &Trace,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let about = if compared.scenario == scenario.name {
        scenario.about.to_owned()
    } else {
        format!("on the accounts of {}", scenario.name)
    };
    writeln!(out, "{} (seed {}): {about}", compared.scenario, compared.seed)?;
    let tokens = trace.tokens() / 1_000_000;
    writeln!(out, "{} requests of {} agents, {tokens} Mtok input", trace.requests(), trace.agents.len())?;
    writeln!(out, "{HEAD}")?;
    for row in &compared.rows {
        writeln!(out, "{}", table_line(&Figures::of(row)))?;
    }
    for fault in &compared.invalid {
        writeln!(out, "INVALID: {fault}")?;
    }
    writeln!(out)?;
    Ok(())
}

/// What a line of the table shows.
struct Figures {
    policy: Policy,
    hits: f64,
    dollars: f64,
    ratio: f64,
    denied: f64,
    p50: f64,
    p99: f64,
    spread: f64,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(row: &Row) -> Self {
        Self {
            policy: row.policy,
            hits: row.outcome.hit_rate(),
            dollars: row.outcome.cost.as_usd(),
            ratio: row.cost_ratio,
            denied: row.outcome.client_429 as f64,
            p50: row.outcome.wait(0.50),
            p99: row.outcome.wait(0.99),
            spread: row.spread,
        }
    }
}

fn table_line(figures: &Figures) -> String {
    let spread = if figures.policy.is_bound() { "-".to_owned() } else { format!("{:.2}", figures.spread) };
    format!(
        "{:<18} {:>7.1}%  {:>10}  {:>8.3}x  {:>11.0}  {:>6.1} s  {:>6.1} s  {spread:>6}",
        figures.policy.label(),
        figures.hits * 100.0,
        format!("${:.2}", figures.dollars),
        figures.ratio,
        figures.denied,
        figures.p50,
        figures.p99,
    )
}

#[expect(clippy::cast_precision_loss, reason = "a handful of seeds")]
fn print_mean(all: &[Comparison], out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(first) = all.first() else { return Ok(()) };
    writeln!(out, "{}: mean of {} seeds", first.scenario, all.len())?;
    writeln!(out, "{HEAD}")?;
    for (n, row) in first.rows.iter().enumerate() {
        let rows: Vec<Figures> = all.iter().filter_map(|c| c.rows.get(n)).map(Figures::of).collect();
        let mean = |of: fn(&Figures) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
        let figures = Figures {
            policy: row.policy,
            hits: mean(|f| f.hits),
            dollars: mean(|f| f.dollars),
            ratio: mean(|f| f.ratio),
            denied: mean(|f| f.denied),
            p50: mean(|f| f.p50),
            p99: mean(|f| f.p99),
            spread: mean(|f| f.spread),
        };
        writeln!(out, "{}", table_line(&figures))?;
    }
    for compared in all.iter().filter(|compared| !compared.invalid.is_empty()) {
        writeln!(out, "INVALID: seed {}", compared.seed)?;
    }
    writeln!(out)?;
    Ok(())
}

/// The figures as a table for other programs.
struct Csv(BufWriter<File>);

impl Csv {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut file = BufWriter::new(file);
        writeln!(
            file,
            "scenario,seed,policy,hit_rate,cost_usd,cost_ratio,client_429,wait_p50_s,wait_p99_s,spread_cv,valid"
        )?;
        Ok(Self(file))
    }

    fn add(&mut self, compared: &Comparison) -> anyhow::Result<()> {
        // A trace is named after its file.
        let scenario = compared.scenario.replace(['"', ',', '\n'], "_");
        let valid = compared.invalid.is_empty();
        for row in &compared.rows {
            let outcome = &row.outcome;
            writeln!(
                self.0,
                "{scenario},{},{},{},{},{},{},{},{},{},{valid}",
                compared.seed,
                row.policy.label(),
                outcome.hit_rate(),
                outcome.cost.as_usd(),
                row.cost_ratio,
                outcome.client_429,
                outcome.wait(0.50),
                outcome.wait(0.99),
                row.spread,
            )?;
        }
        Ok(())
    }

    fn close(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How far a run is, for whoever watches a terminal.
struct Progress {
    what: String,
    whole: usize,
    done: AtomicUsize,
    shown: bool,
}

impl Progress {
    fn new(what: String, whole: usize) -> Self {
        Self { what, whole, done: AtomicUsize::new(0), shown: io::stderr().is_terminal() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let hundredth = (self.whole / 100).max(1);
        if self.shown && done.is_multiple_of(hundredth) {
            // Nobody to tell is no reason to stop.
            let _ = write!(io::stderr(), "\r{}: {} %", self.what, done * 100 / self.whole.max(1));
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Args {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        <Cli as clap::Parser>::parse_from([&["replay"], list].concat()).args
    }

    fn said(list: &[&str]) -> (anyhow::Result<ExitCode>, String) {
        let mut out = Vec::new();
        let code = run(&args(list), &mut out);
        (code, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn json_is_one_object_a_policy_with_the_promised_members() {
        let (code, text) =
            said(&["--scenario", "solo5", "--seed", "4", "--policies", "round-robin,warmkey", "--json"]);
        assert_eq!(code.unwrap(), ExitCode::SUCCESS);
        let objects: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(objects.len(), 2, "the oracle was not asked for");
        for (object, policy) in objects.iter().zip(["round-robin", "warmkey"]) {
            assert_eq!((object["scenario"].as_str(), object["seed"].as_u64()), (Some("solo5"), Some(4)));
            assert_eq!(object["policy"], policy);
            for member in ["hit_rate", "cost_usd", "cost_ratio", "client_429", "wait_p50_s", "wait_p99_s"] {
                assert!(object[member].is_number(), "{member}");
            }
        }
        assert!(objects[0]["cost_ratio"].as_f64() > objects[1]["cost_ratio"].as_f64());
    }

    #[test]
    fn the_table_always_shows_the_oracle() {
        let (_, text) = said(&["--scenario", "solo5", "--policies", "sticky", "--seeds", "1,2"]);
        assert!(text.contains("\nsticky ") && text.contains("\noracle-5m "), "{text}");
        assert!(text.contains("mean of 2 seeds"));
    }

    #[test]
    fn unknown_names_list_the_known_ones_and_guess() {
        let error = said(&["--scenario", "team5"]).0.unwrap_err().to_string();
        assert!(error.contains("did you mean `team50`") && error.contains("overload100"), "{error}");
        let error = said(&["--policies", "warmkey,sticki"]).0.unwrap_err().to_string();
        assert!(error.contains("did you mean `sticky`") && error.contains("compulsory"), "{error}");
        let error = said(&["--policies", "q"]).0.unwrap_err().to_string();
        assert!(!error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_trace_goes_through_a_file_and_faults_name_their_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("mine.jsonl");
        let csv = dir.path().join("figures.csv");
        let (path, csv_path) = (file.to_str().unwrap(), csv.to_str().unwrap());
        said(&["--scenario", "solo5", "--write-trace", path]).0.expect("written");
        let (_, text) = said(&["--trace", path, "--policies", "single", "--json", "--csv", csv_path]);
        let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(object["scenario"], "mine");
        assert!(object["hit_rate"].as_f64() > Some(0.8));
        let rows = std::fs::read_to_string(&csv).expect("written");
        assert!(rows.starts_with("scenario,seed,policy,hit_rate,"), "{rows}");
        assert_eq!(rows.lines().count(), 3, "a head, the policy, the oracle");

        let text = std::fs::read_to_string(&file).expect("written");
        std::fs::write(&file, text.replacen("claude-sonnet-4-6", "claude-nobody", 2)).expect("written");
        let error = said(&["--trace", path]).0.unwrap_err().to_string();
        assert!(error.contains("line 1: unknown model") && error.contains("line 2:"), "{error}");
    }
}
