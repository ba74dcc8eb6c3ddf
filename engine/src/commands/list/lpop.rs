//! LPOP and RPOP: elements off an end.

use swell_wire::{Args, Out};

use super::write_end;
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::list::{End, List};

/// LPOP.
pub static LPOP: Spec = Spec {
    name: "lpop",
    summary: "Takes the first element of a list, or the first few, and answers them.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    group: Group::List,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { since: "6.2.0", optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(lpop, bulk::of_count),
};

/// RPOP.
pub static RPOP: Spec = Spec {
    name: "rpop",
    summary: "Takes the last element of a list, or the last few from the end on, and answers them.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements returned",
    group: Group::List,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { since: "6.2.0", optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(rpop, bulk::of_count),
};

fn lpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop(cx, args, out, End::Front, "lpop")
}

fn rpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop(cx, args, out, End::Back, "rpop")
}

fn pop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, end: End, name: &'static str) -> Reply {
    if args.len() > 3 {
        return Err(Fault::WrongArity(name));
    }
    let count = args.opt(2).map(count_of).transpose()?;
    let key = cx.key(args, 0);
    let popped = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
        let now = count.unwrap_or(1).min(list.view().len());
        if count.is_some() {
            out.array(now);
        }
        if now == 0 {
            return Ok((0, Change::None));
        }
        write_end(list.view(), end, now, out);
        list.pop(end, now);
        list.shrink(&tools.limits);
        Ok((now, Change::Verbatim))
    })?;
    match popped {
        Some(0) => {}
        Some(popped) => {
            cx.work(popped as u64 - 1);
            cx.notify_taken(Class::LIST, end.pop_event(), key);
        }
        None if count.is_some() => out.null_array(),
        None => out.null(),
    }
    Ok(())
}

fn count_of(arg: &[u8]) -> Result<usize, Fault> {
    let count = parse_i64(arg).ok_or(Fault::say("ERR value is out of range, must be positive"))?;
    usize::try_from(count).map_err(|_| Fault::say("ERR value is out of range, must be positive"))
}
