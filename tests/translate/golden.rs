//! Fixtures: a client's body for every provider, a provider's answer for every client.
//!
//! `tests/golden/translate/DIALECT/{read,stream,whole}/` holds what comes in; `CLIENT-PROVIDER/` what must
//! come out. `UPDATE_GOLDEN=1` writes the latter anew: read what it wrote before it is checked in.

use std::{
    collections::BTreeSet,
    env, fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use warmkey::{
    dialect::{Asked, OnLoss, Signal, StreamTranslator, Untranslatable, translate_answer},
    types::{Operation, ProviderDialect, ReportedUsage},
};

use crate::{
    ends::{CLIENTS, dialect, folder, maker, model, send},
    frames::{Recorded, read, recorded},
    pretty::pretty,
};

const ROOT: &str = "tests/golden/translate";

/// Names and texts of the files in a folder, in order; none where there is no folder.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), read(path))).collect()
}

/// What is in a folder of expectations, compared or written.
struct Expected {
    folder: PathBuf,
    update: bool,
    seen: BTreeSet<PathBuf>,
    wrong: Vec<String>,
}

impl Expected {
    fn new(folder: PathBuf) -> Self {
        let update = env::var_os("UPDATE_GOLDEN").is_some();
        Self { folder, update, seen: BTreeSet::new(), wrong: Vec::new() }
    }

    fn check(&mut self, name: &str, found: &str) {
        let path = self.folder.join(name);
        self.seen.insert(path.clone());
        if self.update {
            fs::create_dir_all(&self.folder).expect("a folder");
            fs::write(&path, found).expect("a file");
        } else if !fs::read_to_string(&path).is_ok_and(|expected| expected == found) {
            self.wrong.push(format!("{} is not what came out:\n{found}", path.display()));
        }
    }

    /// An expectation that nothing came for is as wrong as one that was not met.
    fn finish(mut self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten();
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if !self.seen.contains(&path) && self.update {
                fs::remove_file(&path).expect("a file");
            } else if !self.seen.contains(&path) {
                self.wrong.push(format!("{} has no input", path.display()));
            }
        }
        assert!(self.wrong.is_empty(), "{} wrong; the first:\n{}", self.wrong.len(), self.wrong[0]);
    }
}

fn pair(operation: Operation, provider: ProviderDialect, what: &str) -> PathBuf {
    let client = CLIENTS.iter().find(|(known, _)| *known == operation).expect("a client").1;
    Path::new(ROOT).join(format!("{client}-{}", folder(provider))).join(what)
}

/// What becomes of a client's body at a provider.
fn check_request(
    operation: Operation,
    provider: ProviderDialect,
    name: &str,
    body: &str,
    all: &mut Expected,
) {
    // What the default policy says of it; then all that can be said.
    let refused = match send(operation, body.as_bytes(), provider, OnLoss::DropHints) {
        Ok(_) => None,
        Err(Untranslatable::Refused(refused)) => Some(format!("{} {}", refused.field, refused.why)),
        Err(Untranslatable::Malformed(field, what)) => {
            let found = json!({ "malformed": format!("{field} {what}") });
            return all.check(&format!("{name}.json"), &format!("{found:#}\n"));
        }
    };
    let sent = send(operation, body.as_bytes(), provider, OnLoss::Drop).expect("nothing is refused now");
    let again = send(operation, body.as_bytes(), provider, OnLoss::Drop).expect("as before");
    assert_eq!(sent.body, again.body, "{name} for {provider:?} is another the second time");
    let sent_body = std::str::from_utf8(&sent.body).expect("UTF-8");
    let valid = serde_json::from_str::<serde::de::IgnoredAny>(sent_body);
    assert!(valid.is_ok(), "{name} for {provider:?} is no JSON: {valid:?}\n{sent_body}");
    let found = format!(
        r#"{{"path":{},"refused":{},"dropped":{},"bytes":{},"body":{sent_body}}}"#,
        json!(sent.path),
        json!(refused),
        json!(sent.dropped),
        sent_body.len()
    );
    all.check(&format!("{name}.json"), &(pretty(&found) + "\n"));
}

