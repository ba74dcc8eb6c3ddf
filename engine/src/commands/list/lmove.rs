//! LMOVE and RPOPLPUSH: an element from one list's end to another's. BLMOVE and BRPOPLPUSH wait until there is one.

use swell_wire::{Args, Out, OwnedArgs};

use super::{end_arg, end_of};
use crate::commands::blocking::{self, Timeout};
use crate::commands::grammar::{key_arg, keys_at, one_key, plain_arg};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::*;
use crate::value::Kind;
use crate::value::element::DIGITS_MAX;
use crate::value::item::{Item, OwnedItem};
use crate::value::list::{End, List};

/// LMOVE.
pub static LMOVE: Spec = Spec {
    name: "lmove",
    summary: "Takes an element from one end of a list to one end of another, or of the same, and answers it.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::List,
    arity: 5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"]), keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("source", 0), key_arg("destination", 1), end_arg("wherefrom"), end_arg("whereto")],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(lmove),
};

/// BLMOVE.
pub static BLMOVE: Spec = Spec {
    name: "blmove",
    summary: "Takes an element from one end of a list to one end of another, or of the same, waiting until there is one, and answers it.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::List,
    arity: 6,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"]), keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("source", 0),
        key_arg("destination", 1),
        end_arg("wherefrom"),
        end_arg("whereto"),
        plain_arg("timeout", ArgKind::Double),
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(blmove),
};

/// BRPOPLPUSH.
pub static BRPOPLPUSH: Spec = Spec {
    name: "brpoplpush",
    summary: "Takes the last element of a list to the front of another, or of the same, waiting until there is one, and answers it.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::List,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"]), keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("source", 0), key_arg("destination", 1), plain_arg("timeout", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(brpoplpush),
};

/// RPOPLPUSH.
pub static RPOPLPUSH: Spec = Spec {
    name: "rpoplpush",
    summary: "Takes the last element of a list to the front of another, or of the same, and answers it.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::List,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"]), keys_at(2, 0, Access::Write, &["RW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("source", 0), key_arg("destination", 1)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(rpoplpush),
};

fn lmove(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (from, to) = (end_of(args.slice(3))?, end_of(args.slice(4))?);
    move_one(cx, args, out, from, to, None)
}

fn blmove(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (from, to) = (end_of(args.slice(3))?, end_of(args.slice(4))?);
    let timeout = Timeout::seconds(args.slice(5), cx.now_ms())?;
    move_one(cx, args, out, from, to, Some(timeout))
}

fn rpoplpush(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    move_one(cx, args, out, End::Back, End::Front, None)
}

fn brpoplpush(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let timeout = Timeout::seconds(args.slice(3), cx.now_ms())?;
    move_one(cx, args, out, End::Back, End::Front, Some(timeout))
}

/// Both types are checked before anything changes.
fn move_one(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, from: End, to: End, timeout: Option<Timeout>) -> Reply {
    let (source, target) = (cx.key(args, 0), cx.key(args, 1));
    let Some(entry) = cx.write_lookup(source) else {
        if !timeout.is_some_and(|timeout| blocking::wait(cx, Kind::List, 1, timeout)) {
            out.null();
        }
        return Ok(());
    };
    let list = entry.collection::<List>()?;
    let (len, last) = (list.len(), list.len().saturating_sub(1));
    let Some(item) = list.get(if from == End::Front { 0 } else { last }).map(|item| item.to_owned()) else {
        out.null();
        return Ok(());
    };
    let is_same = source.bytes == target.bytes;
    if let Some(entry) = cx.write_lookup(target) {
        entry.collection::<List>()?;
    }
    item.view().write(out);
    if is_same && len == 1 {
        // A list that is empty for a moment would lose its expiry.
        cx.edit::<List, _>(source, Missing::Skip, |list, tools| {
            list.shrink(&tools.limits);
            // Nothing is other than it was, but who watches the key is told, as Valkey tells him.
            Ok(((), Change::Whole))
        })?;
        tell(cx, source, target, from, to);
        return Ok(());
    }
    cx.edit::<List, _>(source, Missing::Skip, |list, tools| {
        list.pop(from, 1);
        if !is_same {
            list.shrink(&tools.limits);
        }
        Ok(((), Change::Effect(pop_effect(source, from))))
    })?;
    cx.edit::<List, _>(target, Missing::Create, |list, tools| {
        list.make_room_for_moved(item.view(), &tools.limits);
        list.push(to, item.view(), &tools.limits);
        if is_same {
            list.shrink(&tools.limits);
        }
        Ok(((), Change::Effect(push_effect(target, to, &item))))
    })?;
    tell(cx, source, target, from, to);
    Ok(())
}

/// What came is told before what went.
fn tell(cx: &Exec<'_>, source: Key<'_>, target: Key<'_>, from: End, to: End) {
    cx.notify(Class::LIST, to.push_event(), target);
    cx.notify_taken(Class::LIST, from.pop_event(), source);
}

fn pop_effect(key: Key<'_>, end: End) -> OwnedArgs {
    OwnedArgs::from_slices(&[end.pop_event().as_bytes(), key.bytes])
}

fn push_effect(key: Key<'_>, end: End, item: &OwnedItem) -> OwnedArgs {
    let mut args = OwnedArgs::from_slices(&[end.push_event().as_bytes(), key.bytes]);
    match item.view() {
        Item::Short(element) => args.push(element.bytes(&mut [0; DIGITS_MAX])),
        Item::Long(segments) => args.push_segments(segments.clone()),
    }
    args
}
