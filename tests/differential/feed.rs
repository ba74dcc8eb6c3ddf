//! Requests that make data for the others to find, now and then enough to leave the compact encodings.

use super::pools::{self, Pools, text};
use super::{Family, Request};
use crate::harness::{Conn, Reply, Rng};

/// Percentage of feeding requests that bring many elements.
const MANY: usize = 6;

/// Entries that a stream gets at once: more than two nodes.
const ENTRIES: usize = 230;

/// Adds one request, or a few that belong together, that make data of that family.
pub fn data(family: Family, pools: &Pools<'_>, rng: &mut Rng, requests: &mut Vec<Request>) {
    let key = pools.key(rng);
    let count = count(rng);
    let request = match family {
        Family::String => vec![text("SET"), key, pools.value(rng)],
        Family::Bitmap => bitmap(key, pools, rng),
        Family::List => {
            let name = rng.pick(&["RPUSH", "RPUSH", "LPUSH"]);
            let long = pools.are_long && rng.chance(5);
            many(name, key, count, &mut |_| if long { vec![b'e'; 5000] } else { pools.word(rng) })
        }
        Family::Set if rng.chance(50) => many("SADD", key, count, &mut |n| integer(n, count, rng)),
        Family::Set => many("SADD", key, count, &mut |n| member(n, count, pools, rng)),
        Family::Hash => pairs("HSET", key, count, &mut |n| (member(n, count, pools, rng), pools.word(rng))),
        Family::SortedSet => sorted(key, count, pools, rng),
        Family::Geo => {
            let mut request = vec![text("GEOADD"), key];
            for n in 0..count {
                request.push(pools::coordinate("longitude", rng));
                request.push(pools::coordinate("latitude", rng));
                request.push(member(n, count, pools, rng));
            }
            request
        }
        Family::HyperLogLog => {
            let mut request = many("PFADD", key, count, &mut |_| pools.word(rng));
            if count > 10 {
                request.extend((0..count * 3).map(|n| format!("element:{n}").into_bytes()));
            }
            request
        }
        Family::Stream => return stream(key, rng, requests),
        Family::Generic => {
            let others = &Family::ALL[..Family::ALL.len() - 1];
            return data(others[rng.below(others.len())], pools, rng, requests);
        }
    };
    requests.push(request);
}

/// A request that looks at a key's encoding, or at all of it.
pub fn look(pools: &Pools<'_>, rng: &mut Rng) -> Request {
    let key = pools.key(rng);
    match rng.below(4) {
        0 => vec![text("DUMP"), key],
        1 => vec![text("TYPE"), key],
        _ => vec![text("OBJECT"), text("ENCODING"), key],
    }
}

/// What DUMP says of values of every type and encoding.
pub fn payloads(oracle: &mut Conn) -> Vec<Vec<u8>> {
    let mut requests: Vec<Vec<String>> = [
        "SET k 12",
        "SET k hello",
        "RPUSH k a b 3",
        "SADD k 1 2 3",
        "SADD k a b 1",
        "HSET k a 1 b 2",
        "HSETEX k PXAT 9999999999999 FIELDS 1 a 1",
        "ZADD k 1 a 2.5 b -inf c",
        "XADD k 3-1 a b",
        "PFADD k a b c",
    ]
    .iter()
    .map(|line| line.split(' ').map(str::to_owned).collect())
    .collect();
    for (name, width) in [("RPUSH", 1), ("SADD", 1), ("HSET", 2), ("ZADD", 2)] {
        let elements = (0..600 * width).map(|n| if n % width == 0 { n.to_string() } else { format!("member:{n}") });
        requests.push([name.to_owned(), "k".to_owned()].into_iter().chain(elements).collect());
    }
    requests.push(vec!["SET".to_owned(), "k".to_owned(), "abc".repeat(1000)]);
    let payloads = requests.iter().map(|request| {
        assert!(!oracle.cmd_bytes(request).is_error(), "{request:?}");
        let Reply::Bulk(payload) = oracle.cmd(&["DUMP", "k"]) else { panic!("{request:?} has made nothing") };
        oracle.cmd(&["DEL", "k"]);
        payload
    });
    payloads.collect()
}

