//! `[otlp]`: where traces go.

use super::{
    read::{At, Section},
    server::{millis, secs},
};
use crate::{telemetry::otlp::OtlpParams, types::Secret};

/// What collectors listen on, by the protocol.
const PATH: &str = "/v1/traces";

/// Headers that are ours to set.
const TAKEN: &[&str] =
    &["host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection"];

/// Reads `[otlp]`.
pub(super) fn read(otlp: &Section<'_>) -> Option<OtlpParams> {
    let endpoint = otlp.text("endpoint");
    if otlp.is_present() && otlp.get("endpoint").is_none() {
        let remedy =
            "write where the collector listens, such as `http://127.0.0.1:4318`, or remove the section";
        otlp.fault("endpoint", "missing", remedy);
    }
    let params = OtlpParams {
        url: endpoint.as_ref().and_then(|endpoint| url(otlp, endpoint)).unwrap_or_default(),
        headers: otlp.tables("headers", header).into_iter().flatten().collect(),
        sample: otlp.ratio("sample", 1.0, 0.0..=1.0),
        service_name: otlp.text("service_name").map_or_else(|| "warmkey".to_owned(), |name| name.value),
        timeout: otlp.duration("timeout", secs(5), millis(100)..=secs(10)),
        gzip: otlp.flag("gzip", false),
    };
    endpoint.map(|_| params)
}

/// The whole URL: the usual path, where none is written.
fn url(otlp: &Section<'_>, endpoint: &At<String>) -> Option<String> {
    let text = endpoint.value.as_str();
    let uri = text.parse::<http::Uri>().ok();
    let is_web = uri.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    // What else it holds may be a secret, so it is not quoted.
    if !is_web || text.contains(['@', '?', '#']) {
        let what = "not the URL of a collector";
        let remedy =
            "write `http://HOST:4318` or `https://HOST/...`; user, password and query belong in `headers`";
        otlp.fault_at(endpoint, what, remedy);
        return None;
    }
    let has_path = uri.is_some_and(|uri| uri.path() != "/" && !uri.path().is_empty());
    Some(if has_path { text.to_owned() } else { format!("{}{PATH}", text.trim_end_matches('/')) })
}

fn header(header: &Section<'_>) -> Option<(String, Secret)> {
    let name = header.required("name", "write the header's name, such as `authorization`");
    let value = header.header_value("value");
    if header.get("value").is_none() {
        header.fault("value", "missing", "write where the value is kept, such as `{ env = \"NAME\" }`");
    }
    let name = name?;
    let lower = name.value.to_ascii_lowercase();
    if http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
        let what = format!("`{}` is not a header's name", name.value.escape_debug());
        header.fault_at(&name, &what, "write it as in `authorization`");
        return None;
    }
    if TAKEN.contains(&lower.as_str()) {
        header.fault_at(&name, &format!("`{lower}` is the gateway's to set"), "remove it");
        return None;
    }
    Some((lower, value?.value))
}
