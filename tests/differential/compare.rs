//! Runs requests on two servers and compares what they say, as far as it does not depend on the clock or on chance.

use std::collections::BTreeSet;

use swell_ring::slot_of;

use super::Request;
use crate::harness::{Conn, Reply};

/// Databases that a request can reach, COPY's among them.
const DATABASES: [&str; 3] = ["0", "1", "2"];

/// Times to live may differ by as much between two servers that were asked one after the other.
const CLOCK_MS: i64 = 1500;

/// Rounds of one SCAN after which it has gone astray.
const SCAN_ROUNDS_MAX: usize = 1000;

/// What begins the reply to an atomic command whose keys lie in several slots, where the data is on several nodes.
const CROSSING: &str = "CROSSSLOT ";

/// The two that are compared.
pub struct Pair {
    pub ours: Conn,
    pub theirs: Conn,
    /// Ours refuses atomic commands over several slots.
    pub refuses_crossing: bool,
}

/// What comparing came to.
pub enum Outcome {
    Same,
    /// Shows the request and both replies.
    Differs(String),
}

/// Runs the requests on both servers, from empty ones on; then compares all the data.
pub fn run(requests: &[Request], pair: &mut Pair) -> Outcome {
    for conn in [&mut pair.ours, &mut pair.theirs] {
        assert_eq!(conn.cmd(&["SELECT", "0"]).text(), "OK");
        assert_eq!(conn.cmd(&["FLUSHALL"]).text(), "OK");
    }
    for (index, request) in requests.iter().enumerate() {
        if let Some(why) = differs(request, pair) {
            return Outcome::Differs(format!("request {} {why}", index + 1));
        }
    }
    for database in DATABASES {
        for conn in [&mut pair.ours, &mut pair.theirs] {
            assert_eq!(conn.cmd(&["SELECT", database]).text(), "OK");
        }
        if let Some(why) = data_differs(pair) {
            return Outcome::Differs(format!("then in database {database} {why}"));
        }
    }
    Outcome::Same
}

fn data_differs(pair: &mut Pair) -> Option<String> {
    let word = |text: &str| text.as_bytes().to_vec();
    let keys = vec![word("KEYS"), word("*")];
    if let Some(why) = differs(&keys, pair) {
        return Some(why);
    }
    let keys: Vec<Vec<u8>> = pair.theirs.cmd_bytes(&keys).items().iter().map(bytes).collect();
    for key in keys {
        for name in ["GET", "PEXPIRETIME"] {
            if let Some(why) = differs(&[word(name), key.clone()], pair) {
                return Some(why);
            }
        }
    }
    None
}

fn differs(request: &[Vec<u8>], pair: &mut Pair) -> Option<String> {
    let name = String::from_utf8_lossy(&request[0]).to_ascii_lowercase();
    let one = answer(&name, request, &mut pair.ours);
    if pair.refuses_crossing && is_crossing(&one) && crosses(request, &mut pair.theirs) {
        // Then nobody runs it.
        return None;
    }
    let other = answer(&name, request, &mut pair.theirs);
    if alike(&name, &one, &other) {
        return None;
    }
    let shown = request.iter().map(|word| crate::harness::escape(word)).collect::<Vec<_>>().join(" ");
    Some(format!("> {shown}\n  ours   {one:?}\n  theirs {other:?}"))
}

fn is_crossing(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(CROSSING))
}

/// Whether a request's keys lie in several slots.
fn crosses(request: &[Vec<u8>], oracle: &mut Conn) -> bool {
    let words = [vec![b"COMMAND".to_vec(), b"GETKEYS".to_vec()], request.to_vec()].concat();
    let slots: BTreeSet<_> = oracle.cmd_bytes(&words).items().iter().map(|key| slot_of(&bytes(key))).collect();
    slots.len() > 1
}

/// The reply; of SCAN, all keys that it yields until its cursor is 0 again, in ascending order.
fn answer(name: &str, request: &[Vec<u8>], conn: &mut Conn) -> Reply {
    let mut reply = conn.cmd_bytes(request);
    if name != "scan" || reply.is_error() {
        return reply;
    }
    let mut keys = Vec::new();
    for _ in 0..SCAN_ROUNDS_MAX {
        let (cursor, found) = (bytes(&reply.items()[0]), reply.items()[1].items().to_vec());
        keys.extend(found);
        if cursor == b"0" {
            keys.sort();
            keys.dedup();
            return Reply::Array(keys);
        }
        let mut next = request.to_vec();
        next[1] = cursor;
        reply = conn.cmd_bytes(&next);
    }
    Reply::Error(format!("SCAN has not come to its end in {SCAN_ROUNDS_MAX} rounds"))
}

fn alike(name: &str, one: &Reply, other: &Reply) -> bool {
    let both = |within: i64| match (one, other) {
        (Reply::Int(one), Reply::Int(other)) if *one >= 0 && *other >= 0 => {
            one.abs_diff(*other) <= within.unsigned_abs()
        }
        _ => one == other,
    };
    match (name, one, other) {
        ("ttl" | "expiretime", ..) => both(CLOCK_MS / 1000 + 1),
        ("pttl" | "pexpiretime", ..) => both(CLOCK_MS),
        // OBJECT's numbers (REFCOUNT, IDLETIME, FREQ) are the server's own.
        ("object", Reply::Int(_), Reply::Int(_)) => true,
        // Where "embstr" ends is the server's own, as is what INCRBYFLOAT leaves; the transcripts say what ours does.
        ("object", Reply::Bulk(_), Reply::Bulk(_)) => true,
        ("randomkey", Reply::Bulk(_), Reply::Bulk(_)) => true,
        ("keys", Reply::Array(one), Reply::Array(other)) => {
            let (mut one, mut other) = (one.clone(), other.clone());
            one.sort();
            other.sort();
            one == other
        }
        _ => one == other,
    }
}

fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes.clone(),
        other => panic!("a bulk was expected, not {other:?}"),
    }
}
