use super::*;
use crate::{config::ThisHost, types::Rates};

const LIST: &str = "tests/data/litellm_prices.json";

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("prices.toml")
    }

    fn import(&self, file: &Path, only: &[&str], dry_run: bool) -> Result<String, String> {
        let command = Command::Import(Import {
            file: file.to_owned(),
            out: self.out(),
            only: only.iter().map(|&glob| glob.to_owned()).collect(),
            config: None,
            dry_run,
            all: false,
        });
        let mut out = Vec::new();
        let done = run(&command, &ThisHost, &mut out);
        let text = String::from_utf8(out).unwrap();
        done.map(|_| text.clone()).map_err(|error| format!("{text}{error:#}"))
    }

    fn rows(&self) -> Vec<PriceRow> {
        config::read_prices(&self.out(), &ThisHost).unwrap()
    }
}

fn rates(input: u64, cached_read: u64, write_5m: u64, write_1h: u64, output: u64) -> Rates {
    Rates { input, cached_read, write_5m, write_1h, output }
}

#[test]
fn a_list_becomes_ours_to_the_last_decimal() {
    let lab = Lab::new();
    lab.import(Path::new(LIST), &[], false).unwrap();
    let rows = lab.rows();
    let of = |model: &str| rows.iter().find(|row| row.model == model).unwrap_or_else(|| panic!("{model}"));
    assert_eq!(rows.len(), 5);
    const MILLI: u64 = 1_000_000;
    let sonnet = of("claude-sonnet-4-6");
    assert_eq!(sonnet.rates, rates(3_000 * MILLI, 300 * MILLI, 3_750 * MILLI, 6_000 * MILLI, 15_000 * MILLI));
    assert!(sonnet.tiers.is_empty());
    let gpt = of("gpt-5.6");
    assert_eq!(gpt.rates, rates(4_250 * MILLI, 400 * MILLI, 5_000 * MILLI, 10_000 * MILLI, 20_000 * MILLI));
    let long = rates(8_000 * MILLI, 800 * MILLI, 10_000 * MILLI, 20_000 * MILLI, 30_000 * MILLI);
    assert_eq!(gpt.tiers, [(272_000, long)]);
    // No price of its own for writes: they cost what input costs, in each tier.
    let plain = of("gpt-5.5");
    assert_eq!((plain.rates.write_5m, plain.rates.write_1h), (5_000 * MILLI, 5_000 * MILLI));
    let (_, long) = plain.tiers[0];
    assert_eq!(
        (long.write_5m, long.write_1h, long.cached_read),
        (10_000 * MILLI, 10_000 * MILLI, 1_000 * MILLI)
    );
    assert_eq!(of("in-house/\"odd\\name\"").rates.input, 950 * MILLI);
    assert_eq!(of("embedding-x").rates, rates(20 * MILLI, 20 * MILLI, 20 * MILLI, 20 * MILLI, 0));
}

#[test]
fn what_changes_and_what_is_skipped_is_told() {
    let lab = Lab::new();
    let told = lab.import(Path::new(LIST), &[], true).unwrap();
    assert!(!lab.out().exists(), "a dry run writes nothing");
    for line in [
        "new      embedding-x: input 0.02, cached_read 0.02, write_5m 0.02, write_1h 0.02, output 0",
        "changed  gpt-5.6: input 4 -> 4.25",
        "2 new, 1 changed, 2 as before",
        "skipped 2: `input_cost_per_token` is no price (negative, worded)",
        "skipped 1: mode `image_generation` (painter-x)",
        "skipped 1: no price for tokens (by-the-second)",
        "skipped 1: `tiered_pricing`, which is not read (stepped)",
        "skipped 1: listed without a price; what is free here must be said by you (free-x)",
        "skipped 1: its name is no model's name (a name with spaces)",
        "skipped 1: not an object (no-object)",
        "1 prices were rounded to nine decimals: noise of floating point",
        "not taken over: prices of other service and content (batch, flex, priority)",
        "nothing was written: --dry-run",
    ] {
        assert!(told.lines().any(|told| told == line), "`{line}` is not in\n{told}");
    }
    assert!(told.contains("keep their price: ") && told.contains("claude-opus-5, "), "{told}");
}

#[test]
fn a_second_import_is_compared_with_the_first() {
    let lab = Lab::new();
    lab.import(Path::new(LIST), &[], false).unwrap();
    let told = lab.import(Path::new(LIST), &["gpt-*"], false).unwrap();
    assert!(told.contains("0 new, 0 changed, 2 as before"), "{told}");
    for gone in ["claude-sonnet-4-6", "embedding-x", "in-house/\"odd\\name\""] {
        assert!(told.contains(&format!("gone     {gone}: ")), "{told}");
    }
    assert_eq!(lab.rows().iter().map(|row| row.model.as_str()).collect::<Vec<_>>(), ["gpt-5.5", "gpt-5.6"]);
}

#[test]
fn what_is_no_list_changes_nothing() {
    let lab = Lab::new();
    lab.import(Path::new(LIST), &[], false).unwrap();
    let before = fs::read_to_string(lab.out()).unwrap();
    let bad = lab.dir.path().join("bad.json");
    for (text, why) in [
        ("", "not LiteLLM's price list"),
        ("[]", "not LiteLLM's price list"),
        ("{}", "no model in it has a `litellm_provider`"),
        (r#"{"a": {"b": 1}}"#, "no model in it has a `litellm_provider`"),
        (r#"{"a": {"litellm_provider": "x", "mode": "rerank"}}"#, "no model of"),
    ] {
        fs::write(&bad, text).unwrap();
        let told = lab.import(&bad, &[], false).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
        assert_eq!(fs::read_to_string(lab.out()).unwrap(), before);
    }
    assert!(lab.import(Path::new(LIST), &["nobody-*"], false).unwrap_err().contains("is `--only` right?"));
    // Something else of that name is not replaced.
    fs::write(lab.out(), "[server]\n").unwrap();
    assert!(lab.import(Path::new(LIST), &[], false).unwrap_err().contains("is no price list"));
    assert_eq!(fs::read_to_string(lab.out()).unwrap(), "[server]\n");
}
