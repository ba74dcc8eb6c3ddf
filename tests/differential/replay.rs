//! What the other server is asked, once ours has answered: the same request, but for those whose outcome is chance.

use std::collections::BTreeSet;

use swell_ring::slot_of;

use super::run::words;
use super::{Request, compare};
use crate::harness::Reply;

/// What begins the reply to an atomic command whose keys lie in several slots, where the data is on several nodes.
const CROSSING: &str = "CROSSSLOT ";

/// What ends SORT's refusal of keys that a pattern makes, where the data is on several nodes.
const DENIED: &str = "denied in Cluster mode when keys formed by the pattern may be in different slots.";

/// Where DUMP's payloads are restored, and a copy that has no time to live either: one would be part of its digest.
const RESTORED: &str = "\u{1}restored";
const COPIED: &str = "\u{1}copied";

/// Requests for the other server, and how their replies are judged.
pub struct Replay {
    pub requests: Vec<Request>,
    judge: Judge,
}

enum Judge {
    /// One reply like ours.
    Same,
    /// Ours refused to cross slots: the other was asked for the keys.
    Crosses,
    /// Ours refused to SORT by or get keys that may lie elsewhere: the other was not asked.
    Denied,
    /// SPOP: how many there are, and what removing those that ours took says.
    Popped { limit: usize },
    /// SRANDMEMBER, HRANDFIELD and ZRANDMEMBER: the same request, and what it says of those that ours chose.
    Chosen { distinct: bool, with_values: bool },
    /// DUMP: the other's reply, RESTORE, a copy of the other's, both digests, and cleaning up.
    Restored,
}

impl Replay {
    /// Decides by our reply.
    pub fn of(request: &Request, reply: &Reply, refuses_crossing: bool) -> Replay {
        if refuses_crossing && matches!(reply, Reply::Error(text) if text.starts_with(CROSSING)) {
            let requests = vec![[words(&["COMMAND", "GETKEYS"]), request.clone()].concat()];
            return Replay { requests, judge: Judge::Crosses };
        }
        if refuses_crossing && matches!(reply, Reply::Error(text) if text.ends_with(DENIED)) {
            return Replay { requests: Vec::new(), judge: Judge::Denied };
        }
        let name = compare::name(request);
        let found = match name.as_str() {
            "spop" => popped(request, reply),
            "srandmember" => chosen(request, reply, "SMISMEMBER"),
            "hrandfield" => chosen(request, reply, "HMGET"),
            "zrandmember" => chosen(request, reply, "ZMSCORE"),
            "xadd" => identified(request, reply),
            "dump" => restored(request, reply),
            _ => None,
        };
        found.unwrap_or_else(|| Replay { requests: vec![request.clone()], judge: Judge::Same })
    }

    /// Whether the other's replies agree with ours.
    pub fn agrees(&self, request: &Request, ours: &Reply, theirs: &[Reply], encodings_differ: bool) -> bool {
        match (&self.judge, theirs) {
            (Judge::Same, [other]) => compare::alike(request, ours, other, encodings_differ),
            // Then nobody runs it.
            (Judge::Crosses, [Reply::Array(keys)]) => {
                let is_store = |word: &&Vec<u8>| word.eq_ignore_ascii_case(b"STORE");
                // Of `STORE store`, Valkey's takes the second for the option as well.
                let is_misread = || request.iter().filter(is_store).count() > 1;
                keys.iter().map(|key| slot_of(&bytes(key))).collect::<BTreeSet<_>>().len() > 1
                    || (compare::name(request) == "sort" && is_misread())
            }
            (Judge::Denied, []) => {
                let has = |word: &str| request.iter().any(|have| have.eq_ignore_ascii_case(word.as_bytes()));
                compare::name(request).starts_with("sort") && (has("BY") || has("GET"))
            }
            (Judge::Popped { limit }, [count, removed]) => {
                let (took, all) = (elements(ours).len(), usize::try_from(count.int()).unwrap_or(0));
                took == all.min(*limit) && usize::try_from(removed.int()).is_ok_and(|removed| removed == took)
            }
            (Judge::Chosen { distinct, with_values }, [same, about]) => {
                is_choice(ours, same, about, *distinct, *with_values)
            }
            // RESTORE makes listpacks of small skiplists, and those do not know -0: then it must be the very payload.
            (Judge::Restored, [payload, restored, _, _, Reply::Array(digests), _]) => {
                *restored == Reply::Simple("OK".to_owned()) && (digests[0] == digests[1] || payload == ours)
            }
            _ => false,
        }
    }
}

/// Whether encodings may differ from a request on: SPOP of many makes the set anew from what is left, where the other was
/// asked to remove what it took; SORT turns a compact sorted set that it only reads into a skiplist in Valkey; and where SDIFF
/// has three sets or more, Valkey may begin with all members of the first, whose encoding the few that stay keep.
pub fn forgets_encodings(request: &Request, reply: &Reply) -> bool {
    match compare::name(request).as_str() {
        "spop" => request.len() > 2 && !elements(reply).is_empty(),
        "sort" | "sort_ro" => true,
        "sdiffstore" => request.len() > 4,
        _ => false,
    }
}

/// Whether the data differ from a request on: PFADD that finds a damaged HyperLogLog changes nothing here; Valkey's keeps
/// what it has changed before.
pub fn parts(request: &Request, reply: &Reply) -> bool {
    let is_damaged = matches!(reply, Reply::Error(text) if text.starts_with("INVALIDOBJ"));
    compare::name(request) == "pfadd" && is_damaged
}

