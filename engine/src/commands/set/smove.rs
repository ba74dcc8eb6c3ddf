//! SMOVE: a member from one set to another.

use swell_wire::{Args, Out};

use super::effect;
use crate::commands::grammar::{key_arg, keys_at, one_key, plain_arg};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::set::Set;

/// SMOVE.
pub static SMOVE: Spec = Spec {
    name: "smove",
    summary: "Moves a member from one set to another.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Set,
    arity: 4,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"]), keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("source", 0), key_arg("destination", 1), plain_arg("member", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(smove),
};

/// Both types are checked before anything changes.
fn smove(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (source, target, member) = (cx.key(args, 0), cx.key(args, 1), args.slice(3));
    let engine = cx.engine;
    let Some(entry) = cx.write_lookup(source) else {
        out.int(0);
        return Ok(());
    };
    let is_member = entry.collection::<Set>()?.contains(member, engine.hasher());
    if let Some(entry) = cx.write_lookup(target) {
        entry.collection::<Set>()?;
    }
    out.int(i64::from(is_member));
    if !is_member || source.bytes == target.bytes {
        return Ok(());
    }
    let moved = [member.to_vec()];
    cx.edit::<Set, _>(source, Missing::Skip, |set, tools| {
        set.remove(member, tools);
        Ok(((), tools.effect(|| effect(b"srem", source, &moved))))
    })?;
    cx.notify_taken(Class::SET, "srem", source);
    let is_new = cx.edit::<Set, _>(target, Missing::Create, |set, tools| {
        set.make_room(member, 1, tools);
        let is_new = set.add(member, tools);
        Ok((is_new, if is_new { tools.effect(|| effect(b"sadd", target, &moved)) } else { Change::None }))
    })?;
    if is_new.unwrap_or(false) {
        cx.notify(Class::SET, "sadd", target);
    }
    Ok(())
}
