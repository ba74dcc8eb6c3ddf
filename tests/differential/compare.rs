//! Whether two replies say the same, as far as that does not depend on the clock, on chance or on an order that nobody
//! promises.

use crate::harness::Reply;

/// Times may differ by as much between two servers that were asked one after the other.
const CLOCK_MS: i64 = 3000;

/// Numbers from here on may be points in time, in milliseconds.
const TIMES_FROM: i64 = 100_000_000_000;

/// A reply to a request of a name, without what may differ.
type Canonical = fn(&str, &[Vec<u8>], &Reply) -> Reply;

/// Differences that are meant: a name, a reason, and which replies it excuses.
type Intended = (&'static str, &'static str, fn(&[Vec<u8>], &Reply, &Reply) -> bool);

const INTENDED: &[Intended] = &[
    ("object", "reference counts, idle times and frequencies are the server's own", |_, one, other| {
        matches!((one, other), (Reply::Int(_), Reply::Int(_)))
    }),
    ("object", "up to where a string is one piece with its key is the server's own", |_, one, other| {
        is_encoding(one, &["embstr", "raw"]) && is_encoding(other, &["embstr", "raw"])
    }),
    ("object", "a number is kept as one, also where INCRBYFLOAT made it", |_, one, other| {
        is_encoding(one, &["int"]) && is_encoding(other, &["embstr", "raw"])
    }),
    ("randomkey", "any key will do", |_, one, other| matches!((one, other), (Reply::Bulk(_), Reply::Bulk(_)))),
    ("hgetex", "Valkey takes a key called FIELDS for the word", key_called_fields),
    ("hsetex", "Valkey takes a key called FIELDS for the word", key_called_fields),
    ("sort", "elements of equal weight have no order, so a part of them may be any", sorted_by_weight),
    ("sort_ro", "elements of equal weight have no order, so a part of them may be any", sorted_by_weight),
];

/// What begins the names of those whose replies have no order.
const UNORDERED: [&str; 8] = ["keys", "smembers", "sdiff", "sinter", "sunion", "hkeys", "hvals", "hgetall"];

/// Those whose replies have an order only if they are asked for one.
const UNORDERED_UNLESS_SORTED: [&str; 5] =
    ["georadius", "georadius_ro", "georadiusbymember", "georadiusbymember_ro", "geosearch"];

/// A request's name in lower case.
pub fn name(request: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&request[0]).to_ascii_lowercase()
}

/// Whether two replies to a request agree.
pub fn alike(request: &[Vec<u8>], one: &Reply, other: &Reply, encodings_differ: bool) -> bool {
    let name = name(request);
    if one == other || (encodings_differ && name == "object") {
        return true;
    }
    let (within, canonical): (i64, Canonical) = match name.as_str() {
        "ttl" | "expiretime" | "httl" | "hexpiretime" => (CLOCK_MS / 1000 + 1, as_it_is),
        "pttl" | "pexpiretime" | "hpttl" | "hpexpiretime" => (CLOCK_MS, as_it_is),
        "xinfo" => (0, info_without_idle_times),
        "xpending" => (0, pending_without_idle_times),
        _ => (0, in_order),
    };
    let (one, other) = (canonical(&name, request, one), canonical(&name, request, other));
    near(&one, &other, within)
        || ends_at_zero(&one, &other)
        || INTENDED.iter().any(|(of, _, excuses)| *of == name && excuses(request, &one, &other))
}

/// Whether two replies are the same but for numbers that are that near, or points in time that are near.
fn near(one: &Reply, other: &Reply, within: i64) -> bool {
    match (one, other) {
        (Reply::Int(one), Reply::Int(other)) if *one >= 0 && *other >= 0 => {
            let within = if *one > TIMES_FROM { within.max(CLOCK_MS) } else { within };
            one.abs_diff(*other) <= within.unsigned_abs()
        }
        (Reply::Array(one), Reply::Array(other)) | (Reply::Map(one), Reply::Map(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| near(one, other, within))
        }
        _ => one == other,
    }
}

fn as_it_is(_: &str, _: &[Vec<u8>], reply: &Reply) -> Reply {
    reply.clone()
}

