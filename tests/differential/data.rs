//! Compares all that two servers hold.

use super::Request;
use super::replay::Replay;
use super::run::{Pair, differing, pipeline, words};
use crate::harness::Reply;

/// Databases that a request can reach, COPY's among them.
const DATABASES: [&str; 3] = ["0", "1", "2"];

/// Words without which a case has stayed in the first of them.
const WAYS_OUT: [&[u8]; 3] = [b"MOVE", b"COPY", b"DB"];

/// The databases that requests may have reached.
pub fn reached(requests: &[Request]) -> &'static [&'static str] {
    let leaves =
        |request: &Request| request.iter().any(|word| WAYS_OUT.iter().any(|way| word.eq_ignore_ascii_case(way)));
    if requests.iter().any(leaves) { &DATABASES } else { &DATABASES[..1] }
}

/// What differs, if anything does.
pub fn differs(databases: &[&str], pair: &mut Pair) -> Option<String> {
    databases.iter().find_map(|database| {
        let why = differs_in(database, pair).err()?;
        Some(format!("in database {database} {why}"))
    })
}

fn differs_in(database: &str, pair: &mut Pair) -> Result<(), String> {
    let keys = compare_all(&[words(&["SELECT", database]), words(&["KEYS", "*"])], pair)?;
    let keys: Vec<Vec<u8>> = keys[1].items().iter().map(bytes).collect();
    let with = |word: &str, key: &Vec<u8>| vec![word.as_bytes().to_vec(), key.clone()];
    let types = compare_all(&keys.iter().map(|key| with("TYPE", key)).collect::<Vec<_>>(), pair)?;
    let mut all = Vec::new();
    for (key, kind) in keys.iter().zip(&types) {
        all.push(with("PEXPIRETIME", key));
        all.push([words(&["OBJECT", "ENCODING"]), vec![key.clone()]].concat());
        all.extend(reading(&kind.text(), key));
        all.push(with("DUMP", key));
    }
    compare_all(&all, pair).map(drop)
}

/// Requests that read the whole value.
fn reading(kind: &str, key: &[u8]) -> Vec<Request> {
    let templates: &[&[&str]] = match kind {
        "string" => &[&["GET", "KEY"]],
        "list" => &[&["LRANGE", "KEY", "0", "-1"]],
        "hash" => &[&["HGETALL", "KEY"]],
        "set" => &[&["SMEMBERS", "KEY"]],
        "zset" => &[&["ZRANGE", "KEY", "0", "-1", "WITHSCORES"]],
        "stream" => &[&["XRANGE", "KEY", "-", "+"], &["XINFO", "STREAM", "KEY", "FULL", "COUNT", "0"]],
        other => panic!("a type {other}"),
    };
    let word = |word: &&str| if *word == "KEY" { key.to_vec() } else { word.as_bytes().to_vec() };
    templates.iter().map(|template| template.iter().map(word).collect()).collect()
}

/// The other's replies, of which ours are no different.
fn compare_all(requests: &[Request], pair: &mut Pair) -> Result<Vec<Reply>, String> {
    let ours = pipeline(&mut pair.ours, requests);
    let replays: Vec<Replay> =
        requests.iter().zip(&ours).map(|(request, reply)| Replay::of(request, reply, false)).collect();
    let sent: Vec<Request> = replays.iter().flat_map(|replay| replay.requests.clone()).collect();
    let mut theirs = pipeline(&mut pair.theirs, &sent).into_iter();
    let mut replies = Vec::new();
    for ((request, reply), replay) in requests.iter().zip(&ours).zip(replays) {
        let mut theirs: Vec<Reply> = theirs.by_ref().take(replay.requests.len()).collect();
        if !replay.agrees(request, reply, &theirs, pair.encodings_differ) {
            return Err(differing(request, reply, &theirs));
        }
        replies.push(theirs.remove(0));
    }
    Ok(replies)
}

fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes.clone(),
        other => panic!("a bulk was expected, not {other:?}"),
    }
}
