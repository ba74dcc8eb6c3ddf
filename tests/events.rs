//! Keyspace notifications: what the engine tells of each request, and what valkey-server 9.1 does, by database, event and
//! key, in their order.
//!
//! `events/*.txt` are requests with the events that each tells; both servers have to agree with them. Then random requests
//! of the differential tester's grammar: `SWELL_SEED=n` runs one case again, `SWELL_CASES=n` as many from a new start,
//! `SWELL_FAMILY=name` those of one family.

mod ours;
mod record;
mod theirs;

use std::fmt;

use crate::differential::{Family, Request, chosen, family_of, grammar::Grammar, number, replay, run};
use crate::harness::{Reply, Rng, escape};
use ours::Ours;
use record::{Line, RECORDS};
use theirs::Theirs;

/// Cases of each family in one run, unless SWELL_CASES says otherwise.
const CASES: u64 = 25;

/// Requests of one case, at least.
const REQUESTS: usize = 50;

/// Events of one request that are shown where they differ.
const SHOWN_MAX: usize = 40;

/// Every class by its letter.
const CLASSES: &str = "g$lshzxetnm";

/// What was told of one key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    db: u8,
    event: String,
    key: Vec<u8>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event, escape(&self.key))?;
        if self.db == 0 { Ok(()) } else { write!(f, " @{}", self.db) }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[test]
fn recorded_requests_tell_what_is_recorded() {
    for (name, text) in RECORDS {
        let (mut ours, mut theirs) = (Ours::new(), Theirs::new("nm"));
        for (number, line) in record::lines(text) {
            let Line::Request(request, expected) = line else {
                theirs.pass();
                continue;
            };
            let at = format!("{name}:{number} {}", run::shown(&request));
            let (_, told) = ours.run(&request);
            assert_eq!(shown(&told), expected, "ours, {at}");
            let (_, told) = theirs.run(&request);
            assert_eq!(shown(&told), expected, "theirs, {at}");
        }
    }
}

/// What a server tells that was asked for one class only.
#[test]
fn recorded_events_are_of_valkeys_classes() {
    for (name, text) in RECORDS {
        for class in CLASSES.chars() {
            let (mut ours, mut theirs) = (Ours::with(&class.to_string()), Theirs::only(&class.to_string()));
            for (number, line) in record::lines(text) {
                let Line::Request(request, _) = line else {
                    theirs.pass();
                    continue;
                };
                let (ours, theirs) = (ours.run(&request).1, theirs.run(&request).1);
                assert_eq!(ours, theirs, "{name}:{number}, class {class}: {}", run::shown(&request));
            }
        }
    }
}

#[test]
fn random_requests_tell_what_they_tell_at_valkey() {
    let mut theirs = Theirs::new("nm");
    let (mut one, mut other) = (theirs.conn(), theirs.conn());
    let grammar = Grammar::of(&mut one, &mut other);
    let mut told = 0;
    for seed in seeds() {
        let family = family_of(seed);
        if number("SWELL_SEED").is_none() && chosen().is_some_and(|chosen| chosen != family) {
            continue;
        }
        told += compare(&grammar.requests(family, &mut Rng::new(seed), REQUESTS), &mut theirs, seed);
    }
    eprintln!("{told} events compared");
    assert!(told > 0, "nothing was told at all");
}

/// Runs one case on both; returns how many events agreed.
fn compare(requests: &[Request], theirs: &mut Theirs, seed: u64) -> usize {
    let mut ours = Ours::new();
    theirs.clear();
    let mut count = 0;
    for (at, request) in requests.iter().enumerate() {
        let name = crate::differential::compare::name(request);
        let (reply, mut told) = ours.run(request);
        let (mut expected, mut replayed) = (Vec::new(), Vec::new());
        for asked in asked_of_theirs(&name, request, reply.as_ref()) {
            expected = theirs.run(&asked).1;
            replayed = asked;
        }
        if name == "spop" {
            // They were asked to remove what ours took.
            expected.iter_mut().filter(|event| event.event == "srem").for_each(|event| event.event = "spop".to_owned());
        }
        if name.starts_with("sort") {
            // Nobody promises in which order elements are weighed, nor which of equal ones LIMIT takes.
            let is_limited = request.iter().any(|word| word.eq_ignore_ascii_case(b"LIMIT"));
            for told in [&mut told, &mut expected] {
                told.retain(|event| !is_limited || event.event != "keymiss");
                told.sort();
            }
        }
        if ["keys", "scan", "randomkey"].contains(&name.as_str()) && told.iter().all(|event| event.event == "expired") {
            if told == expected {
                continue;
            }
            // Whoever goes by takes what has expired along here; there, only what they were asked for.
            break;
        }
        if told != expected {
            let before: Vec<String> =
                requests[..at].iter().map(|request| format!("> {}", run::shown(request))).collect();
            panic!(
                "SWELL_SEED={seed}:\n{}\n> {}\n  ours   {}\n  theirs {} of {}",
                before.join("\n"),
                run::shown(request),
                cut(&told),
                cut(&expected),
                run::shown(&replayed)
            );
        }
        count += told.len();
        if reply.is_some_and(|reply| replay::parts(request, &reply)) {
            break;
        }
    }
    count
}

/// What to ask the other server, so that it does what ours has done.
fn asked_of_theirs(name: &str, request: &Request, reply: Option<&Reply>) -> Vec<Request> {
    match (name, reply) {
        ("spop" | "xadd", Some(reply)) => {
            let replay = replay::Replay::of(request, reply, false);
            replay.requests.last().cloned().into_iter().collect()
        }
        _ => vec![request.clone()],
    }
}

fn seeds() -> std::ops::Range<u64> {
    let families = Family::ALL.len() as u64;
    match (number("SWELL_SEED"), number("SWELL_CASES")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(cases)) => {
            let start = (u64::from(std::process::id()) << 24) / families * families;
            eprintln!("seeds from {start}");
            start..start + cases * families
        }
        (None, None) => 0..CASES * families,
    }
}

/// As many events as one wants to read.
fn cut(told: &[Event]) -> String {
    let more = if told.len() > SHOWN_MAX { format!(" ...({} events)", told.len()) } else { String::new() };
    format!("{:?}{more}", &told[..told.len().min(SHOWN_MAX)])
}

fn shown(told: &[Event]) -> Vec<String> {
    told.iter().map(Event::to_string).collect()
}
