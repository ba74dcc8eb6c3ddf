//! What an element costs: a server's resident memory before and after it was given collections.

use anyhow::Result;
use serde::Serialize;

use super::Bench;
use super::commands::load;
use super::dialect::KEY_PLACE;
use super::peer::Server;
use super::report::{Bar, Report};
use crate::workload::KEY_BYTES;

/// Memory of one server with one kind of collection.
#[derive(Debug, Clone, Serialize)]
pub struct ElementsRow {
    pub what: &'static str,
    pub server: String,
    pub elements: u64,
    /// Bytes of names, fields, members, values; a score counts as nothing.
    pub payload_bytes: u64,
    /// After a hundredth of the elements came and went.
    pub idle_bytes: u64,
    pub loaded_bytes: u64,
    /// (loaded − idle − payload) / elements.
    pub overhead_bytes_per_element: f64,
    /// The overhead over the yardstick's: below 1 is better. None for the yardstick itself.
    pub ratio: Option<f64>,
}

/// Collections of one kind.
struct Case {
    what: &'static str,
    /// How many of them.
    values: u64,
    /// Elements of each.
    elements: u64,
    add: Add,
    /// Bytes of an element that are no score.
    element_bytes: u64,
    /// At most so many times the yardstick.
    bar: f64,
}

/// How elements come in.
enum Add {
    /// Many with each request: the command, and the words behind the collection's name for element number `n`.
    Many(&'static str, fn(u64) -> Vec<String>),
    /// One with each request to the only collection: its words, `{key}` being the element or a part of it.
    One(&'static [&'static str]),
}

/// One of so many elements, or values, comes and goes before memory is looked at.
const WARM_UP: u64 = 100;

/// Elements that one request of the loading brings.
const PER_REQUEST: u64 = 50;

static CASES: &[Case] = &[
    Case {
        what: "hashes of 10 fields",
        values: 50_000,
        elements: 10,
        add: Add::Many("HSET", |n| vec![format!("field:{n:03}"), format!("value:{n:04}")]),
        element_bytes: 19,
        bar: 1.0,
    },
    Case {
        what: "hashes of 1,000 fields",
        values: 1_000,
        elements: 1_000,
        add: Add::Many("HSET", |n| vec![format!("field:{n:03}"), format!("value:{n:04}")]),
        element_bytes: 19,
        bar: 0.65,
    },
    Case {
        what: "sorted sets of 100 members",
        values: 10_000,
        elements: 100,
        add: Add::Many("ZADD", |n| vec![n.to_string(), format!("member:{n:03}")]),
        element_bytes: 10,
        bar: 1.0,
    },
    Case {
        what: "sorted sets of 1,000 members",
        values: 1_000,
        elements: 1_000,
        add: Add::Many("ZADD", |n| vec![n.to_string(), format!("member:{n:03}")]),
        element_bytes: 10,
        bar: 0.6,
    },
    Case {
        what: "sets of 1,000 members",
        values: 1_000,
        elements: 1_000,
        add: Add::Many("SADD", |n| vec![format!("member:{n:03}")]),
        element_bytes: 10,
        bar: 1.0,
    },
    Case {
        what: "a list of 1,000,000 elements",
        values: 1,
        elements: 1_000_000,
        add: Add::One(&["RPUSH", "value", "{key}"]),
        element_bytes: 16,
        bar: 1.0,
    },
    Case {
        what: "a stream of 1,000,000 entries",
        values: 1,
        elements: 1_000_000,
        add: Add::One(&["XADD", "value", "*", "field", "{key}"]),
        element_bytes: 21,
        bar: 1.0,
    },
];

/// Measures every kind of collection on a fresh server each.
///
/// # Errors
/// A server cannot be started, fails, or refuses something.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let wanted = |case: &&Case| bench.args.only.as_ref().is_none_or(|part| case.what.contains(part.as_str()));
    for case in CASES.iter().filter(wanted) {
        let mut rows = Vec::new();
        for spec in &bench.specs {
            let server = bench.start(spec, report)?;
            // What a server takes once, for code that it runs and buffers that it keeps, is no element's.
            fill(&server, case, WARM_UP)?;
            server.client()?.empty()?;
            let idle_bytes = server.settled_memory()?;
            fill(&server, case, 1)?;
            rows.push(row(case, &server.name, idle_bytes, server.settled_memory()?));
            bench.progress(&format!("{}: {}", server.name, case.what));
        }
        add_rows(bench, report, case, rows);
    }
    Ok(())
}

/// Puts one `part`th of the case's elements in.
fn fill(server: &Server, case: &Case, part: u64) -> Result<()> {
    match case.add {
        Add::One(words) => {
            load(server, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), case.elements / part)
        }
        Add::Many(command, add) => {
            let per_request = PER_REQUEST.min(case.elements);
            for first in (0..case.elements).step_by(per_request as usize) {
                let elements = (first..(first + per_request).min(case.elements)).flat_map(add);
                let words = [command.to_owned(), KEY_PLACE.to_owned()].into_iter().chain(elements);
                load(server, &words.collect::<Vec<_>>(), case.values / part)?;
            }
            Ok(())
        }
    }
}

fn row(case: &Case, server: &str, idle_bytes: u64, loaded_bytes: u64) -> ElementsRow {
    let elements = case.values * case.elements;
    let payload_bytes = elements * case.element_bytes + case.values * KEY_BYTES as u64;
    ElementsRow {
        what: case.what,
        server: server.to_owned(),
        elements,
        payload_bytes,
        idle_bytes,
        loaded_bytes,
        overhead_bytes_per_element: overhead(idle_bytes, loaded_bytes, payload_bytes, elements),
        ratio: None,
    }
}

fn overhead(idle: u64, loaded: u64, payload: u64, elements: u64) -> f64 {
    (loaded as f64 - idle as f64 - payload as f64) / elements as f64
}

fn add_rows(bench: &Bench<'_>, report: &mut Report, case: &Case, mut rows: Vec<ElementsRow>) {
    if let Some(yardstick) = bench.yardstick() {
        let overhead = rows[yardstick].overhead_bytes_per_element;
        let subject = rows.len() - 1;
        for (at, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != yardstick) {
            let ratio = row.overhead_bytes_per_element / overhead;
            row.ratio = Some(ratio);
            if at == subject {
                report.bars.push(Bar::at_most(
                    &format!("{}: bytes more, over the yardstick's", case.what),
                    ratio,
                    case.bar,
                ));
            }
        }
    }
    report.elements.append(&mut rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_the_bytes_that_are_counted() {
        for case in CASES {
            let (words, skipped) = match &case.add {
                // Scores count as nothing.
                Add::Many(command, add) => (add(case.elements - 1), usize::from(*command == "ZADD")),
                Add::One(words) => (words.iter().map(|word| word.replace(KEY_PLACE, "0123456789abcdef")).collect(), 2),
            };
            let bytes: usize = words[skipped..].iter().filter(|word| *word != "*").map(String::len).sum();
            assert_eq!(bytes as u64, case.element_bytes, "{}", case.what);
        }
        assert_eq!(overhead(1_000, 1_000 + 100 + 50, 100, 10), 5.0);
    }
}
