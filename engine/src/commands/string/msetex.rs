//! MSETEX: strings at several keys with one expiry.

use swell_wire::{Args, Out};

use super::set_options::{OptionsOf, SetOptions};
use crate::commands::grammar::{KEYS_AND_VALUES, choice, one_key, plain_arg, token};
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;

/// MSETEX.
pub static MSETEX: Spec = Spec {
    name: "msetex",
    summary: "Stores strings at several keys, all at one moment, with one expiry and on one condition.",
    since: "9.1.0",
    complexity: "O(N) where N is the number of keys to set",
    group: Group::String,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[KeySpec {
        find: Find::Count { number: 0, first: 1, step: 2 },
        ..one_key(Access::Write, &["OW", "update"])
    }],
    spread: Spread::Gather,
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    arguments: &[
        plain_arg("numkeys", ArgKind::Integer),
        KEYS_AND_VALUES,
        choice("condition", CONDITION),
        choice("expiration", EXPIRATION),
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::EverySecond(3),
    body: Body::Keys(msetex),
};

const CONDITION: &[ArgDoc] = &[token("NX", "", "nx", ArgKind::PureToken), token("XX", "", "xx", ArgKind::PureToken)];
const EXPIRATION: &[ArgDoc] = &[
    token("EX", "", "seconds", ArgKind::Integer),
    token("PX", "", "milliseconds", ArgKind::Integer),
    token("EXAT", "", "unix-time-seconds", ArgKind::UnixTime),
    token("PXAT", "", "unix-time-milliseconds", ArgKind::UnixTime),
    token("KEEPTTL", "", "keepttl", ArgKind::PureToken),
];

/// The number of keys first, then the options, then the expiry, then the condition, which all keys must meet.
fn msetex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = parse_i64(args.slice(1)).and_then(|count| i32::try_from(count).ok()).filter(|&count| count > 0);
    let count = count.ok_or(Fault::say("ERR invalid numkeys value or out of range"))? as usize;
    let first_option = 2 + 2 * count;
    if first_option > args.len() || cx.keys_len() != count {
        return Err(Fault::Syntax);
    }
    let options = SetOptions::parse(args, first_option, OptionsOf::MSetEx)?;
    let expire_at_ms = options.expire_at_ms(cx.now_ms(), "msetex")?;
    cx.work(count as u64 - 1);
    if options.is_conditional() {
        for n in 0..count {
            let found = cx.write_lookup(cx.key(args, n)).is_some();
            if !options.admits(found) {
                out.int(0);
                return Ok(());
            }
        }
    }
    for n in 0..count {
        let key = cx.key(args, n);
        cx.put(key, args.get(2 * n + 3).into(), options.ttl(expire_at_ms), McField::Clear);
        cx.notify(Class::STRING, "set", key);
        if expire_at_ms.is_some() {
            cx.notify(Class::GENERIC, "expire", key);
        }
    }
    out.int(1);
    Ok(())
}
