//! HPERSIST: fields that expire no longer.

use swell_wire::{Args, Out};

use super::{FIELDS, WRONG_NUMBER, expiry_effect, plain_fields};
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HPERSIST.
pub static HPERSIST: Spec = Spec {
    name: "hpersist",
    summary: "Lets fields of a hash expire no longer.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hpersist),
};

/// What is answered for each field.
const NO_FIELD: i64 = -2;
const HAD_NONE: i64 = -1;
const CLEARED: i64 = 1;

fn hpersist(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let fields = plain_fields(args, WRONG_NUMBER)?;
    let key = cx.key(args, 0);
    let edited = cx.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
        out.array(fields.len());
        let mut changed: Vec<&[u8]> = Vec::new();
        for field in fields.iter() {
            out.int(match hash.view().expiry(field, &tools.hasher, tools.now_ms) {
                None => NO_FIELD,
                Some(None) => HAD_NONE,
                Some(Some(_)) => {
                    hash.set_expiry(field, None, tools);
                    changed.push(field);
                    CLEARED
                }
            });
        }
        let change = match changed.is_empty() {
            true => Change::None,
            false => tools.effect(|| expiry_effect(key, None, &changed)),
        };
        Ok((!changed.is_empty(), change))
    })?;
    match edited {
        Some(true) => cx.notify(Class::HASH, "hpersist", key),
        Some(false) => {}
        None => {
            out.array(fields.len());
            fields.iter().for_each(|_| out.int(NO_FIELD));
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}
