//! HDEL: removing fields.

use swell_wire::{Args, Out};

use super::{NAMES, delete_effect};
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HDEL.
pub static HDEL: Spec = Spec {
    name: "hdel",
    summary: "Deletes fields of a hash; a hash without fields is gone.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields to be removed",
    group: Group::Hash,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, NAMES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hdel),
};

fn hdel(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, fields) = (cx.key(args, 0), args.from(2));
    let removed = cx.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
        if !hash.view().is_volatile() {
            let removed = fields.iter().filter(|field| hash.remove(field, tools)).count();
            return Ok((removed, if removed == 0 { Change::None } else { Change::Verbatim }));
        }
        // Expired fields stay, and whoever replays the command knows of no time: it is told what was removed.
        let removed: Vec<&[u8]> = fields.iter().filter(|field| hash.remove(field, tools)).collect();
        let change = if removed.is_empty() { Change::None } else { tools.effect(|| delete_effect(key, &removed)) };
        Ok((removed.len(), change))
    })?;
    cx.work(fields.len() as u64 - 1);
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.notify_taken(Class::HASH, "hdel", key);
    }
    out.int(removed as i64);
    Ok(())
}
