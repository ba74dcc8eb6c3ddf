//! LMPOP and BLMPOP, which waits until there are any: elements of the first list that has any.

use swell_wire::{Args, Out, OwnedArgs};

use super::{end_arg, end_of, write_end};
use crate::commands::blocking::{self, Timeout};
use crate::commands::grammar::{KEY, plain_arg, token};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::Kind;
use crate::value::list::List;

/// LMPOP.
pub static LMPOP: Spec = Spec {
    name: "lmpop",
    summary: "Takes elements from an end of the first list that is there, and answers its key and them.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned",
    group: Group::List,
    arity: -4,
    flags: Flags::WRITE.and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
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
        end_arg("where"),
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(lmpop),
};

/// BLMPOP.
pub static BLMPOP: Spec = Spec {
    name: "blmpop",
    summary: "Takes elements from an end of the first list that is there, waiting until one is, and answers its key and them.",
    since: "7.0.0",
    complexity: "O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    group: Group::List,
    arity: -5,
    flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW).and(Acl::BLOCKING),
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
        end_arg("where"),
        ArgDoc { optional: true, ..token("COUNT", "", "count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(blmpop),
};

fn lmpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_first(cx, args, out, 1)
}

fn blmpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_first(cx, args, out, 2)
}

/// The number of keys is the argument at `number`; a timeout stands before it, if there is room for one.
fn pop_first(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, number: usize) -> Reply {
    let keys = positive(args.slice(number)).ok_or(Fault::say("ERR numkeys should be greater than 0"))?;
    let at = keys.checked_add(number + 1).filter(|&at| at < args.len()).ok_or(Fault::Syntax)?;
    let end = end_of(args.slice(at))?;
    let count = count_of(args.from(at + 1))?.unwrap_or(1);
    let timeout = if number > 1 { Some(Timeout::seconds(args.slice(1), cx.now_ms())?) } else { None };
    for n in 0..cx.keys_len() {
        let key = cx.key(args, n);
        let popped = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
            let count = count.min(list.view().len());
            out.array(2);
            out.bulk(key.bytes);
            out.array(count);
            write_end(list.view(), end, count, out);
            list.pop(end, count);
            list.shrink(&tools.limits);
            let effect = OwnedArgs::from_slices(&[end.pop_event().as_bytes(), key.bytes, count.to_string().as_bytes()]);
            Ok((count, Change::Effect(effect)))
        })?;
        cx.work(1);
        if let Some(count) = popped {
            cx.notify_taken(Class::LIST, end.pop_event(), key);
            cx.work(count as u64);
            return Ok(());
        }
    }
    if !timeout.is_some_and(|timeout| blocking::wait(cx, Kind::List, cx.keys_len(), timeout)) {
        out.null_array();
    }
    Ok(())
}

/// What COUNT says. Words are judged one after the other, so that a bad number comes before what is wrong behind it.
fn count_of(options: Args<'_>) -> Result<Option<usize>, Fault> {
    let (mut count, mut at) = (None, 0);
    while let Some(word) = options.opt(at) {
        let number = options.opt(at + 1).filter(|_| count.is_none() && is_word(word, "COUNT")).ok_or(Fault::Syntax)?;
        count = Some(positive(number).ok_or(Fault::say("ERR count should be greater than 0"))?);
        at += 2;
    }
    Ok(count)
}

fn positive(arg: &[u8]) -> Option<usize> {
    usize::try_from(parse_i64(arg)?).ok().filter(|&number| number > 0)
}
