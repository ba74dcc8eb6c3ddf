//! ZMPOP and BZMPOP, which waits until there are any: members of the first sorted set that has any.

use swell_wire::{Args, Out, OwnedArgs};

use super::write_score;
use super::zpop::{end_range, event_of, take};
use crate::commands::blocking::{self, Timeout};
use crate::commands::grammar::{KEY, plain_arg, token, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::Kind;
use crate::value::zset::ZSet;

/// ZMPOP.
pub static ZMPOP: Spec = Spec {
    name: "zmpop",
    summary: "Takes members with the lowest or highest scores out of the first sorted set that has any, and answers them.",
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::WRITE.and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "",
        access: Access::Write,
        flags: &["RW", "access", "delete"],
        begin: Begin::Index(1),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { multiple: true, ..KEY },
        ArgDoc { arguments: &[word_arg("min", "MIN"), word_arg("max", "MAX")], ..plain_arg("where", ArgKind::OneOf) },
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zmpop),
};

/// BZMPOP.
pub static BZMPOP: Spec = Spec {
    name: "bzmpop",
    summary: "Takes members with the lowest or highest scores out of the first sorted set that has any, waiting until one has, and answers them.",
    since: "7.0.0",
    complexity: "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in the sorted set, and M being the number of elements popped.",
    group: Group::SortedSet,
    arity: -5,
    flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[KeySpec {
        notes: "",
        access: Access::Write,
        flags: &["RW", "access", "delete"],
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("timeout", ArgKind::Double),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { multiple: true, ..KEY },
        ArgDoc { arguments: &[word_arg("min", "MIN"), word_arg("max", "MAX")], ..plain_arg("where", ArgKind::OneOf) },
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(bzmpop),
};

fn zmpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_first(cx, args, out, 1)
}

fn bzmpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_first(cx, args, out, 2)
}

/// The number of keys is the argument at `number`; a timeout stands before it, if there is room for one.
fn pop_first(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, number: usize) -> Reply {
    let keys = positive(args.slice(number)).ok_or(Fault::say("ERR numkeys should be greater than 0"))?;
    let at = keys.checked_add(number + 1).filter(|&at| at < args.len()).ok_or(Fault::Syntax)?;
    let max = match args.slice(at) {
        word if is_word(word, "MIN") => false,
        word if is_word(word, "MAX") => true,
        _ => return Err(Fault::Syntax),
    };
    let count = match args.from(at + 1) {
        rest if rest.is_empty() => 1,
        // The number is judged before what stands behind it.
        rest if rest.len() >= 2 && is_word(rest.slice(0), "COUNT") => {
            let count = positive(rest.slice(1)).ok_or(Fault::say("ERR count should be greater than 0"))?;
            if rest.len() > 2 {
                return Err(Fault::Syntax);
            }
            count
        }
        _ => return Err(Fault::Syntax),
    };
    let timeout = if number > 1 { Some(Timeout::seconds(args.slice(1), cx.now_ms())?) } else { None };
    for n in 0..cx.keys_len() {
        let key = cx.key(args, n);
        let popped = cx.edit::<ZSet, _>(key, Missing::Skip, |zset, tools| {
            let len = zset.view().len();
            let count = count.min(len);
            out.array(2);
            out.bulk(key.bytes);
            out.array(count);
            for (member, score) in zset.view().ranks(end_range(len, count, max), max) {
                out.array(2);
                member.write(out);
                write_score(out, score);
            }
            take(zset, count, max, tools);
            let effect = OwnedArgs::from_slices(&[event_of(max).as_bytes(), key.bytes, count.to_string().as_bytes()]);
            Ok((count, Change::Effect(effect)))
        })?;
        cx.work(1);
        if let Some(count) = popped {
            cx.notify_taken(Class::SORTED_SET, event_of(max), key);
            cx.work(count as u64);
            return Ok(());
        }
    }
    if !timeout.is_some_and(|timeout| blocking::wait(cx, Kind::ZSet, cx.keys_len(), timeout)) {
        out.null_array();
    }
    Ok(())
}

fn positive(arg: &[u8]) -> Option<usize> {
    usize::try_from(parse_i64(arg)?).ok().filter(|&number| number > 0)
}
