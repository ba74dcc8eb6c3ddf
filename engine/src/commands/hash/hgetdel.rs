//! HGETDEL: the values of fields, which are deleted.

use swell_wire::{Args, Out};

use super::{FIELDS, WRONG_NUMBER, delete_effect, plain_fields};
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HGETDEL.
pub static HGETDEL: Spec = Spec {
    name: "hgetdel",
    summary: "Answers the values of fields of a hash and deletes these fields.",
    since: "9.1.0",
    complexity: "O(N) where N is the number of fields to be retrieved and deleted",
    group: Group::Hash,
    arity: -5,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hgetdel),
};

fn hgetdel(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let fields = plain_fields(args, WRONG_NUMBER)?;
    let key = cx.key(args, 0);
    let edited = cx.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
        out.array(fields.len());
        let mut removed: Vec<&[u8]> = Vec::new();
        for field in fields.iter() {
            match hash.view().get(field, &tools.hasher, tools.now_ms) {
                Some(value) => value.write(out),
                None => {
                    out.null();
                    continue;
                }
            }
            hash.remove(field, tools);
            removed.push(field);
        }
        let change = if removed.is_empty() { Change::None } else { tools.effect(|| delete_effect(key, &removed)) };
        Ok((!removed.is_empty(), change))
    })?;
    match edited {
        Some(true) => cx.notify_taken(Class::HASH, "hdel", key),
        Some(false) => {}
        None => {
            out.array(fields.len());
            fields.iter().for_each(|_| out.null());
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}
