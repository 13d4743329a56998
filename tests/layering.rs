//! The arrows between modules, checked. ARCHITECTURE.md draws the same picture.

#![expect(clippy::expect_used, clippy::panic, reason = "a test helper may stop the test")]

use std::{fs, path::Path};

/// Layers, top to bottom. A module may name any module on a lower line, and none on its own line
/// or above.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["server"],
    &["replay", "gauge"],
    &["proxy", "admin", "sim"],
    &["config"],
    &["live"],
    &["snapshot"],
    &["session", "routing", "metering", "quota"],
    &["upstream", "telemetry", "store"],
    &["dialect"],
    &["types"],
    &["clock"],
];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn module_of(path: &Path) -> String {
    let below_src = path.strip_prefix("src").expect("a file under src");
    let first = below_src.iter().next().expect("a first part").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn check(path: &Path, bad: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a readable folder") {
            check(&entry.expect("an entry").path(), bad);
        }
        return;
    }
    let from = module_of(path);
    if path.extension().is_none_or(|ext| ext != "rs") || from == "lib" {
        return;
    }
    let from_rank = rank(&from).unwrap_or_else(|| panic!("`{from}` stands on no layer"));
    let text = fs::read_to_string(path).expect("a readable file");
    for (n, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for after in line.split("crate::").skip(1) {
            let to: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if to != from && rank(&to).is_some_and(|to_rank| to_rank <= from_rank) {
                bad.push(format!("{}:{}: `{from}` names `{to}`", path.display(), n + 1));
            }
        }
    }
}

#[test]
fn arrows_point_down() {
    let mut bad = Vec::new();
    check(Path::new("src"), &mut bad);
    assert!(bad.is_empty(), "upward or sideways arrows:\n{}", bad.join("\n"));
}

/// The simulated provider hashes prefixes and bills on its own, so that a bug cannot sit on both
/// sides of a test.
#[test]
fn the_simulated_provider_shares_no_code_with_what_it_judges() {
    let mut bad = Vec::new();
    names(Path::new("src/sim"), &["session", "routing", "metering", "upstream", "dialect"], &mut bad);
    assert!(bad.is_empty(), "sim names what it judges:\n{}", bad.join("\n"));
}

fn names(path: &Path, forbidden: &[&str], bad: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a readable folder") {
            names(&entry.expect("an entry").path(), forbidden, bad);
        }
        return;
    }
    for (n, line) in fs::read_to_string(path).expect("a readable file").lines().enumerate() {
        if forbidden.iter().any(|part| line.contains(&format!("crate::{part}"))) {
            bad.push(format!("{}:{}", path.display(), n + 1));
        }
    }
}
