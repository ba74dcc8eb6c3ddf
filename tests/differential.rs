//! The same random requests to Swell and to valkey-server 9.1, replies and data compared.
//!
//! Requests are made from the grammar that `COMMAND DOCS` gives for each command of the data families, then some are
//! spoiled. Each case is about one family. `SWELL_SEED=n` runs one case again, `SWELL_CASES=n` as many of each from a new start,
//! `SWELL_FAMILY=name` (a group of `COMMAND DOCS`) only those of one; a failing case is reduced to the requests that it takes,
//! and after `SWELL_DIFFERENCES=n` of them a run ends.

pub mod compare;
mod data;
mod feed;
pub mod grammar;
mod pools;
pub mod replay;
pub mod run;
mod several;

use std::collections::BTreeMap;

use crate::harness::{Conn, Real, Rng, Server, Subject, Topology, everywhere};
use grammar::Grammar;
use run::{Outcome, Pair, run};

/// Cases of each family in one run unless SWELL_CASES says otherwise: in eight runs these make 20,000 requests of each.
const CASES: u64 = 62;

/// Cases that differ after which a run ends, unless SWELL_DIFFERENCES says otherwise.
const DIFFERENCES: u64 = 3;

/// Requests of one case, at least.
const REQUESTS: usize = 50;

/// The words of one request.
pub type Request = Vec<Vec<u8>>;

/// What a case is about: the groups of `COMMAND DOCS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    String,
    List,
    Hash,
    Set,
    SortedSet,
    Stream,
    HyperLogLog,
    Bitmap,
    Geo,
    Generic,
}

impl Family {
    pub const ALL: [Family; 10] = [
        Family::String,
        Family::List,
        Family::Hash,
        Family::Set,
        Family::SortedSet,
        Family::Stream,
        Family::HyperLogLog,
        Family::Bitmap,
        Family::Geo,
        Family::Generic,
    ];

    /// The name in `COMMAND DOCS`.
    fn group(self) -> &'static str {
        match self {
            Family::String => "string",
            Family::List => "list",
            Family::Hash => "hash",
            Family::Set => "set",
            Family::SortedSet => "sorted-set",
            Family::Stream => "stream",
            Family::HyperLogLog => "hyperloglog",
            Family::Bitmap => "bitmap",
            Family::Geo => "geo",
            Family::Generic => "generic",
        }
    }

    fn of_group(group: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.group() == group)
    }
}

everywhere! {
    replies_in_resp2
    replies_in_resp3
}

fn replies_in_resp2(place: Topology) {
    differential(2, &Subject::resp_in(place), place as u64 * 2);
}

fn replies_in_resp3(place: Topology) {
    differential(3, &Subject::resp_in(place), place as u64 * 2 + 1);
}

/// Checks the test: what one server answers, another of the same kind has to answer as well.
#[test]
fn the_oracle_agrees_with_itself() {
    differential(2, &Real::valkey(&[]), 8);
}

/// Checks the test: a difference is found and reduced to the request that shows it.
#[test]
fn a_difference_is_found_and_reduced() {
    let (one, other) = (Real::valkey(&[]), Real::valkey(&["--proto-max-bulk-len", "1mb"]));
    let mut pair = Pair::new(one.conn(), other.conn(), false);
    let word = |text: &str| text.as_bytes().to_vec();
    let harmless: Request = vec![word("SET"), word("a"), word("b")];
    let telling: Request = vec![word("SETRANGE"), word("k"), word("2000000"), word("x")];
    let requests = [vec![harmless.clone(); 5], vec![telling.clone()], vec![harmless; 5]].concat();
    assert!(matches!(run(&requests, &mut pair), Outcome::Differs(_)));
    assert_eq!(reduce(requests, &mut pair), [telling]);
}

fn differential(protocol: u8, subject: &Server, place: u64) {
    let oracle = Real::valkey(&["--enable-debug-command", "yes"]);
    let grammar = Grammar::of(&mut subject.conn(), &mut oracle.conn());
    let (ours, theirs) = (connect(subject, protocol), connect(&oracle, protocol));
    let mut pair = Pair::new(ours, theirs, subject.topology.is_several());
    let (mut compared, mut found) = (BTreeMap::new(), Vec::new());
    for seed in seeds(place) {
        let family = family_of(seed);
        if number("SWELL_SEED").is_none() && chosen().is_some_and(|chosen| chosen != family) {
            continue;
        }
        let telling = Telling(seed, protocol);
        let requests = grammar.requests(family, &mut Rng::new(seed), REQUESTS);
        let outcome = run(&requests, &mut pair);
        for family in requests[..pair.agreed].iter().filter_map(|request| grammar.family(request)) {
            *compared.entry(family).or_insert(0) += 1;
        }
        if let Outcome::Differs(first) = outcome {
            let fewest = reduce(requests, &mut pair);
            let why = match run(&fewest, &mut pair) {
                Outcome::Differs(why) => why,
                Outcome::Same => format!("but it does not show every time; at first {first}"),
            };
            found.push(format!("SWELL_SEED={seed}, RESP{protocol}:\n{}\n{why}", print(&fewest)));
        }
        std::mem::forget(telling);
        if found.len() >= number("SWELL_DIFFERENCES").unwrap_or(DIFFERENCES).try_into().expect("not many") {
            break;
        }
    }
    let counts: Vec<String> = compared.iter().map(|(family, count)| format!("{} {count}", family.group())).collect();
    eprintln!("compared in RESP{protocol}, {:?}: {}", subject.topology, counts.join(", "));
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Says which case it was when a server went away in its midst.
struct Telling(u64, u8);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the case SWELL_SEED={}, RESP{}", self.0, self.1);
        }
    }
}

fn connect(server: &Server, protocol: u8) -> Conn {
    let mut conn = server.conn();
    conn.cmd(&["HELLO", &protocol.to_string()]);
    conn
}

/// The seeds of one run; those of the ordinary ones are fixed, so that they say the same each time.
fn seeds(place: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("SWELL_SEED") {
        return seed..seed + 1;
    }
    match number("SWELL_CASES") {
        Some(count) => {
            let start = (u64::from(std::process::id()) << 32) + (place << 28);
            let start = start - start % Family::ALL.len() as u64;
            eprintln!("seeds from {start}");
            start..start + count * Family::ALL.len() as u64
        }
        None => {
            let cases = CASES * Family::ALL.len() as u64;
            place * cases..(place + 1) * cases
        }
    }
}

/// A number that the environment says.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

/// What the case with this seed is about.
pub fn family_of(seed: u64) -> Family {
    Family::ALL[usize::try_from(seed % Family::ALL.len() as u64).expect("below ten")]
}

/// The one family that SWELL_FAMILY says.
pub fn chosen() -> Option<Family> {
    let name = std::env::var("SWELL_FAMILY").ok()?;
    Some(Family::of_group(&name).unwrap_or_else(|| panic!("no family is called {name}")))
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
        if piece <= 1 {
            return requests;
        }
        piece = piece.div_ceil(2);
    }
}

fn print(requests: &[Request]) -> String {
    let line = |request: &Request| format!("> {}", run::shown(request));
    requests.iter().map(line).collect::<Vec<_>>().join("\n")
}
