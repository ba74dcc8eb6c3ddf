//! BLPOP and BRPOP: an element off the first list that has one, waiting until one has.

use swell_wire::{Args, Out, OwnedArgs};

use super::write_end;
use crate::commands::blocking::{self, Timeout};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::exec::{Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::Kind;
use crate::value::list::{End, List};

/// BLPOP.
pub static BLPOP: Spec = Spec {
    name: "blpop",
    summary: "Takes the first element of the first list that has one, waiting until one has, and answers key and element.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of provided keys.",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::BLOCKING),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[keys_at(1, -2, Access::Write, &["RW", "access", "delete"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..KEY }, plain_arg("timeout", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(blpop),
};

/// BRPOP.
pub static BRPOP: Spec = Spec {
    name: "brpop",
    summary: "Takes the last element of the first list that has one, waiting until one has, and answers key and element.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of provided keys.",
    group: Group::List,
    arity: -3,
    flags: Flags::WRITE.and(Flags::BLOCKING),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW).and(Acl::BLOCKING),
    keys: &[keys_at(1, -2, Access::Write, &["RW", "access", "delete"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..KEY }, plain_arg("timeout", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(brpop),
};

fn blpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_or_wait(cx, args, out, End::Front)
}

fn brpop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_or_wait(cx, args, out, End::Back)
}

fn pop_or_wait(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, end: End) -> Reply {
    let timeout = Timeout::seconds(args.slice(args.len() - 1), cx.now_ms())?;
    for n in 0..cx.keys_len() {
        let key = cx.key(args, n);
        let popped = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
            out.array(2);
            out.bulk(key.bytes);
            write_end(list.view(), end, 1, out);
            list.pop(end, 1);
            list.shrink(&tools.limits);
            Ok(((), tools.effect(|| OwnedArgs::from_slices(&[end.pop_event().as_bytes(), key.bytes]))))
        })?;
        cx.work(u64::from(n > 0));
        if popped.is_some() {
            cx.notify_taken(Class::LIST, end.pop_event(), key);
            return Ok(());
        }
    }
    if !blocking::wait(cx, Kind::List, cx.keys_len(), timeout) {
        out.null_array();
    }
    Ok(())
}
