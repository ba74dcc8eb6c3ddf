//! EXPIRE, EXPIREAT, PEXPIRE, PEXPIREAT.

use swell_wire::{Args, Out};

use super::as_c_string;
use crate::commands::grammar::{key_arg, keys_at, plain_arg, word_arg};
use crate::commands::options::{TimeBase, TimeUnit, expire_at_signed, is_word};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;

pub static EXPIRE: Spec = Spec {
    name: "expire",
    summary: "Lets a key live for so many seconds from now.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0), plain_arg("seconds", ArgKind::Integer), CONDITION],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(expire),
};

pub static EXPIREAT: Spec = Spec {
    name: "expireat",
    summary: "Lets a key live until a Unix time in seconds.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0), plain_arg("unix-time-seconds", ArgKind::UnixTime), CONDITION],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(expireat),
};

pub static PEXPIRE: Spec = Spec {
    name: "pexpire",
    summary: "Lets a key live for so many milliseconds from now.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0), plain_arg("milliseconds", ArgKind::Integer), CONDITION],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(pexpire),
};

pub static PEXPIREAT: Spec = Spec {
    name: "pexpireat",
    summary: "Lets a key live until a Unix time in milliseconds.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0), plain_arg("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(pexpireat),
};

const CONDITION: ArgDoc = ArgDoc {
    since: "7.0.0",
    optional: true,
    arguments: &[word_arg("nx", "NX"), word_arg("xx", "XX"), word_arg("gt", "GT"), word_arg("lt", "LT")],
    ..plain_arg("condition", ArgKind::OneOf)
};

/// Under which circumstances an expiry is set. All false: always.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::commands) struct Condition {
    /// NX: only if the key has none.
    none_yet: bool,
    /// XX: only if it has one.
    some_already: bool,
    /// GT: only to a later time. A key without expiry lives for ever, which nothing is later than.
    later: bool,
    /// LT: only to an earlier time.
    earlier: bool,
}

impl Condition {
    /// Reads the words of a request. An unknown one is told before any contradiction.
    pub(in crate::commands) fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Condition, Fault> {
        const NX_ALONE: Fault = Fault::say("ERR NX and XX, GT or LT options at the same time are not compatible");
        const GT_OR_LT: Fault = Fault::say("ERR GT and LT options at the same time are not compatible");
        let mut condition = Condition::default();
        for word in words {
            let option = match word {
                _ if is_word(word, "NX") => &mut condition.none_yet,
                _ if is_word(word, "XX") => &mut condition.some_already,
                _ if is_word(word, "GT") => &mut condition.later,
                _ if is_word(word, "LT") => &mut condition.earlier,
                _ => return Err(unsupported(word)),
            };
            *option = true;
        }
        if condition.none_yet && (condition.some_already || condition.later || condition.earlier) {
            return Err(NX_ALONE);
        }
        if condition.later && condition.earlier {
            return Err(GT_OR_LT);
        }
        Ok(condition)
    }

    /// Whether a key that expires at `current_ms` may be set to expire at `wanted_ms`.
    pub(in crate::commands) fn allows(self, current_ms: Option<u64>, wanted_ms: i64) -> bool {
        let Some(current_ms) = current_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)) else {
            return !self.some_already && !self.later;
        };
        !(self.none_yet || self.later && wanted_ms <= current_ms || self.earlier && wanted_ms >= current_ms)
    }
}

fn expire(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiry(cx, args, out, TimeUnit::Seconds, TimeBase::Now, "expire")
}

fn expireat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiry(cx, args, out, TimeUnit::Seconds, TimeBase::Epoch, "expireat")
}

fn pexpire(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiry(cx, args, out, TimeUnit::Millis, TimeBase::Now, "pexpire")
}

fn pexpireat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiry(cx, args, out, TimeUnit::Millis, TimeBase::Epoch, "pexpireat")
}

/// A time that has passed removes the key: 1, as if it had been set.
fn set_expiry(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    unit: TimeUnit,
    base: TimeBase,
    command: &'static str,
) -> Reply {
    let condition = Condition::parse(args.from(3).iter())?;
    let at_ms = expire_at_signed(args.slice(2), unit, base, cx.now_ms(), command)?;
    let key = cx.key(args, 0);
    let current = cx.write_lookup(key).map(|entry| entry.expire_at_ms());
    let applies = current.is_some_and(|current_ms| condition.allows(current_ms, at_ms));
    if applies {
        match u64::try_from(at_ms) {
            Ok(at_ms) if at_ms > cx.now_ms() => {
                cx.set_expiry(key, Some(at_ms));
                cx.notify(Class::GENERIC, "expire", key);
            }
            _ => {
                cx.remove_lazily(key);
                cx.notify(Class::EXPIRED, "expired", key);
            }
        }
    }
    out.int(i64::from(applies));
    Ok(())
}

fn unsupported(option: &[u8]) -> Fault {
    Fault::Other(format!("ERR Unsupported option {}", as_c_string(option)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Condition = Condition { none_yet: false, some_already: false, later: false, earlier: false };

    #[test]
    fn conditions() {
        let (nx, xx) = (Condition { none_yet: true, ..NONE }, Condition { some_already: true, ..NONE });
        let (gt, lt) = (Condition { later: true, ..NONE }, Condition { earlier: true, ..NONE });
        let xx_lt = Condition { some_already: true, earlier: true, ..NONE };
        for (condition, unset, earlier, same, later) in [
            (NONE, true, true, true, true),
            (nx, true, false, false, false),
            (xx, false, true, true, true),
            (gt, false, false, false, true),
            (lt, true, true, false, false),
            (xx_lt, false, true, false, false),
        ] {
            assert_eq!(condition.allows(None, 10), unset, "{condition:?} without expiry");
            assert_eq!(condition.allows(Some(11), 10), earlier, "{condition:?} to an earlier time");
            assert_eq!(condition.allows(Some(10), 10), same, "{condition:?} to the same time");
            assert_eq!(condition.allows(Some(9), 10), later, "{condition:?} to a later time");
        }
        assert!(lt.allows(Some(0), i64::MIN));
        assert!(!gt.allows(Some(u64::MAX), i64::MAX));
    }

    #[test]
    fn an_unknown_option_is_quoted_up_to_its_nul() {
        assert_eq!(unsupported(b"FOO").to_string(), "ERR Unsupported option FOO");
        assert_eq!(unsupported(b"a\0b").to_string(), "ERR Unsupported option a");
        assert_eq!(unsupported(b"").to_string(), "ERR Unsupported option ");
    }
}
