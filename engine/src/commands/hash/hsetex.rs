//! HSETEX: setting fields together with their expiry.

use swell_wire::{Args, Out, OwnedArgs};

use super::ex_options::{Expiry, Options, Side};
use super::{PAIRS, WRONG_NUMBER, counted, delete_effect, find_fields};
use crate::commands::grammar::{KEY, choice, one_key, plain_arg, token, word_arg};
use crate::exec::{Change, Exec, Missing, Reply, Tools};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HSETEX.
pub static HSETEX: Spec = Spec {
    name: "hsetex",
    summary: "Sets fields of a hash together with their expiry, under conditions if wanted.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        choice("key-condition", &[word_arg("nx", "NX"), word_arg("xx", "XX")]),
        choice("fields-condition", &[word_arg("fnx", "FNX"), word_arg("fxx", "FXX")]),
        choice(
            "expiration",
            &[
                token("EX", "", "seconds", ArgKind::Integer),
                token("PX", "", "milliseconds", ArgKind::Integer),
                token("EXAT", "", "unix-time-seconds", ArgKind::UnixTime),
                token("PXAT", "", "unix-time-milliseconds", ArgKind::UnixTime),
                word_arg("keepttl", "KEEPTTL"),
            ],
        ),
        ArgDoc {
            token: "FIELDS",
            arguments: &[plain_arg("numfields", ArgKind::Integer), PAIRS],
            ..plain_arg("fields", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hsetex),
};

/// 1 if the fields were set, 0 if a condition did not hold.
fn hsetex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let at = find_fields(args, 2).ok_or(WRONG_NUMBER)?;
    let options = Options::parse(args, at, Side::Set)?;
    let (key, pairs) = (cx.key(args, 0), counted(args, at, 2, WRONG_NUMBER)?);
    let exists = match cx.write_lookup(key) {
        Some(entry) => entry.collection::<Hash>().map(|_| true)?,
        None => false,
    };
    if options.key.is_some_and(|must| must != exists) {
        out.int(0);
        return Ok(());
    }
    let expire_at_ms = match options.expiry {
        Expiry::At(time) => Some(time.at_ms(cx, "hsetex")?),
        _ => None,
    };
    let keep = matches!(options.expiry, Expiry::Keep);
    let done = cx.edit::<Hash, _>(key, Missing::Create, |hash, tools| {
        let is_there = |pair: usize| hash.view().contains(pairs.slice(pair), &tools.hasher, tools.now_ms);
        if options.fields.is_some_and(|must| names(pairs).any(|pair| is_there(pair) != must)) {
            return Ok((None, Change::None));
        }
        Ok(match expire_at_ms {
            Some(at_ms) if at_ms <= tools.now_ms => (Some(Set::Gone), remove(hash, key, pairs, tools)),
            _ => {
                let (revives, change) = set(hash, key, pairs, expire_at_ms, keep, tools);
                (Some(Set::There { revives }), change)
            }
        })
    })?;
    cx.work(pairs.len() as u64 / 2 - 1);
    let done = done.flatten();
    if let Some(done) = done {
        tell(cx, key, done, exists, expire_at_ms.is_some());
    }
    out.int(i64::from(done.is_some()));
    Ok(())
}

/// What became of fields that were set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    /// `revives`: one of them was still there and had expired.
    There { revives: bool },
    /// Their time has passed.
    Gone,
}

/// Fields whose time has passed count as set and then expired, and a hash of such as made and then gone.
fn tell(cx: &Exec<'_>, key: Key<'_>, done: Set, existed: bool, expires: bool) {
    if !existed && done == Set::Gone {
        cx.notify(Class::NEW, "new", key);
    }
    super::tell_set(cx, key, "hset", done == Set::There { revives: true });
    if expires {
        cx.notify(Class::HASH, "hexpire", key);
    }
    if done == Set::Gone {
        cx.notify_taken(Class::HASH, "hexpired", key);
    }
}

/// Places of the fields' names.
fn names(pairs: Args<'_>) -> impl Iterator<Item = usize> {
    (0..pairs.len()).step_by(2)
}

/// Fields whose time has passed before they are set.
fn remove(hash: &mut Hash, key: Key<'_>, pairs: Args<'_>, tools: &Tools) -> Change {
    let fields = names(pairs).map(|pair| pairs.slice(pair));
    let mut remove = |field: &&[u8]| {
        if hash.view().has_expired(field, &tools.hasher, tools.now_ms) {
            // It would stay for upkeep; here it is set anew.
            hash.set_expiry(field, None, tools);
        }
        hash.remove(field, tools)
    };
    let removed: Vec<&[u8]> = fields.filter(|field| remove(field)).collect();
    if removed.is_empty() { Change::None } else { tools.effect(|| delete_effect(key, &removed)) }
}

fn set(
    hash: &mut Hash,
    key: Key<'_>,
    pairs: Args<'_>,
    expire_at_ms: Option<u64>,
    keep: bool,
    tools: &Tools,
) -> (bool, Change) {
    let longest = pairs.iter().map(<[u8]>::len).max();
    hash.make_room(pairs.len() / 2, longest.unwrap_or(0), tools);
    let mut revived = false;
    for pair in names(pairs) {
        let field = pairs.slice(pair);
        let expire_at_ms = match keep {
            true => hash.view().expiry(field, &tools.hasher, tools.now_ms).flatten(),
            false => expire_at_ms,
        };
        revived |= hash.view().has_expired(field, &tools.hasher, tools.now_ms);
        hash.set(field, pairs.get(pair + 1), expire_at_ms, tools);
    }
    if keep && revived {
        // Where nothing expires, KEEPTTL would keep the expiry of a field that had expired.
        return (true, Change::Whole);
    }
    (revived, tools.effect(|| effect(key, pairs, expire_at_ms, keep)))
}

/// The same without conditions, at a time that does not depend on now.
fn effect(key: Key<'_>, pairs: Args<'_>, expire_at_ms: Option<u64>, keep: bool) -> OwnedArgs {
    let mut args = OwnedArgs::from_slices(&[b"hsetex", key.bytes]);
    if let Some(at_ms) = expire_at_ms {
        args.push(b"PXAT");
        args.push(at_ms.to_string().as_bytes());
    }
    if keep {
        args.push(b"KEEPTTL");
    }
    args.push(b"FIELDS");
    args.push((pairs.len() / 2).to_string().as_bytes());
    pairs.iter().for_each(|part| args.push(part));
    args
}
