use super::*;
use crate::{
    gauge::{
        Observation, Via,
        tally::tests::{tally, turn, warm},
    },
    types::ModelName,
};

const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror='a()'>\"&\u{0}";

fn report(name: &str) -> Report {
    let mut tally = tally(Via::Driven);
    for n in 0..5 {
        let model = Some(ModelName::from(name));
        tally.note(&Observation { model, ..turn(name, n, warm(n)) });
    }
    // Nobody knows what such a model costs.
    let cost_per_1k_turns = Some(12.5);
    Report { endpoint: name.to_owned(), cost_per_1k_turns, ..tally.finish(None) }
}

/// Names of tags in the order in which they open; a page that is well-formed closes them all.
fn tags(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split_once('>').expect("a tag's end").0;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "in {page}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default().to_owned();
        if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name.as_str()) {
            open.push(name.clone());
        }
        all.push(name);
    }
    assert_eq!(open, Vec::<String>::new(), "all are closed");
    all
}

#[test]
fn hostile_names_are_no_markup() {
    // One remark there is already: no price is known for such a model.
    let mut hostile = report(HOSTILE);
    hostile.remarks.push(HOSTILE.to_owned());
    hostile.diagnosis[0].sentence = HOSTILE.to_owned();
    let page = html(&[hostile]);
    assert_eq!(tags(&page), tags(&html(&[Report { remarks: vec!["x".to_owned(); 2], ..report("plain") }])));
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains('\u{0}'));
    assert_eq!(escape("<a href=\"x\" b='c'>&"), "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;");
}

#[test]
fn the_page_stands_alone() {
    let page = html(&[report("http://one"), report("http://two")]);
    let tags = tags(&page);
    for forbidden in ["script", "link", "img", "iframe", "a", "form"] {
        assert!(!tags.iter().any(|tag| tag == forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme:dark"));
    assert!(!page.contains("url(") && !page.contains("@import"), "nothing is fetched");
    assert_eq!(tags.iter().filter(|tag| *tag == "svg").count(), 3);
    assert_eq!(tags.iter().filter(|tag| *tag == "polyline").count(), 2);
    assert_eq!(page.matches("<title id=").count(), 3);
}

#[test]
fn a_run_that_was_stopped_says_so() {
    let stopped = Some(crate::gauge::Stopped::Budget { cap_usd: 5.0 });
    assert!(html(&[Report { stopped, ..report("http://one") }]).contains("might have passed $5:"));
    assert!(!html(&[report("http://one")]).contains("figures so far"));
}

#[test]
fn a_page_of_nothing_is_a_page() {
    tags(&html(&[]));
    let nothing = tally(Via::Logs).finish(None);
    let page = html(&[nothing]);
    tags(&page);
    assert!(!page.contains("NaN") && page.contains("No answer said what it used"), "{page}");
}
