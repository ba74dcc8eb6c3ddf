//! SPOP: members taken out at random.

use swell_wire::{Args, Out};

use super::{answer, effect};
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::random::Random;
use crate::value::set::Set;

/// SPOP.
pub static SPOP: Spec = Spec {
    name: "spop",
    summary: "Takes one member, or several, out of a set at random and answers them.",
    since: "1.0.0",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the value of the passed count",
    group: Group::Set,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[KEY, ArgDoc { since: "3.2.0", optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(spop, bulk::of_count),
};

fn spop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    if args.len() > 3 {
        return Err(Fault::Syntax);
    }
    let count = args.opt(2).map(count_of).transpose()?;
    let (key, mut random) = (cx.key(args, 0), Random::new(cx.random()));
    let len = match cx.write_lookup(key) {
        Some(entry) => {
            let set = entry.collection::<Set>()?;
            if count.is_some_and(|count| count >= set.len()) {
                answer(set, out);
            }
            set.len()
        }
        None => {
            if count.is_some() {
                out.set(0)
            } else {
                out.null()
            }
            return Ok(());
        }
    };
    cx.work(count.unwrap_or(1).min(len).saturating_sub(1) as u64);
    if count.is_some_and(|count| count >= len) {
        cx.remove_lazily(key);
        cx.notify_taken(Class::SET, "spop", key);
        return Ok(());
    }
    if let Some(count) = count {
        out.set(count);
    }
    cx.edit::<Set, _>(key, Missing::Skip, |set, tools| {
        let mut popped = Vec::new();
        for _ in 0..count.unwrap_or(1) {
            let Some(member) = set.view().random(&mut random).map(|member| member.to_vec()) else { break };
            out.bulk(&member);
            set.remove(&member, tools);
            popped.push(member);
        }
        let change = if popped.is_empty() { Change::None } else { tools.effect(|| effect(b"srem", key, &popped)) };
        Ok(((), change))
    })?;
    if count != Some(0) {
        cx.notify_taken(Class::SET, "spop", key);
    }
    Ok(())
}

fn count_of(arg: &[u8]) -> Result<usize, Fault> {
    const NEGATIVE: Fault = Fault::say("ERR value is out of range, must be positive");
    parse_i64(arg).and_then(|count| usize::try_from(count).ok()).ok_or(NEGATIVE)
}