fn check_requests(operation: Operation, at_least: usize) {
    let client = CLIENTS.iter().find(|(known, _)| *known == operation).expect("a client").1;
    let bodies = files(&Path::new(ROOT).join(client).join("read"));
    assert!(bodies.len() >= at_least, "only {} bodies", bodies.len());
    for provider in ProviderDialect::ALL {
        let mut all = Expected::new(pair(operation, provider, "request"));
        for (name, body) in &bodies {
            check_request(operation, provider, name, body, &mut all);
        }
        all.finish();
    }
}

#[test]
fn anthropic_requests_reach_every_provider() {
    check_requests(Operation::Messages, 8);
}

#[test]
fn openai_chat_requests_reach_every_provider() {
    check_requests(Operation::ChatCompletions, 8);
}

#[test]
fn openai_responses_requests_reach_every_provider() {
    check_requests(Operation::Responses, 8);
}

/// What the meter and the session were told.
#[derive(Default, PartialEq, Debug)]
struct Heard {
    id: Option<String>,
    model: Option<String>,
    tier: Option<String>,
    output: [usize; 3],
    tools: Vec<String>,
    stops: Vec<String>,
    usage: ReportedUsage,
    errors: Vec<String>,
    complete: bool,
}

impl Heard {
    fn hear(&mut self, signal: Signal<'_>) {
        match signal {
            Signal::Started { id } => assert_eq!(self.id.replace(id), None, "started twice"),
            Signal::Model(model) => self.model = Some(model),
            Signal::Tier(tier) => self.tier = Some(tier),
            Signal::Lifecycle | Signal::Terminal => {}
            Signal::Delta { kind, raw } => self.output[kind as usize] += raw.len(),
            Signal::ToolCall { id } => self.tools.push(id),
            Signal::Usage(usage) => self.usage.overwrite(&usage),
            Signal::Stop(stop) => self.stops.push(format!("{stop:?}")),
            Signal::Error(fault) => {
                self.errors.push(format!("{} {}: {}", fault.kind, fault.code, fault.message));
            }
        }
    }
}

/// As comments, which no reader of events minds.
impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = [
            ("input", self.usage.input),
            ("cached", self.usage.cached_read),
            ("5m", self.usage.write_5m),
            ("1h", self.usage.write_1h),
            ("output", self.usage.output),
            ("reasoning", self.usage.reasoning),
        ];
        let usage = usage.iter().filter_map(|(name, figure)| Some(format!("{name} {}", (*figure)?)));
        writeln!(f, ": id {:?}, model {:?}, tier {:?}", self.id, self.model, self.tier)?;
        let [text, thinking, arguments] = self.output;
        writeln!(f, ": text {text}, thinking {thinking}, arguments {arguments}, tools {:?}", self.tools)?;
        writeln!(f, ": usage {}", usage.collect::<Vec<_>>().join(", "))?;
        writeln!(f, ": stops {:?}, errors {:?}, complete {}", self.stops, self.errors, self.complete)
    }
}

fn asked(operation: Operation, provider: ProviderDialect, stream: bool) -> Asked {
    Asked {
        origin: dialect(operation),
        stream,
        include_usage: true,
        model: model(provider).to_owned(),
        id: "golden".to_owned(),
        created: 1_700_000_000,
        echo: Vec::new(),
    }
}

/// What a client is sent, and what was heard, when the stream comes in these pieces.
fn translated<'a>(
    operation: Operation,
    provider: ProviderDialect,
    framing: warmkey::dialect::Framing,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, Heard) {
    let asked = asked(operation, provider, true);
    let mut translator = StreamTranslator::new(provider, maker(provider), framing, asked);
    let mut heard = Heard::default();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&translator.push(piece, &mut |signal| heard.hear(signal)));
    }
    let end = translator.end(&mut |signal| heard.hear(signal));
    out.extend_from_slice(&end.held);
    heard.complete = end.complete;
    (out, heard)
}

