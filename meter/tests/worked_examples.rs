//! The worked examples of docs/metering.md, priced: the page and the code cannot part.

use std::fs;
use std::path::Path;

use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;
use swell_meter::coefficients::{Coefficient, Coefficients};
use swell_meter::{Profile, Tariff};

/// What the published examples suppose, as the page says: each unit of work takes one baseline.
static ONE_BASELINE_A_UNIT: Coefficients = Coefficients {
    baseline_ns: 3000,
    rows: &[
        Coefficient { name: "hmget", base_ns: 0, unit_ns: 3000 },
        Coefficient { name: "sort", base_ns: 0, unit_ns: 3000 },
    ],
};

/// The cells of the first table under a heading, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metering.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let heading = format!("## {heading}");
    let rows: Vec<Vec<String>> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches(['|', ' ']).split(" | ").map(cell).collect())
        .collect();
    assert!(!rows.is_empty(), "{heading} has a table");
    rows
}

fn cell(text: &str) -> String {
    text.trim().trim_matches('`').replace("\\|", "|")
}

fn id(label: &str) -> CommandId {
    let (table, name) = match label.strip_prefix("memcached:") {
        Some(verb) => (&tables().memcached, verb),
        None => (&tables().resp, label),
    };
    table.by_name(name.as_bytes()).expect(label).id
}

fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().expect(cell)
}

/// Thousandths from a decimal number with up to three places.
fn milli(cell: &str) -> u64 {
    let (whole, part) = cell.split_once('.').unwrap_or((cell, ""));
    assert!(part.len() <= 3, "{cell}");
    number(whole) * 1000 + number(&format!("{part:0<3}"))
}

#[test]
fn the_published_examples_come_out() {
    let tariff = Tariff::with_coefficients(Profile::Elasticache, &ONE_BASELINE_A_UNIT);
    let rows = table("The published examples");
    for row in &rows {
        let [example, label, bytes, work, ecpu] = &row[..] else { panic!("{row:?}") };
        assert_eq!(tariff.ecpu_milli(id(label), number(bytes), number(work)), milli(ecpu), "{example}");
    }
    // All nine, with GET and SET of 3.2 KB as two.
    assert_eq!(rows.len(), 10);
}

#[test]
fn the_examples_with_shipped_coefficients_come_out() {
    let rows = table("Examples with the coefficients that ship");
    for row in &rows {
        let [example, label, bytes, work, elasticache, swell] = &row[..] else { panic!("{row:?}") };
        for (profile, expected) in [(Profile::Elasticache, elasticache), (Profile::Swell, swell)] {
            let price = Tariff::new(profile).ecpu_milli(id(label), number(bytes), number(work));
            assert_eq!(price, milli(expected), "{example} under {}", profile.name());
        }
    }
}
