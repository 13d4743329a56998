//! Every fault of the provider, in every dialect, streamed and whole, over every wire.
//!
//! Each case is a conversation of three turns: one that warms a session, one that the fault strikes,
//! and one after it, which must go where the second one left the session.

use std::{io::Read as _, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use warmkey::{
    sim::{Account, Fault, RetryHint, Rule, Sim},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Wire, body, path};

/// Events after which a stream is in the midst of its content.
const MIDST: u64 = 12;

/// What the client must see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Client {
    /// A complete answer.
    Served,
    /// The provider's own error, word by word.
    Verbatim(u16),
    /// An error of the gateway's.
    Denied(u16),
    /// A stream that ends in one error event.
    ErrorEvent,
    /// A complete answer, packed as it came.
    Packed,
}
use Client::{Denied, ErrorEvent, Packed, Served, Verbatim};

/// Where the session must be afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Stayed,
    Moved,
}
use Place::{Moved, Stayed};

/// What must be known of the endpoint that was struck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// Nothing.
    Untouched,
    /// Its rate domain cools.
    Cooling,
    /// Its key was suspect, and our own check cleared it.
    Cleared,
}
use After::{Cleared, Cooling, Untouched};

/// What a fault must lead to.
#[derive(Clone, Copy, Debug)]
struct Expected {
    client: Client,
    place: Place,
    after: After,
    /// Requests that the provider saw for the turn.
    tries: usize,
}

const fn expect(client: Client, place: Place, after: After, tries: usize) -> Expected {
    Expected { client, place, after, tries }
}

/// One fault in one dialect, streamed or not.
#[derive(Clone, Debug)]
struct Case {
    fault: Fault,
    dialect: Dialect,
    stream: bool,
    wire: Wire,
}

impl Case {
    fn expected(&self) -> Expected {
        let streamed = |streamed: Expected, whole: Expected| if self.stream { streamed } else { whole };
        let fallback = expect(Served, Moved, Untouched, 2);
        let again = expect(Served, Stayed, Untouched, 2);
        let fine = expect(Served, Stayed, Untouched, 1);
        let cooled = expect(Served, Moved, Cooling, 2);
        let suspect = expect(Served, Moved, Cleared, 2);
        let cut = expect(ErrorEvent, Stayed, Untouched, 1);
        match self.fault {
            Fault::RateLimited { hint: RetryHint::RetryAfterMs(_) } => expect(Served, Stayed, Untouched, 2),
            Fault::RateLimited { .. } => cooled,
            // Anthropic knows no such thing: it is a 429 like others.
            Fault::InsufficientQuota if self.dialect == Dialect::Anthropic => cooled,
            Fault::ExceedsLimitAlone => expect(Verbatim(429), Stayed, Untouched, 1),
            Fault::Unavailable | Fault::Overloaded => again,
            Fault::KeyRejected
            | Fault::BillingRejected
            | Fault::KeyForbidden
            | Fault::SpendLimitText
            | Fault::WorkspaceSpendLimitText
            | Fault::SpendLimitEnforced
            | Fault::InsufficientQuota => suspect,
            Fault::ThinkingForeign => expect(Verbatim(400), Stayed, Untouched, 1),
            Fault::Status { status } => expect(Verbatim(status), Stayed, Untouched, 1),
            Fault::ServerError | Fault::GatewayTimeout | Fault::ModelForbidden | Fault::HtmlPage { .. } => {
                fallback
            }
            // Only a stream has a time for its first byte; the rest has its total.
            Fault::HangBeforeHeader => streamed(fallback, expect(Denied(504), Stayed, Untouched, 1)),
            // A stream that is reset on a connection that lives was worked on: it may be billed.
            Fault::CloseBeforeHeader if self.wire.is_h2() => fallback,
            // On a connection that was used before: it may have been closed for all we know.
            Fault::CloseBeforeHeader | Fault::ResetBeforeHeader => again,
            Fault::GoAway | Fault::RefusedStream => again,
            Fault::StallAfter { events: MIDST }
            | Fault::ResetAfter { events: MIDST }
            | Fault::CloseAfter { events: MIDST }
            | Fault::TruncateAfter { events: MIDST } => streamed(cut, fallback),
            // Lifecycle events are held for a short while only, but in Responses.
            Fault::StallAfter { events: 1 } if self.dialect != Dialect::OpenAiResponses => {
                streamed(cut, fallback)
            }
            Fault::StallAfter { .. }
            | Fault::ResetAfter { .. }
            | Fault::CloseAfter { .. }
            | Fault::TruncateAfter { .. } => fallback,
            Fault::ErrorFirst => again,
            Fault::ErrorAfter { .. } => streamed(cut, again),
            Fault::Gzip => expect(Packed, Stayed, Untouched, 1),
            Fault::SlowHeader { .. } | Fault::SetCookie | Fault::GoAwayAfter | Fault::Stale => fine,
            Fault::SlowRead { .. } => fine,
            // Strikes streams with check sums only, which none of these dialects has.
            Fault::BadCrc { .. } => fine,
            Fault::EarlyAnswer { status: 413, .. } => expect(Verbatim(413), Stayed, Untouched, 1),
            Fault::EarlyAnswer { .. } => cooled,
            Fault::StreamOptionsUnknown => {
                if self.dialect == Dialect::OpenAiChat && self.stream {
                    again
                } else {
                    fine
                }
            }
        }
    }