/// Whether an answer depends on a sorted set's encoding. A skiplist knows -0, which a listpack does not; ZSCAN writes its
/// scores in another way; and a LIMIT from a negative place on counts from its end, where a listpack has nothing.
pub fn shows_encodings(request: &Request) -> bool {
    let is_limit = |pair: &&[Vec<u8>]| pair[0].eq_ignore_ascii_case(b"LIMIT") && pair[1].starts_with(b"-");
    let name = compare::name(request);
    name == "zscan"
        || request.iter().any(|word| word == b"-0")
        || (name.starts_with('z') && request.windows(2).any(|pair| is_limit(&pair)))
}

fn popped(request: &Request, reply: &Reply) -> Option<Replay> {
    let took = elements(reply);
    let limit = match request.get(2) {
        Some(count) => std::str::from_utf8(count).ok()?.parse().ok()?,
        None => 1,
    };
    if took.is_empty() {
        return None;
    }
    let key = request.get(1)?.clone();
    let removal = [vec![b"SREM".to_vec(), key.clone()], took.iter().map(bytes).collect()].concat();
    Some(Replay { requests: vec![vec![b"SCARD".to_vec(), key], removal], judge: Judge::Popped { limit } })
}

fn chosen(request: &Request, reply: &Reply, about: &str) -> Option<Replay> {
    let with_values = request.len() > 3;
    let took = names(reply, with_values);
    if took.is_empty() {
        return None;
    }
    let asked = [vec![about.as_bytes().to_vec(), request.get(1)?.clone()], took.iter().map(bytes).collect()].concat();
    let distinct = request.get(2).is_some_and(|count| count.first() != Some(&b'-'));
    Some(Replay { requests: vec![request.clone(), asked], judge: Judge::Chosen { distinct, with_values } })
}

/// XADD with an ID from the clock.
fn identified(request: &Request, reply: &Reply) -> Option<Replay> {
    let Reply::Bulk(id) = reply else { return None };
    let at = id_at(request);
    if request.get(at)? != b"*" {
        return None;
    }
    let mut request = request.clone();
    request[at] = id.clone();
    Some(Replay { requests: vec![request], judge: Judge::Same })
}

/// Where XADD's ID is: behind the options.
fn id_at(request: &Request) -> usize {
    let is = |at: usize, words: &[&str]| {
        request.get(at).is_some_and(|have| words.iter().any(|word| have.eq_ignore_ascii_case(word.as_bytes())))
    };
    let mut at = 2;
    loop {
        at += match () {
            () if is(at, &["NOMKSTREAM"]) => 1,
            () if is(at, &["LIMIT"]) => 2,
            () if is(at, &["MAXLEN", "MINID"]) => 2 + usize::from(is(at + 1, &["=", "~"])),
            () => return at,
        };
    }
}

fn restored(request: &Request, reply: &Reply) -> Option<Replay> {
    let Reply::Bulk(payload) = reply else { return None };
    let key = request.get(1)?;
    let mut restore = words(&["RESTORE", RESTORED, "0"]);
    restore.push(payload.clone());
    let copy = vec![b"COPY".to_vec(), key.clone(), COPIED.as_bytes().to_vec()];
    let requests = vec![
        request.clone(),
        restore,
        copy,
        words(&["PERSIST", COPIED]),
        words(&["DEBUG", "DIGEST-VALUE", RESTORED, COPIED]),
        words(&["DEL", RESTORED, COPIED]),
    ];
    Some(Replay { requests, judge: Judge::Restored })
}

/// The elements that a reply consists of, one or many.
fn elements(reply: &Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items.clone(),
        Reply::Bulk(_) => vec![reply.clone()],
        _ => Vec::new(),
    }
}

/// Members or fields of a reply that may hold their values as well: flat in RESP2, in pairs in RESP3.
fn names(reply: &Reply, with_values: bool) -> Vec<Reply> {
    pairs(reply, with_values).into_iter().map(|(name, _)| name).collect()
}

fn pairs(reply: &Reply, with_values: bool) -> Vec<(Reply, Option<Reply>)> {
    let items = elements(reply);
    if !with_values {
        return items.into_iter().map(|item| (item, None)).collect();
    }
    let flat: Vec<Reply> =
        items.into_iter().flat_map(|item| if let Reply::Array(pair) = item { pair } else { vec![item] }).collect();
    flat.chunks_exact(2).map(|pair| (pair[0].clone(), Some(pair[1].clone()))).collect()
}

/// Whether ours may have been chosen: as many as the other chose, all of them there, with the values that they have.
fn is_choice(ours: &Reply, same: &Reply, about: &Reply, distinct: bool, with_values: bool) -> bool {
    let (ours, theirs) = (pairs(ours, with_values), pairs(same, with_values));
    let Reply::Array(about) = about else { return false };
    let is_there = |reply: &Reply| !matches!(reply, Reply::Int(0) | Reply::Null | Reply::NullBulk);
    let all_there = about.len() == ours.len() && about.iter().all(is_there);
    let values = ours.iter().zip(about).all(|((_, value), real)| value.as_ref().is_none_or(|value| value == real));
    let apart: BTreeSet<&Reply> = ours.iter().map(|(name, _)| name).collect();
    ours.len() == theirs.len() && all_there && values && (!distinct || apart.len() == ours.len())
}

fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Bulk(bytes) => bytes.clone(),
        other => format!("{other:?}").into_bytes(),
    }
}
