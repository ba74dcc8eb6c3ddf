//! The checks themselves, on histories that are as they should be and on such that are not.

use std::time::{Duration, Instant};

use super::checks::check;
use super::history::{Answer, Death, Event, Kind, Op, Outcome};
use super::linear;

/// An event between two milliseconds.
fn event(client: usize, op: Op, outcome: Outcome, from_ms: u64, to_ms: u64) -> Event {
    let [invoked, returned] = [from_ms, to_ms].map(at);
    Event { key: 0, client, op, outcome, invoked, returned }
}

fn at(ms: u64) -> Instant {
    // One instant for all: what counts is the distance.
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now) + Duration::from_millis(ms)
}

fn done(number: u64) -> Outcome {
    Outcome::Done(Answer::Number(number))
}

fn unknown() -> Outcome {
    Outcome::Unknown("lost".to_owned())
}

fn refused() -> Outcome {
    Outcome::Refused("TRYAGAIN".to_owned())
}

fn append(token: &str) -> Op {
    Op::Append(token.to_owned())
}

fn set_once(token: &str) -> Op {
    Op::SetOnce(token.to_owned())
}

fn got(value: Option<u64>) -> Outcome {
    Outcome::Done(Answer::Value(value))
}

fn set(client: usize, value: u64, from_ms: u64, to_ms: u64) -> Event {
    event(client, Op::Set(value), Outcome::Done(Answer::Ok), from_ms, to_ms)
}

/// The node dies between milliseconds 100 and 110.
fn death(is_certain: bool) -> Option<Death> {
    Some(Death { before: at(100), after: at(110), is_certain })
}

#[track_caller]
fn holds(kind: Kind, events: &[Event], held: Option<&str>, death: Option<Death>) {
    assert_eq!(check(kind, events, held, death), Ok(()));
}

#[track_caller]
fn fails(kind: Kind, events: &[Event], held: Option<&str>, death: Option<Death>) {
    assert!(check(kind, events, held, death).is_err(), "{events:?} with {held:?}");
}

#[test]
fn a_counter_counts_what_was_acknowledged_once() {
    let one = |number, from, to| event(0, Op::Add, done(number), from, to);
    let events = [one(1, 0, 1), one(2, 2, 3), event(1, Op::Add, unknown(), 0, 9), event(1, Op::Add, refused(), 10, 11)];
    holds(Kind::Counter, &events, Some("2"), None);
    holds(Kind::Counter, &events, Some("3"), None);
    for wrong in [None, Some("1"), Some("4"), Some("x")] {
        fails(Kind::Counter, &events, wrong, None);
    }
    // Answered twice; against time.
    fails(Kind::Counter, &[one(1, 0, 1), one(1, 2, 3)], Some("2"), None);
    fails(Kind::Counter, &[one(2, 0, 1), one(1, 2, 3)], Some("2"), None);
    holds(Kind::Counter, &[one(2, 0, 3), one(1, 2, 3)], Some("2"), None);
}

#[test]
fn a_counter_begins_again_after_a_death() {
    let one = |number, from, to| event(0, Op::Add, done(number), from, to);
    let events = [one(1, 0, 1), one(2, 2, 3), one(3, 99, 105), one(1, 120, 121)];
    for held in ["1", "2"] {
        holds(Kind::Counter, &events, Some(held), death(true));
    }
    for wrong in [None, Some("3"), Some("4")] {
        fails(Kind::Counter, &events, wrong, death(true));
    }
    holds(Kind::Counter, &events, Some("4"), death(false));
    fails(Kind::Counter, &events, Some("5"), death(false));
    fails(Kind::Counter, &[one(1, 120, 121), one(1, 122, 123)], Some("2"), death(true));
}

#[test]
fn a_token_is_there_once_where_it_was_said_to_be() {
    let events = [
        event(0, append("0.1;"), done(4), 0, 1),
        event(1, append("1.1;"), unknown(), 0, 1),
        event(1, append("1.2;"), refused(), 2, 3),
        event(0, append("0.2;"), done(8), 4, 5),
    ];
    holds(Kind::Log, &events, Some("0.1;0.2;"), None);
    holds(Kind::Log, &events, Some("0.1;0.2;1.1;"), None);
    let wrong =
        ["0.1;", "0.2;0.1;", "0.1;1.1;0.2;", "0.1;0.2;0.2;", "0.1;0.2;1.1;1.1;", "0.1;0.2;1.2;", "0.1;0.2;9.9;", ""];
    for wrong in wrong {
        fails(Kind::Log, &events, Some(wrong), None);
    }
    let events = [event(0, append("0.1;"), done(4), 0, 1), event(0, append("0.2;"), done(4), 120, 121)];
    holds(Kind::Log, &events, Some("0.2;"), death(true));
    fails(Kind::Log, &events, Some("0.1;0.2;"), death(true));
    fails(Kind::Log, &events, None, death(true));
}