    /// It takes real time, and nothing that others share.
    fn is_slow(&self) -> bool {
        matches!(
            self.fault,
            Fault::HangBeforeHeader
                | Fault::StallAfter { .. }
                | Fault::SlowRead { .. }
                | Fault::SlowHeader { .. }
        )
    }

    fn ask(&self, gateway: &Gateway, session: &str) -> Ask {
        let text = "tell me everything [sim:output_tokens=200]";
        Ask::new(gateway.url(path(self.dialect)), body(self.dialect, text))
            .session(session)
            .stream(self.stream)
    }
}

fn faults() -> Vec<Fault> {
    let limited = |hint| Fault::RateLimited { hint };
    let mut faults = vec![
        limited(RetryHint::None),
        limited(RetryHint::RetryAfter(40)),
        limited(RetryHint::RetryAfterMs(100)),
        limited(RetryHint::ResetOnly(40)),
        Fault::ExceedsLimitAlone,
        Fault::ServerError,
        Fault::Unavailable,
        Fault::Overloaded,
        Fault::GatewayTimeout,
        Fault::KeyRejected,
        Fault::BillingRejected,
        Fault::KeyForbidden,
        Fault::ModelForbidden,
        Fault::SpendLimitText,
        Fault::WorkspaceSpendLimitText,
        Fault::SpendLimitEnforced,
        Fault::InsufficientQuota,
        Fault::ThinkingForeign,
        Fault::Status { status: 404 },
        Fault::Status { status: 418 },
        Fault::HtmlPage { status: 502 },
        Fault::HtmlPage { status: 200 },
        Fault::HangBeforeHeader,
        Fault::SlowHeader { delay_ms: Duration::from_millis(300) },
        Fault::CloseBeforeHeader,
        Fault::ResetBeforeHeader,
        Fault::ErrorFirst,
        Fault::ErrorAfter { events: MIDST },
        Fault::EarlyAnswer { status: 413, after_bytes: 10 },
        Fault::EarlyAnswer { status: 429, after_bytes: 10 },
        Fault::SlowRead { bytes_per_second: 2_000 },
        Fault::Stale,
        Fault::SetCookie,
        Fault::Gzip,
        Fault::GoAway,
        Fault::GoAwayAfter,
        Fault::RefusedStream,
    ];
    for events in [0, 1, MIDST] {
        faults.push(Fault::StallAfter { events });
        faults.push(Fault::ResetAfter { events });
        faults.push(Fault::CloseAfter { events });
        faults.push(Fault::TruncateAfter { events });
    }
    // Remembered for the model, so it comes last.
    faults.push(Fault::StreamOptionsUnknown);
    faults
}

/// Three accounts of three organisations, quick settings, and no half-open domains: those have tests
/// of their own.
const SETTINGS: &str = "validate_keys = false
retry_budget_percent = 100
[provider.timeouts]
first_byte = \"2s\"
idle = \"2s\"
total = \"5s\"
[provider.cooling]
allowed_fails = 100
pace = \"0s\"
recheck = \"1s\"
stay_delay = \"10ms\"
";

async fn check_wire(wire: Wire) {
    let (sim, setup) = wire
        .provider(|config| {
            config.accounts = ["one", "two", "three"]
                .into_iter()
                .map(|name| Account::new(&format!("key-{name}"), name, name))
                .collect();
            config.keep_seen = 200;
        })
        .await;
    let gateway = Arc::new(setup.provider(SETTINGS).start().await);
    let sim = Arc::new(sim);
    let mut failed = Vec::new();
    for fault in faults() {
        let mut cases = JoinSet::new();
        for dialect in Dialect::ALL {
            for stream in [false, true] {
                let case = Case { fault: fault.clone(), dialect, stream, wire };
                let check = tokio::spawn(check_fault(case.clone(), Arc::clone(&gateway), Arc::clone(&sim)));
                let slow = case.is_slow();
                cases.spawn(async move { check.await.map_err(|_| case) });
                if !slow {
                    failed.extend(cases.join_next().await.expect("one").expect("joined").err());
                }
            }
        }
        failed.extend(cases.join_all().await.into_iter().filter_map(Result::err));
        gateway.at_rest().await;
    }
    assert!(failed.is_empty(), "cases failed, see above: {failed:#?}");
    gateway.assert_all_ready().await;
}