/// The reply with its elements sorted, where their order means nothing.
fn in_order(name: &str, request: &[Vec<u8>], reply: &Reply) -> Reply {
    let has = |word: &str| request.iter().any(|have| have.eq_ignore_ascii_case(word.as_bytes()));
    let is_unordered = UNORDERED.contains(&name)
        || (UNORDERED_UNLESS_SORTED.contains(&name) && !has("ASC") && !has("DESC"))
        || (name.starts_with("sort") && has("nosort"));
    match reply {
        Reply::Array(items) if is_unordered && name == "hgetall" => {
            let mut pairs: Vec<&[Reply]> = items.chunks(2).collect();
            pairs.sort();
            Reply::Array(pairs.concat())
        }
        Reply::Array(items) if is_unordered => {
            let mut items = items.clone();
            items.sort();
            Reply::Array(items)
        }
        other => other.clone().sorted(),
    }
}

/// XINFO's replies: how long somebody has been idle is told by the clock, and Valkey's radix tree is its own.
fn info_without_idle_times(_: &str, _: &[Vec<u8>], reply: &Reply) -> Reply {
    without_idle_times(reply)
}

fn without_idle_times(reply: &Reply) -> Reply {
    let fields = |items: &[Reply]| {
        let mut known: Vec<Reply> = items.iter().map(without_idle_times).collect();
        for pair in known.chunks_exact_mut(2) {
            let is_own = |field: &Reply| matches!(field, Reply::Bulk(name) if [&b"idle"[..], b"inactive", b"radix-tree-nodes"].contains(&&name[..]));
            if is_own(&pair[0])
                && let Reply::Int(number @ 0..) = &mut pair[1]
            {
                *number = 0;
            }
        }
        known
    };
    match reply {
        Reply::Array(items) => Reply::Array(fields(items)),
        Reply::Map(items) => Reply::Map(fields(items)),
        other => other.clone(),
    }
}

/// XPENDING's lines are ID, consumer, idle time, deliveries.
fn pending_without_idle_times(_: &str, _: &[Vec<u8>], reply: &Reply) -> Reply {
    let Reply::Array(lines) = reply else { return reply.clone() };
    let line = |line: &Reply| match line {
        Reply::Array(parts) if parts.len() == 4 => {
            let mut parts = parts.clone();
            if let Reply::Int(number @ 0..) = &mut parts[2] {
                *number = 0;
            }
            Reply::Array(parts)
        }
        other => other.clone(),
    };
    Reply::Array(lines.iter().map(line).collect())
}

/// An error that quotes the request goes on behind a zero byte, where Valkey's stops quoting: there, or at the quote.
fn ends_at_zero(one: &Reply, other: &Reply) -> bool {
    let (Reply::Error(one), Reply::Error(other)) = (one, other) else { return false };
    let Some((before, _)) = one.split_once('\0') else { return false };
    let quoted = |part: &str| part.split_once('\0').map_or(part.to_owned(), |(before, _)| before.to_owned());
    other.strip_prefix(before).is_some_and(|rest| one.ends_with(rest))
        || one.split('\'').map(quoted).collect::<Vec<_>>().join("'") == *other
}

fn key_called_fields(request: &[Vec<u8>], one: &Reply, other: &Reply) -> bool {
    one.is_error() && other.is_error() && request.get(1).is_some_and(|key| key.eq_ignore_ascii_case(b"FIELDS"))
}

fn is_encoding(reply: &Reply, names: &[&str]) -> bool {
    matches!(reply, Reply::Bulk(name) if names.iter().any(|known| known.as_bytes() == name))
}

/// SORT … BY: the same elements in any order, or only as many where LIMIT takes a part of them.
fn sorted_by_weight(request: &[Vec<u8>], one: &Reply, other: &Reply) -> bool {
    let has = |word: &str| request.iter().any(|have| have.eq_ignore_ascii_case(word.as_bytes()));
    let (Reply::Array(one), Reply::Array(other)) = (one, other) else { return false };
    if !has("BY") || one.len() != other.len() {
        return false;
    }
    let (mut one, mut other) = (one.clone(), other.clone());
    one.sort();
    other.sort();
    has("LIMIT") || has("GET") || one == other
}