fn count(rng: &mut Rng) -> usize {
    if rng.chance(MANY) { 100 + rng.below(700) } else { 1 + rng.below(5) }
}

fn many(name: &str, key: Vec<u8>, count: usize, word: &mut dyn FnMut(usize) -> Vec<u8>) -> Request {
    [text(name), key].into_iter().chain((0..count).map(word)).collect()
}

fn pairs(name: &str, key: Vec<u8>, count: usize, pair: &mut dyn FnMut(usize) -> (Vec<u8>, Vec<u8>)) -> Request {
    let mut request = vec![text(name), key];
    for n in 0..count {
        let (one, other) = pair(n);
        request.extend([one, other]);
    }
    request
}

/// One of a few that meet, or of many that are told apart.
fn member(n: usize, count: usize, pools: &Pools<'_>, rng: &mut Rng) -> Vec<u8> {
    if count < 10 || n.is_multiple_of(50) { pools.word(rng) } else { format!("member:{n}").into_bytes() }
}

fn integer(n: usize, count: usize, rng: &mut Rng) -> Vec<u8> {
    let number = if count < 10 { rng.below(30) } else { n * 3 };
    let number = i64::try_from(number).expect("a small number");
    let wide = match rng.below(60) {
        0 => 70_000 + number,
        1 => -9_000_000_000 - number,
        _ => number,
    };
    wide.to_string().into_bytes()
}

fn sorted(key: Vec<u8>, count: usize, pools: &Pools<'_>, rng: &mut Rng) -> Request {
    pairs("ZADD", key, count, &mut |n| {
        let score = match (pools.are_level, count < 10) {
            (true, _) => text("0"),
            (_, true) => pools::score(rng),
            _ => format!("{}", (n * 7919 % 1000) as f64 / 4.0).into_bytes(),
        };
        (score, member(n, count, pools, rng))
    })
}

fn bitmap(key: Vec<u8>, pools: &Pools<'_>, rng: &mut Rng) -> Request {
    match rng.below(3) {
        0 => vec![text("SET"), key, pools.value(rng)],
        1 => {
            vec![text("SET"), key, (0..rng.below(300)).map(|_| u8::try_from(rng.below(256)).expect("a byte")).collect()]
        }
        _ => vec![text("SETBIT"), key, rng.below(3000).to_string().into_bytes(), text("1")],
    }
}

/// Entries, or a group; often both, with a consumer who has read some.
fn stream(key: Vec<u8>, rng: &mut Rng, requests: &mut Vec<Request>) {
    let add = |id: usize, rng: &mut Rng| -> Request {
        let mut request = vec![text("XADD"), key.clone(), format!("{id}-1").into_bytes()];
        for n in 0..1 + rng.below(2) {
            request.extend([format!("field{n}").into_bytes(), rng.below(1000).to_string().into_bytes()]);
        }
        request
    };
    let group = text(rng.pick(&["g", "g", "h"]));
    match rng.below(20) {
        0 => {
            for id in 1..=ENTRIES {
                requests.push(add(id, rng));
            }
        }
        1..=9 => {
            let first = rng.below(30);
            for step in 0..1 + rng.below(4) {
                requests.push(add(first + step, rng));
            }
        }
        10..=14 => {
            let from = text(rng.pick(&["0", "0", "$", "3-1"]));
            requests.push(vec![text("XGROUP"), text("CREATE"), key, group, from, text("MKSTREAM")]);
        }
        _ => {
            let consumer = text(rng.pick(&["alice", "bob"]));
            let count = (1 + rng.below(6)).to_string().into_bytes();
            let head = vec![text("XREADGROUP"), text("GROUP"), group, consumer, text("COUNT"), count];
            requests.push([head, vec![text("STREAMS"), key, text(">")]].concat());
        }
    }
}
