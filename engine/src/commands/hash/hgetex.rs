//! HGETEX: the values of fields, and another expiry for these fields.

use swell_wire::{Args, Out};

use super::ex_options::{Expiry, Options, Side};
use super::{FIELDS, WRONG_NUMBER, counted, delete_effect, expiry_effect, find_fields, read};
use crate::commands::grammar::{KEY, choice, one_key, token, word_arg};
use crate::exec::{Change, Exec, Missing, Reply, Tools};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HGETEX.
pub static HGETEX: Spec = Spec {
    name: "hgetex",
    summary: "Answers the values of fields of a hash and changes when these fields expire.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        choice(
            "expiration",
            &[
                token("EX", "", "seconds", ArgKind::Integer),
                token("PX", "", "milliseconds", ArgKind::Integer),
                token("EXAT", "", "unix-time-seconds", ArgKind::UnixTime),
                token("PXAT", "", "unix-time-milliseconds", ArgKind::UnixTime),
                word_arg("persist", "PERSIST"),
            ],
        ),
        FIELDS,
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hgetex),
};

fn hgetex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let at = find_fields(args, 2).ok_or(WRONG_NUMBER)?;
    let expiry = Options::parse(args, at, Side::Get)?.expiry;
    let (key, fields) = (cx.key(args, 0), counted(args, at, 1, WRONG_NUMBER)?);
    if matches!(expiry, Expiry::Unsaid | Expiry::Keep) {
        return values(cx, args, fields, out);
    }
    cx.notify_missing(key);
    if let Some(entry) = cx.peek(key) {
        entry.collection::<Hash>()?;
    }
    let expire_at_ms = match expiry {
        Expiry::At(time) => Some(time.at_ms(cx, "hgetex")?),
        _ => None,
    };
    let edited = cx.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
        out.array(fields.len());
        let (mut changed, mut given) = (Vec::<&[u8]>::new(), 0);
        for field in fields.iter() {
            match hash.view().get(field, &tools.hasher, tools.now_ms) {
                Some(value) => value.write(out),
                None => out.null(),
            }
            match give(hash, field, expire_at_ms, tools) {
                Given::Nothing => {}
                Given::Same => given += 1,
                Given::Changed => {
                    given += 1;
                    changed.push(field);
                }
            }
        }
        Ok((given > 0, told(key, expire_at_ms, &changed, tools)))
    })?;
    match (edited, expire_at_ms) {
        (Some(false), _) => {}
        (Some(true), None) => cx.notify(Class::HASH, "hpersist", key),
        (Some(true), Some(at_ms)) if at_ms <= cx.now_ms() => cx.notify_taken(Class::HASH, "hexpired", key),
        (Some(true), Some(_)) => cx.notify(Class::HASH, "hexpire", key),
        (None, _) => {
            out.array(fields.len());
            fields.iter().for_each(|_| out.null());
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}

/// Without an option it only reads.
fn values(cx: &mut Exec<'_>, args: Args<'_>, fields: Args<'_>, out: &mut Out) -> Reply {
    let (engine, now_ms) = (cx.engine, cx.now_ms());
    let hash = read(cx, args)?;
    out.array(fields.len());
    for field in fields.iter() {
        match hash.and_then(|hash| hash.get(field, engine.hasher(), now_ms)) {
            Some(value) => value.write(out),
            None => out.null(),
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}

/// What giving an expiry to a field came to.
enum Given {
    /// It is not there, or had none to lose.
    Nothing,
    /// It has what it had.
    Same,
    Changed,
}

/// Gives a field that is there an expiry or none, or removes it if that time has passed.
fn give(hash: &mut Hash, field: &[u8], expire_at_ms: Option<u64>, tools: &Tools) -> Given {
    match (hash.view().expiry(field, &tools.hasher, tools.now_ms), expire_at_ms) {
        (None, _) | (Some(None), None) => return Given::Nothing,
        (Some(_), Some(at_ms)) if at_ms <= tools.now_ms => {
            hash.remove(field, tools);
        }
        (Some(before), wanted) if before == wanted => return Given::Same,
        _ => hash.set_expiry(field, expire_at_ms, tools),
    }
    Given::Changed
}

fn told(key: Key<'_>, expire_at_ms: Option<u64>, changed: &[&[u8]], tools: &Tools) -> Change {
    match expire_at_ms {
        _ if changed.is_empty() => Change::None,
        Some(at_ms) if at_ms <= tools.now_ms => tools.effect(|| delete_effect(key, changed)),
        _ => tools.effect(|| expiry_effect(key, expire_at_ms, changed)),
    }
}