async fn check_fault(case: Case, gateway: Arc<Gateway>, sim: Arc<Sim>) {
    let expected = case.expected();
    let session = format!("{case:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let header = format!("session-{session}");
    let tries = || sim.seen().iter().filter(|seen| seen.header("x-session-id") == header).count();
    let first = case.ask(&gateway, &session).send().await.assert_ok();
    let home = first.endpoint().to_owned();
    let before = tries();

    sim.script(Rule::from(case.fault.clone()).on_header("x-session-id", &header));
    let reply = case.ask(&gateway, &session).send().await;
    check_reply(&case, expected, &reply);
    assert_eq!(tries() - before, expected.tries, "tries: {case:?}");
    let moved = reply.endpoint() != home;
    if moved != (expected.place == Moved) {
        let id = reply.header("x-warmkey-session");
        let shown = crate::harness::get(&format!("http://{}/status/sessions/{id}", gateway.admin)).await;
        panic!("{case:?}: {home} to {}\nDECIDED {}", reply.endpoint(), shown.json()["decisions"]);
    }

    match expected.after {
        Untouched => {
            let state = gateway.state_of(&home).await;
            assert!(state == "ready" || state == "paced", "{case:?}: {state}");
        }
        Cooling => assert_eq!(gateway.state_of(&home).await, "cooling", "{case:?}"),
        Cleared => {
            gateway
                .until("the key is cleared", |status| Gateway::endpoint_in(status, &home)["state"] == "ready")
                .await;
        }
    }
    gateway.readmit(&home).await;
    let next = case.ask(&gateway, &session).send().await;
    assert_eq!(next.status, 200, "{case:?}: {}", next.text());
    assert_eq!(next.endpoint(), reply.endpoint(), "the session bounced: {case:?}");
    assert_eq!(next.affinity(), "hit", "{case:?}");
}

#[track_caller]
fn check_reply(case: &Case, expected: Expected, reply: &Reply) {
    let text = reply.text();
    assert!(!reply.headers.contains_key("set-cookie"), "{case:?}");
    match expected.client {
        Served => {
            assert_eq!(reply.status, 200, "{case:?}: {text}");
            assert!(!reply.broken, "{case:?}: {text}");
            if case.stream {
                reply.assert_complete(case.dialect);
            } else {
                let json = reply.json();
                assert!(json["usage"].is_object() && json["error"].is_null(), "{case:?}: {json}");
            }
        }
        Verbatim(status) => {
            assert_eq!(reply.status, status, "{case:?}: {text}");
            let words = ["A scripted answer", "Request", "Invalid `signature`"];
            assert!(words.iter().any(|words| text.contains(words)), "{case:?}: {text}");
            if status == 429 {
                let after: u64 = reply.header("retry-after").parse().expect("whole seconds");
                assert!((1..=60).contains(&after), "{after}");
            }
        }
        Denied(status) => {
            assert_eq!(reply.status, status, "{case:?}: {text}");
            let error = reply.json();
            assert!(error["error"]["message"].is_string(), "{case:?}: {text}");
            assert_eq!(error["type"] == "error", case.dialect == Dialect::Anthropic, "{case:?}: {text}");
        }
        ErrorEvent => {
            assert!(!reply.broken, "{case:?}: {text}");
            reply.assert_ends_in_error(case.dialect);
        }
        Packed => {
            assert_eq!((reply.status.as_u16(), reply.header("content-encoding")), (200, "gzip"), "{case:?}");
            let mut plain = String::new();
            flate2::read::GzDecoder::new(reply.body.as_ref()).read_to_string(&mut plain).expect("gzip");
            assert!(plain.contains("usage"), "{case:?}: {plain}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_over_plain_http1() {
    check_wire(Wire::Plain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_over_plain_http2() {
    check_wire(Wire::H2c).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_over_tls_with_http1() {
    check_wire(Wire::TlsH1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_over_tls_with_http2() {
    check_wire(Wire::TlsH2).await;
}
