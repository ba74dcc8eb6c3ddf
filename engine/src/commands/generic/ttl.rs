//! TTL, PTTL, EXPIRETIME, PEXPIRETIME.

use swell_wire::{Args, Out};

use super::inspect;
use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// The reply for a key that is not there.
const NO_KEY: i64 = -2;
/// The reply for a key that does not expire.
const NO_EXPIRY: i64 = -1;

pub static TTL: Spec = Spec {
    name: "ttl",
    summary: "Says how many seconds a key has left to live.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(ttl),
};

pub static PTTL: Spec = Spec {
    name: "pttl",
    summary: "Says how many milliseconds a key has left to live.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(pttl),
};

pub static EXPIRETIME: Spec = Spec {
    name: "expiretime",
    summary: "Says at which Unix time, in seconds, a key expires.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(expiretime),
};

pub static PEXPIRETIME: Spec = Spec {
    name: "pexpiretime",
    summary: "Says at which Unix time, in milliseconds, a key expires.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(pexpiretime),
};

fn ttl(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let now_ms = cx.now_ms();
    tell_expiry(cx, args, out, |at_ms| to_seconds(at_ms.saturating_sub(now_ms)))
}

fn pttl(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let now_ms = cx.now_ms();
    tell_expiry(cx, args, out, |at_ms| at_ms.saturating_sub(now_ms))
}

fn expiretime(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    tell_expiry(cx, args, out, to_seconds)
}

fn pexpiretime(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    tell_expiry(cx, args, out, |at_ms| at_ms)
}

fn tell_expiry(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, show: impl Fn(u64) -> u64) -> Reply {
    let key = cx.key(args, 0);
    let reply = match inspect(cx, key, |entry| entry.expire_at_ms()) {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(at_ms)) => i64::try_from(show(at_ms)).unwrap_or(i64::MAX),
    };
    out.int(reply);
    Ok(())
}

/// The nearest second.
fn to_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use super::to_seconds;

    #[test]
    fn seconds_are_rounded() {
        assert_eq!(to_seconds(1_499), 1);
        assert_eq!(to_seconds(1_500), 2);
        assert_eq!(to_seconds(0), 0);
    }
}