/// Bytes to read in all for the cuts of one stream: all cuts of a short one, some spread evenly over a long
/// one. (Bytes one by one cut everywhere in any case.)
const CUT_WORK: usize = 1 << 20;

/// What becomes of a provider's stream for a client, however it is cut.
fn check_stream(operation: Operation, provider: ProviderDialect, stream: &Recorded, all: &mut Expected) {
    let Recorded { name, framing, bytes } = stream;
    let (whole, heard) = translated(operation, provider, *framing, std::iter::once(&bytes[..]));
    for size in [1, 7, 211] {
        let (pieces, again) = translated(operation, provider, *framing, bytes.chunks(size));
        assert_eq!(String::from_utf8_lossy(&pieces), String::from_utf8_lossy(&whole), "{name} by {size}");
        assert_eq!(again, heard, "{name} by {size}");
    }
    for at in (1..bytes.len()).step_by(bytes.len() * bytes.len() / CUT_WORK + 1) {
        let (front, back) = bytes.split_at(at);
        let (pieces, again) = translated(operation, provider, *framing, [front, back].into_iter());
        assert!(pieces == whole && again == heard, "{name} for {operation:?}, cut at {at}");
    }
    let text = String::from_utf8(whole).expect("UTF-8");
    all.check(&format!("{name}.sse"), &format!("{heard}\n{text}"));
}

fn check_streams(provider: ProviderDialect, at_least: usize) {
    let streams = recorded(Path::new(ROOT), provider);
    assert!(streams.len() >= at_least, "only {} streams", streams.len());
    for (operation, _) in CLIENTS {
        let mut all = Expected::new(pair(operation, provider, "stream"));
        streams.iter().for_each(|stream| check_stream(operation, provider, stream, &mut all));
        all.finish();
    }
}

#[test]
fn streams_of_anthropic_reach_every_client() {
    check_streams(ProviderDialect::Anthropic, 5);
}

#[test]
fn streams_of_openai_chat_reach_every_client() {
    check_streams(ProviderDialect::OpenAiChat, 5);
}

#[test]
fn streams_of_openai_responses_reach_every_client() {
    check_streams(ProviderDialect::OpenAiResponses, 5);
}

#[test]
fn streams_of_gemini_reach_every_client() {
    check_streams(ProviderDialect::Gemini, 5);
}

#[test]
fn streams_of_bedrock_reach_every_client() {
    check_streams(ProviderDialect::Bedrock, 5);
}

#[test]
fn streams_of_claude_at_bedrock_reach_every_client() {
    check_streams(ProviderDialect::BedrockClaude, 5);
}

/// What becomes of an answer that is no stream.
fn check_whole(operation: Operation, provider: ProviderDialect, name: &str, body: &str, all: &mut Expected) {
    let asked = asked(operation, provider, false);
    let mut heard = Heard::default();
    let see = &mut |signal: Signal<'_>| heard.hear(signal);
    let written = translate_answer(provider, maker(provider), &asked, body.as_bytes(), see);
    heard.complete = written.is_some();
    let written =
        written.map_or_else(|| "null".to_owned(), |body| String::from_utf8(body.into()).expect("UTF-8"));
    let heard = json!(heard.to_string().lines().collect::<Vec<_>>());
    let found = pretty(&format!(r#"{{"heard":{heard},"answer":{written}}}"#));
    all.check(&format!("{name}.json"), &(found + "\n"));
}

fn check_wholes(provider: ProviderDialect, at_least: usize) {
    let from = if provider == ProviderDialect::BedrockClaude { "anthropic" } else { folder(provider) };
    let answers = files(&Path::new(ROOT).join(from).join("whole"));
    assert!(answers.len() >= at_least, "only {} answers", answers.len());
    for (operation, _) in CLIENTS {
        let mut all = Expected::new(pair(operation, provider, "whole"));
        for (name, body) in &answers {
            check_whole(operation, provider, name, body, &mut all);
        }
        all.finish();
    }
}

#[test]
fn whole_answers_reach_every_client() {
    for provider in ProviderDialect::ALL {
        check_wholes(provider, 2);
    }
}
