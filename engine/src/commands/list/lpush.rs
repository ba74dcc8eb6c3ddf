//! LPUSH, RPUSH, LPUSHX, RPUSHX: elements onto an end.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::item::Item;
use crate::value::list::{End, List};

/// LPUSH.
pub static LPUSH: Spec = Spec {
    name: "lpush",
    summary: "Adds elements to the front of a list, one after the other, and answers its length.",
    since: "1.0.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("element", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::From(2),
    body: Body::Keys(lpush),
};

/// LPUSHX.
pub static LPUSHX: Spec = Spec {
    name: "lpushx",
    summary: "Adds elements to the front of a list that is there, and answers its length.",
    since: "2.2.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("element", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::From(2),
    body: Body::Keys(lpushx),
};

/// RPUSH.
pub static RPUSH: Spec = Spec {
    name: "rpush",
    summary: "Adds elements to the end of a list and answers its length.",
    since: "1.0.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("element", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::From(2),
    body: Body::Keys(rpush),
};

/// RPUSHX.
pub static RPUSHX: Spec = Spec {
    name: "rpushx",
    summary: "Adds elements to the end of a list that is there, and answers its length.",
    since: "2.2.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("element", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::From(2),
    body: Body::Keys(rpushx),
};

fn lpush(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    push(cx, args, out, End::Front, Missing::Create)
}

fn lpushx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    push(cx, args, out, End::Front, Missing::Skip)
}

fn rpush(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    push(cx, args, out, End::Back, Missing::Create)
}

fn rpushx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    push(cx, args, out, End::Back, Missing::Skip)
}

fn push(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, end: End, missing: Missing) -> Reply {
    let bytes = (2..args.len()).map(|at| args.get(at).len()).sum();
    let key = cx.key(args, 0);
    let len = cx.edit::<List, _>(key, missing, |list, tools| {
        list.make_room(bytes, args.len() - 2, &tools.limits);
        (2..args.len()).for_each(|at| list.push(end, Item::from(args.get(at)), &tools.limits));
        Ok((list.view().len(), Change::Verbatim))
    })?;
    cx.work(args.len() as u64 - 3);
    if len.is_some() {
        cx.notify(Class::LIST, end.push_event(), key);
    }
    out.int(len.unwrap_or(0) as i64);
    Ok(())
}
