//! SRANDMEMBER: members drawn at random, which stay.

use swell_wire::{Args, Out};

use super::read;
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::DrawCount;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::random::Random;

/// SRANDMEMBER.
pub static SRANDMEMBER: Spec = Spec {
    name: "srandmember",
    summary: "Answers one member of a set, or several, drawn at random.",
    since: "1.0.0",
    complexity: "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed count",
    group: Group::Set,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[KEY, ArgDoc { since: "2.6.0", optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(srandmember, bulk::of_count),
};

fn srandmember(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    if args.len() > 3 {
        return Err(Fault::Syntax);
    }
    let count = args.opt(2).map(DrawCount::parse).transpose()?;
    let mut random = Random::new(cx.random());
    let set = read(cx, args)?;
    let Some(count) = count else {
        match set.and_then(|set| set.random(&mut random)) {
            Some(member) => member.write(out),
            None => out.null(),
        }
        return Ok(());
    };
    let Some(set) = set else {
        out.array(0);
        return Ok(());
    };
    let answered = match count {
        DrawCount::Distinct(count) => count.min(set.len()),
        DrawCount::Repeated(count) => count,
    };
    out.array(answered);
    match count {
        DrawCount::Distinct(count) if count >= set.len() => set.members().for_each(|member| member.write(out)),
        DrawCount::Distinct(count) => set.sample(count, &mut random, |member| member.write(out)),
        DrawCount::Repeated(count) => set.draw(count, &mut random, |member| member.write(out)),
    }
    cx.work(answered.saturating_sub(1) as u64);
    Ok(())
}
