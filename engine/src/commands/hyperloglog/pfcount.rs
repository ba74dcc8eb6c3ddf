//! PFCOUNT: about how many were seen.

use swell_wire::{Args, Out};

use super::estimate::estimate;
use super::registers::{self, REGISTERS, View};
use crate::commands::grammar::KEY;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// PFCOUNT.
pub static PFCOUNT: Spec = Spec {
    name: "pfcount",
    summary: "Estimates how many different elements HyperLogLogs have seen together.",
    since: "2.8.9",
    complexity: "O(1) for one key while nothing was added; O(N) for N keys, with a large constant",
    group: Group::HyperLogLog,
    arity: -2,
    flags: Flags::READONLY.and(Flags::MAY_REPLICATE),
    acl: Acl::READ.and(Acl::HYPERLOGLOG).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "RW because it may change the internal representation of the key, and propagate to replicas",
        access: Access::Write,
        flags: &["RW", "access"],
        begin: Begin::Index(1),
        find: Find::Range { last: -1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..KEY }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(pfcount),
};

fn pfcount(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = if cx.keys_len() == 1 { count_one(cx, args)? } else { count_together(cx, args)? };
    out.int(count as i64);
    Ok(())
}

/// A count that was made anew is kept, unless the slot is being moved.
fn count_one(cx: &mut Exec<'_>, args: Args<'_>) -> Result<u64, Fault> {
    let key = cx.key(args, 0);
    let Some(entry) = cx.read(key) else { return Ok(0) };
    let bytes = entry.string()?.to_bytes();
    let view = View::new(&bytes)?;
    if let Some(count) = view.count() {
        return Ok(count);
    }
    let count = estimate(&view.histogram()?);
    if cx.may_change(key) {
        cx.patch(key, |bytes| registers::keep_count(bytes, count));
    }
    Ok(count)
}

fn count_together(cx: &mut Exec<'_>, args: Args<'_>) -> Result<u64, Fault> {
    let mut registers = Box::new([0; REGISTERS]);
    for index in 0..cx.keys_len() {
        if let Some(entry) = cx.read(cx.key(args, index)) {
            View::new(&entry.string()?.to_bytes())?.raise(&mut registers)?;
        }
    }
    cx.work(cx.keys_len() as u64 - 1);
    let mut histogram = [0; 64];
    registers.iter().for_each(|value| histogram[usize::from(*value)] += 1);
    Ok(estimate(&histogram))
}
