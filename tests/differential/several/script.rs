//! A sequence of steps of several clients, and how it is written down: as text that can be played again.
//!
//! | line | meaning |
//! | --- | --- |
//! | `0 opens 3` | client 0 connects and speaks RESP3 |
//! | `0> SET k "a\r\nb"` | client 0 sends a request |
//! | `0+ MULTI` | the same, in one write with the next line's |
//! | `0 closes` | client 0 goes away without a word |
//! | `pause 300` | nobody does anything for that many milliseconds |
//!
//! `<id:1>` stands for the id that the server has given to client 1.

use super::super::Request;
use crate::harness::{escape, split_words};

/// Clients of one script, at most.
pub const CLIENTS_MAX: usize = 4;

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Open {
        client: usize,
        protocol: u8,
    },
    Close {
        client: usize,
    },
    /// Requests that go out in one write: nearly always one.
    Send {
        client: usize,
        requests: Vec<Request>,
    },
    Pause {
        ms: u64,
    },
}

/// What stands for the id of a client.
pub fn id_of(client: usize) -> Vec<u8> {
    format!("<id:{client}>").into_bytes()
}

/// The script as text.
pub fn print(steps: &[Step]) -> String {
    steps.iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// One step as text; a line for each request.
pub fn shown(step: &Step) -> String {
    match step {
        Step::Open { client, protocol } => format!("{client} opens {protocol}"),
        Step::Close { client } => format!("{client} closes"),
        Step::Pause { ms } => format!("pause {ms}"),
        Step::Send { client, requests } => {
            let mark = |index: usize| if index + 1 < requests.len() { '+' } else { '>' };
            let lines = requests.iter().enumerate();
            lines
                .map(|(index, request)| format!("{client}{} {}", mark(index), typed(request)))
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// A script from its text. What else a printed one holds (answers, empty lines) is skipped.
pub fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut together = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(ms) = line.strip_prefix("pause ").and_then(|ms| ms.parse().ok()) {
            steps.push(Step::Pause { ms });
            continue;
        }
        let Some(client) = line.chars().next().and_then(|digit| digit.to_digit(10)) else { continue };
        let client = client as usize;
        assert!(client < CLIENTS_MAX, "there are {CLIENTS_MAX} clients at most: {line}");
        match &line[1..] {
            " opens 2" => steps.push(Step::Open { client, protocol: 2 }),
            " opens 3" => steps.push(Step::Open { client, protocol: 3 }),
            " closes" => steps.push(Step::Close { client }),
            rest if rest.starts_with("+ ") || rest.starts_with("> ") => {
                together.push(split_words(&rest[2..]).unwrap_or_else(|why| panic!("{line}: {why}")));
                if rest.starts_with('>') {
                    steps.push(Step::Send { client, requests: std::mem::take(&mut together) });
                }
            }
            _ => panic!("what does this mean? {line}"),
        }
    }
    steps
}

/// A request as a person would type it, whole.
fn typed(request: &Request) -> String {
    let word = |word: &Vec<u8>| {
        let text = escape(word).replace('"', "\\\"");
        if word.is_empty() || text.contains([' ', '"', '\\', '\'']) { format!("\"{text}\"") } else { text }
    };
    request.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn scripts_are_written_and_read() {
    let word = |text: &str| text.as_bytes().to_vec();
    let steps = [
        Step::Open { client: 0, protocol: 3 },
        Step::Send {
            client: 0,
            requests: vec![vec![word("MULTI")], vec![word("SET"), word("a b"), b"\xff\"\r\n".to_vec()]],
        },
        Step::Send { client: 0, requests: vec![vec![word("CLIENT"), word("UNBLOCK"), id_of(1), word("")]] },
        Step::Pause { ms: 300 },
        Step::Close { client: 0 },
    ];
    assert_eq!(parse(&print(&steps)), steps);
}
