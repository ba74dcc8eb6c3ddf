//! PERSIST.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;

pub static PERSIST: Spec = Spec {
    name: "persist",
    summary: "Makes a key live until it is removed.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(persist),
};

fn persist(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let expires = cx.write_lookup(key).is_some_and(|entry| entry.expire_at_ms().is_some());
    let persists = expires && cx.set_expiry(key, None);
    if persists {
        cx.notify(Class::GENERIC, "persist", key);
    }
    out.int(i64::from(persists));
    Ok(())
}
