//! The same random requests to Swell and to valkey-server 9.1, replies and data compared.
//!
//! Requests are made from the grammar that `COMMAND DOCS` gives for each string and generic command, then some are
//! spoiled. `SWELL_SEED=n` runs one case again, `SWELL_CASES=n` as many from a new start; a failing case is reduced to the
//! requests that it takes.

mod compare;
mod grammar;

use crate::harness::{Conn, Real, Rng, Server, Subject, Topology, escape, everywhere};
use compare::{Outcome, Pair, run};
use grammar::Grammar;

/// Cases of one run unless SWELL_CASES says otherwise.
const CASES: u64 = 300;

/// Requests of one case.
const REQUESTS: usize = 50;

/// Seeds of the ordinary run: fixed, so that it says the same each time.
const FIRST_SEED: u64 = 1;

type Request = Vec<Vec<u8>>;

everywhere! {
    replies_in_resp2
    replies_in_resp3
}

fn replies_in_resp2(place: Topology) {
    differential(2, &Subject::resp_in(place));
}

fn replies_in_resp3(place: Topology) {
    differential(3, &Subject::resp_in(place));
}

/// Checks the test: what one server answers, another of the same kind has to answer as well.
#[test]
fn the_oracle_agrees_with_itself() {
    differential(2, &Real::valkey(&[]));
}

/// Checks the test: a difference is found and reduced to the request that shows it.
#[test]
fn a_difference_is_found_and_reduced() {
    let (one, other) = (Real::valkey(&[]), Real::valkey(&["--proto-max-bulk-len", "1mb"]));
    let mut pair = Pair { ours: one.conn(), theirs: other.conn(), refuses_crossing: false };
    let word = |text: &str| text.as_bytes().to_vec();
    let harmless: Request = vec![word("SET"), word("a"), word("b")];
    let telling: Request = vec![word("SETRANGE"), word("k"), word("2000000"), word("x")];
    let requests = [vec![harmless.clone(); 5], vec![telling.clone()], vec![harmless; 5]].concat();
    assert!(matches!(run(&requests, &mut pair), Outcome::Differs(_)));
    assert_eq!(reduce(requests, &mut pair), [telling]);
}

fn differential(protocol: u8, subject: &Server) {
    let oracle = Real::valkey(&[]);
    let grammar = Grammar::of(&mut subject.conn());
    let (ours, theirs) = (connect(subject, protocol), connect(&oracle, protocol));
    let mut pair = Pair { ours, theirs, refuses_crossing: subject.topology.is_several() };
    for seed in seeds() {
        let requests = grammar.requests(&mut Rng::new(seed), REQUESTS);
        if let Outcome::Differs(first) = run(&requests, &mut pair) {
            let fewest = reduce(requests, &mut pair);
            let why = match run(&fewest, &mut pair) {
                Outcome::Differs(why) => why,
                Outcome::Same => format!("but it does not show every time; at first {first}"),
            };
            panic!("SWELL_SEED={seed}, RESP{protocol}:\n{}\n{why}", print(&fewest));
        }
    }
}

fn connect(server: &Server, protocol: u8) -> Conn {
    let mut conn = server.conn();
    conn.cmd(&["HELLO", &protocol.to_string()]);
    conn
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SWELL_SEED") {
        return seed..seed + 1;
    }
    match number("SWELL_CASES") {
        Some(count) => {
            let start = u64::from(std::process::id()) << 32;
            eprintln!("seeds from {start}");
            start..start + count
        }
        None => FIRST_SEED..FIRST_SEED + CASES,
    }
}

/// Leaves out whatever the difference does not need: halves first, then ever smaller pieces.
fn reduce(mut requests: Vec<Request>, pair: &mut Pair) -> Vec<Request> {
    let mut piece = requests.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < requests.len() {
            let end = (at + piece).min(requests.len());
            let fewer = [&requests[..at], &requests[end..]].concat();
            match run(&fewer, pair) {
                Outcome::Differs(_) => requests = fewer,
                Outcome::Same => at = end,
            }
        }
        if piece == 1 {
            return requests;
        }
        piece = piece.div_ceil(2);
    }
}

fn print(requests: &[Request]) -> String {
    let word = |word: &Vec<u8>| {
        let text = escape(word).replace('"', "\\\"");
        if word.is_empty() || text.contains([' ', '"', '\\']) { format!("\"{text}\"") } else { text }
    };
    let line = |request: &Request| format!("> {}", request.iter().map(word).collect::<Vec<_>>().join(" "));
    requests.iter().map(line).collect::<Vec<_>>().join("\n")
}
