//! HGETALL, HKEYS, HVALS: all of a hash.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::slices;
use crate::spec::*;
use crate::value::hash::{Field, Hash};

/// HGETALL.
pub static HGETALL: Spec = Spec {
    name: "hgetall",
    summary: "Answers all fields of a hash with their values.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hgetall),
};

/// HKEYS.
pub static HKEYS: Spec = Spec {
    name: "hkeys",
    summary: "Answers the names of all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hkeys),
};

/// HVALS.
pub static HVALS: Spec = Spec {
    name: "hvals",
    summary: "Answers the values of all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hvals),
};

fn hgetall(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    all(cx, args, out, Out::map, |field, out| {
        field.name.write(out);
        field.value.write(out);
    })
}

fn hkeys(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    all(cx, args, out, Out::array, |field, out| field.name.write(out))
}

fn hvals(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    all(cx, args, out, Out::array, |field, out| field.value.write(out))
}

/// Answers all fields behind a head with their number.
#[inline]
fn all(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    head: fn(&mut Out, usize),
    write: impl Fn(Field<'_>, &mut Out) + Send + 'static,
) -> Reply {
    let now_ms = cx.now_ms();
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        head(out, 0);
        return Ok(());
    };
    let hash = entry.collection::<Hash>()?;
    let count = hash.living(now_ms);
    head(out, count);
    if slices::is_long(&entry, count) {
        let rest = slices::scan::<Hash>(&entry, count, out, move |hash, cursor, most, out| {
            let mut written = 0;
            let (next, _) = hash.scan(cursor, most, now_ms, |field| {
                written += 1;
                write(field, out);
            });
            (written, next)
        });
        cx.defer(rest);
    } else {
        hash.fields(now_ms).for_each(|field| write(field, out));
    }
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}
