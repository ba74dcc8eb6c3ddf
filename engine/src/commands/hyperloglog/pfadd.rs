//! PFADD: elements are seen.

use swell_wire::{Args, Out};

use super::registers::{self, Element, Hll, View};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::NewValue;
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::*;

/// PFADD.
pub static PFADD: Spec = Spec {
    name: "pfadd",
    summary: "Adds elements to a HyperLogLog, which is made if there is none.",
    since: "2.8.9",
    complexity: "O(1) for each element",
    group: Group::HyperLogLog,
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HYPERLOGLOG).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { optional: true, multiple: true, ..plain_arg("element", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(pfadd),
};

/// What adding has to do to the key.
enum Step {
    Nothing,
    /// It is dense: these registers rise, where they lie.
    Raise(Vec<Element>),
    Store(Hll),
}

fn pfadd(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let step = prepare(cx, key, args)?;
    cx.work((args.len() as u64).saturating_sub(3));
    let changed = match step {
        Step::Nothing => false,
        Step::Raise(elements) => cx.patch(key, |bytes| {
            for element in &elements {
                registers::raise_dense(bytes, *element);
            }
            registers::forget_count(bytes);
        }),
        Step::Store(hll) => {
            cx.put_raw(key, NewValue::Bytes(&hll.into_bytes()), Ttl::Keep, McField::Keep);
            true
        }
    };
    if changed {
        cx.notify(Class::STRING, "pfadd", key);
    }
    out.int(changed.into());
    Ok(())
}

fn prepare(cx: &mut Exec<'_>, key: Key<'_>, args: Args<'_>) -> Result<Step, Fault> {
    let sparse_bytes = cx.tools().limits.hll_sparse_bytes;
    let elements = || args.from(2).iter().map(registers::element);
    let (mut hll, mut changed) = match cx.write_lookup(key) {
        None => (Hll::new(), true),
        Some(entry) => {
            let bytes = entry.string()?.to_bytes();
            let view = View::new(&bytes)?;
            if view.is_dense() {
                let higher: Vec<Element> =
                    elements().filter(|(index, value)| view.dense_register(*index) < *value).collect();
                return Ok(if higher.is_empty() { Step::Nothing } else { Step::Raise(higher) });
            }
            (Hll::from_view(view), false)
        }
    };
    for element in elements() {
        changed |= hll.raise(element, sparse_bytes)?;
    }
    if !changed {
        return Ok(Step::Nothing);
    }
    hll.forget_count();
    Ok(Step::Store(hll))
}