#[test]
fn only_one_is_the_first() {
    let won = event(0, set_once("a"), done(1), 0, 1);
    let lost = event(1, set_once("b"), done(0), 0, 1);
    let open = event(2, set_once("c"), unknown(), 0, 1);
    holds(Kind::Once, &[won.clone(), lost.clone(), open.clone()], Some("a"), None);
    holds(Kind::Once, &[lost.clone(), open.clone()], Some("c"), None);
    holds(Kind::Once, std::slice::from_ref(&open), None, None);
    fails(Kind::Once, &[won.clone(), lost.clone()], Some("b"), None);
    fails(Kind::Once, &[won.clone(), open.clone()], Some("c"), None);
    fails(Kind::Once, std::slice::from_ref(&lost), None, None);
    fails(Kind::Once, &[event(3, set_once("d"), refused(), 0, 1)], Some("d"), None);
    let again = event(3, set_once("d"), done(1), 120, 121);
    fails(Kind::Once, &[won.clone(), again.clone()], Some("a"), None);
    holds(Kind::Once, &[won.clone(), again.clone()], Some("d"), death(true));
    fails(Kind::Once, &[won, again.clone(), event(4, set_once("e"), done(1), 122, 123)], Some("d"), death(true));
}

#[test]
fn a_client_finds_what_it_has_set() {
    let get = |value, from, to| event(0, Op::Get, got(value), from, to);
    let late = event(0, Op::Set(7), unknown(), 4, 5);
    let kind = Kind::Own(0);
    holds(kind, &[get(None, 0, 1), set(0, 1, 2, 3), get(Some(1), 4, 5)], Some("1"), None);
    holds(kind, &[set(0, 1, 2, 3), late.clone(), get(Some(1), 6, 7), get(Some(7), 8, 9)], Some("7"), None);
    fails(kind, &[set(0, 1, 0, 1), set(0, 2, 2, 3), get(Some(1), 4, 5)], Some("2"), None);
    fails(kind, &[set(0, 1, 0, 1), get(None, 4, 5)], None, None);
    fails(kind, &[set(0, 1, 0, 1)], None, None);
    fails(kind, &[set(0, 1, 2, 3), late.clone(), get(Some(7), 6, 7), get(Some(1), 8, 9)], Some("1"), None);
    fails(kind, &[set(0, 1, 2, 3), event(0, Op::Set(7), refused(), 4, 5)], Some("7"), None);
    let dies = [set(0, 1, 0, 1), get(None, 120, 121)];
    holds(kind, &dies, None, death(true));
    holds(kind, &[set(0, 1, 0, 1), get(Some(1), 120, 121)], Some("1"), death(false));
    fails(kind, &[set(0, 1, 0, 1), get(Some(1), 120, 121)], Some("1"), death(true));
    fails(kind, &[set(0, 1, 0, 1), get(None, 50, 51)], None, death(true));
    fails(kind, &[set(0, 1, 120, 121), get(None, 122, 123)], None, death(true));
}

#[test]
fn the_tester_tells_what_is_linearizable() {
    let get = |client, value, from, to| event(client, Op::Get, got(value), from, to);
    let add = |client, number, from, to| event(client, Op::Add, done(number), from, to);
    let linearizable = |events: &[Event], deaths: &[Death]| linear::check(events, deaths).is_ok();
    // Old and new may both be seen while a SET is under way, but not the old one after the new.
    let under_way = set(0, 5, 10, 20);
    assert!(linearizable(&[under_way.clone(), get(1, None, 11, 12), get(1, Some(5), 13, 14)], &[]));
    assert!(!linearizable(&[under_way.clone(), get(1, Some(5), 11, 12), get(1, None, 13, 14)], &[]));
    assert!(!linearizable(&[under_way.clone(), get(1, Some(5), 11, 12), get(2, None, 13, 14)], &[]));
    assert!(!linearizable(&[under_way.clone(), get(1, None, 21, 22)], &[]));
    // Lost and doubled.
    assert!(linearizable(&[add(0, 1, 0, 5), add(1, 2, 1, 4)], &[]));
    assert!(!linearizable(&[add(0, 1, 0, 5), add(1, 1, 1, 4)], &[]));
    assert!(!linearizable(&[add(0, 1, 0, 1), add(0, 3, 2, 3)], &[]));
    // What is unknown may have run, once, at any later time; what was refused may not.
    let open = event(0, Op::Add, unknown(), 0, 1);
    assert!(linearizable(&[open.clone(), add(0, 1, 2, 3), add(0, 3, 4, 5)], &[]));
    assert!(linearizable(&[open.clone(), add(0, 1, 2, 3), add(0, 2, 4, 5)], &[]));
    assert!(!linearizable(&[open, add(0, 2, 2, 3), add(0, 4, 4, 5)], &[]));
    assert!(!linearizable(&[event(0, Op::Add, refused(), 0, 1), add(0, 2, 2, 3)], &[]));
    // A death takes what there is, once, and not before its time.
    let death = [Death { before: at(10), after: at(11), is_certain: true }];
    assert!(linearizable(&[add(0, 1, 0, 1), add(0, 1, 12, 13)], &death));
    assert!(!linearizable(&[add(0, 1, 0, 1), add(0, 1, 2, 3)], &death));
    assert!(!linearizable(&[add(0, 1, 0, 1), add(0, 1, 12, 13), add(0, 1, 14, 15)], &death));
    assert!(!linearizable(&[add(0, 1, 12, 13), add(0, 1, 14, 15)], &death));
}
