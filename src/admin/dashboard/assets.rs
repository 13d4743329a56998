//! The page's files, built into the binary. To add one is to add a line to [`FILES`]; a test holds the table
//! to the folder.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use super::reply::Reply;

const HTML: &str = "text/html; charset=utf-8";

/// The page itself.
const INDEX: &[u8] = include_bytes!("page/index.html");

/// `include_bytes!` of files in the folder, by their names.
macro_rules! files {
    ($($name:literal: $file:literal,)*) => {
        &[$(($name, include_bytes!(concat!("page/", $file)).as_slice()),)*]
    };
}

/// What is served as `/assets/NAME`, and where it is.
const FILES: &[(&str, &[u8])] = files! {
    "account-row.js": "account-row.js",
    "api.js": "api.js",
    "app.css": "app.css",
    "app.js": "app.js",
    "chart.js": "chart.js",
    "decisions.js": "decisions.js",
    "dialog.js": "dialog.js",
    "dom.js": "dom.js",
    "format.js": "format.js",
    "grid.js": "grid.js",
    "history.js": "history.js",
    "icon.svg": "icon.svg",
    "live.js": "live.js",
    "parts.css": "parts.css",
    "parts.js": "parts.js",
    "router.js": "router.js",
    "theme.js": "theme.js",
    "timeline.js": "timeline.js",
    "uplot.css": "vendor/uplot-1.6.32/uPlot.min.css",
    "uplot.js": "vendor/uplot-1.6.32/uPlot.iife.min.js",
    // Its licence asks to go along with every copy, and the binary is one.
    "uplot.licence.txt": "vendor/uplot-1.6.32/LICENSE",
    "view-accounts.js": "view-accounts.js",
    "view-configuration.js": "view-configuration.js",
    "view-now.js": "view-now.js",
    "view-requests.js": "view-requests.js",
    "view-session.js": "view-session.js",
    "view-sessions.js": "view-sessions.js",
    "view-sign-in.js": "view-sign-in.js",
    "view-spend.js": "view-spend.js",
    "views.css": "views.css",
    "words.js": "words.js",
};

struct Asset {
    name: &'static str,
    kind: &'static str,
    etag: HeaderValue,
    body: Bytes,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let index = ("", HTML, INDEX);
    let files = FILES.iter().map(|&(name, body)| (name, kind_of(name), body));
    std::iter::once(index)
        .chain(files)
        .filter_map(|(name, kind, body)| {
            let etag = HeaderValue::try_from(format!("\"{:032x}\"", xxh3_128(body))).ok()?;
            Some(Asset { name, kind, etag, body: Bytes::from_static(body) })
        })
        .collect()
});

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("html") => HTML,
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Answers for the page (`""`) or a file of its.
pub(super) fn serve(name: &str, headers: &HeaderMap) -> Reply {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return Reply::error(StatusCode::NOT_FOUND, "the page has no such file");
    };
    let reply = if is_known(headers, &asset.etag) {
        Reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        Reply::new(StatusCode::OK, asset.kind, asset.body.clone())
    };
    // Kept, and asked for again each time: the next version may be there.
    reply
        .with(header::ETAG, asset.etag.clone())
        .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// Whether the browser says that it has this version.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else { return false };
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/dashboard/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && name != "index.html" {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "`{name}` is not in the table");
            }
        }
    }

    #[test]
    fn a_browser_that_has_a_version_is_not_sent_it_again() {
        let etag = ASSETS[0].etag.clone();
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers, &etag));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert!(!is_known(&headers, &etag));
        let list = format!("\"other\", W/{}", etag.to_str().unwrap());
        headers.insert(header::IF_NONE_MATCH, list.parse().unwrap());
        assert!(is_known(&headers, &etag));
    }
}
