//! HRANDFIELD: fields drawn at random.

use swell_wire::{Args, Out, Proto};

use super::read;
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg, word_arg};
use crate::commands::options::{DrawCount, is_word};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::hash::{Field, HashRef};
use crate::value::random::Random;

/// HRANDFIELD.
pub static HRANDFIELD: Spec = Spec {
    name: "hrandfield",
    summary: "Answers one field of a hash, or several, drawn at random.",
    since: "6.2.0",
    complexity: "O(N) where N is the number of fields returned",
    group: Group::Hash,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            arguments: &[
                plain_arg("count", ArgKind::Integer),
                ArgDoc { optional: true, ..word_arg("withvalues", "WITHVALUES") },
            ],
            ..plain_arg("options", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(hrandfield, bulk::of_count),
};

fn hrandfield(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = args.opt(2).map(|arg| wanted(args, arg)).transpose()?;
    let (mut random, now_ms) = (Random::new(cx.random()), cx.now_ms());
    let hash = read(cx, args)?;
    let Some(count) = count else {
        match hash.and_then(|hash| hash.random(now_ms, &mut random)) {
            Some(field) => field.name.write(out),
            None => out.null(),
        }
        return Ok(());
    };
    let Some(hash) = hash else {
        out.array(0);
        return Ok(());
    };
    let answered = draw(hash, count, args.len() == 4, now_ms, &mut random, out);
    cx.work(answered.saturating_sub(1) as u64);
    Ok(())
}

/// The number of fields, and whether WITHVALUES follows.
fn wanted(args: Args<'_>, arg: &[u8]) -> Result<DrawCount, Fault> {
    let count = DrawCount::parse(arg)?;
    match args.opt(3) {
        None => Ok(count),
        Some(word) if args.len() == 4 && is_word(word, "WITHVALUES") => count.with_values(),
        Some(_) => Err(Fault::Syntax),
    }
}

/// Returns how many fields were answered.
fn draw(hash: HashRef<'_>, count: DrawCount, values: bool, now_ms: u64, random: &mut Random, out: &mut Out) -> usize {
    let living = hash.living(now_ms);
    let answered = match count {
        DrawCount::Distinct(count) => count.min(living),
        DrawCount::Repeated(_) if living == 0 => 0,
        DrawCount::Repeated(count) => count,
    };
    let nested = values && out.proto() == Proto::Resp3;
    out.array(if values && !nested { answered * 2 } else { answered });
    let write = |field: Field<'_>| {
        if nested {
            out.array(2);
        }
        field.name.write(out);
        if values {
            field.value.write(out);
        }
    };
    match count {
        DrawCount::Distinct(count) if count >= living => hash.fields(now_ms).for_each(write),
        DrawCount::Distinct(count) => hash.sample(count, now_ms, random, write),
        DrawCount::Repeated(count) => hash.draw(count, now_ms, random, write),
    }
    answered
}
