//! Laws over the whole tree: who may use whom, and that every command is tried somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use swell_engine::commands::table::tables;

/// ARCHITECTURE.md's rows, the lowest first: a crate may use crates of lower rows only.
const ROWS: [&[&str]; 5] = [
    &["swell-wire", "swell-ring"],
    &["swell-engine"],
    &["swell-node", "swell-meter"],
    &["swell-proxy", "swell-scaler", "swell-loadtest"],
    &["swell"],
];

/// Arrows that a row would allow and the house does not: (who, whom).
const FORBIDDEN: [(&str, &str); 4] = [
    ("swell-meter", "swell-node"),
    ("swell-loadtest", "swell-engine"),
    ("swell-loadtest", "swell-node"),
    ("swell-scaler", "swell-engine"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The crates of this workspace that a manifest's `[dependencies]` name.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let names = table.get("dependencies").and_then(toml::Value::as_table).map(|table| table.keys().cloned());
    names.into_iter().flatten().filter(|name| name.starts_with("swell")).collect()
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let row_of: BTreeMap<&str, usize> =
        ROWS.iter().enumerate().flat_map(|(row, names)| names.iter().map(move |name| (*name, row))).collect();
    let mut arrows = 0;
    for (name, row) in &row_of {
        let dir = name.strip_prefix("swell-").unwrap_or(".");
        for used in dependencies(&root().join(dir).join("Cargo.toml")) {
            let below = *row_of.get(used.as_str()).unwrap_or_else(|| panic!("{used} stands in no row"));
            assert!(below < *row, "{name} must not use {used}");
            assert!(!FORBIDDEN.contains(&(*name, used.as_str())), "{name} must not use {used}");
            arrows += 1;
        }
    }
    assert!(arrows >= 12, "the manifests were read: {arrows}");
}

#[test]
fn every_command_has_a_transcript() {
    let mut tried: BTreeSet<String> = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("tests/transcripts")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let prefix = if path.file_stem().is_some_and(|stem| stem == "memcached") { "memcached:" } else { "" };
        for line in String::from_utf8_lossy(&std::fs::read(&path).unwrap()).lines() {
            let Some((sender, request)) = line.split_once('>') else { continue };
            if !sender.chars().all(|digit| digit.is_ascii_digit()) {
                continue;
            }
            let mut words = request.trim_start_matches('-').split_whitespace().map(str::to_lowercase);
            let Some(first) = words.next() else { continue };
            if let Some(second) = words.next() {
                tried.insert(format!("{prefix}{first}|{second}"));
            }
            tried.insert(format!("{prefix}{first}"));
        }
    }
    let tables = tables();
    let resp = tables.resp.iter().map(|command| command.spec.name.to_owned());
    let memcached = tables.memcached.iter().map(|command| format!("memcached:{}", command.spec.name));
    let missing: Vec<String> = resp.chain(memcached).filter(|name| !tried.contains(name)).collect();
    assert!(missing.is_empty(), "no transcript tries {missing:?}");
}
