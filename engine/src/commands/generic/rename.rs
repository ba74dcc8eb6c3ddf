//! RENAME, RENAMENX.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;

pub static RENAME: Spec = Spec {
    name: "rename",
    summary: "Gives a key another name, replacing what had it.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW),
    keys: &[
        keys_at(1, 0, Access::Delete, &["RW", "access", "delete"]),
        keys_at(2, 0, Access::Write, &["OW", "update"]),
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("key", 0), key_arg("newkey", 1)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(rename),
};

pub static RENAMENX: Spec = Spec {
    name: "renamenx",
    summary: "Gives a key another name unless that name is taken.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[
        keys_at(1, 0, Access::Delete, &["RW", "access", "delete"]),
        keys_at(2, 0, Access::Write, &["OW", "insert"]),
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("key", 0), key_arg("newkey", 1)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(renamenx),
};

/// What became of a request to rename.
#[derive(PartialEq, Eq)]
enum Outcome {
    Renamed,
    /// Both names are the same: nothing was done.
    SameName,
    /// The new name is taken, and was to be left alone.
    Taken,
}

fn rename(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    move_key(cx, args, false)?;
    out.ok();
    Ok(())
}

fn renamenx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let outcome = move_key(cx, args, true)?;
    out.int(i64::from(outcome == Outcome::Renamed));
    Ok(())
}

/// That the key exists is asked first, even where both names are the same.
fn move_key(cx: &mut Exec<'_>, args: Args<'_>, only_if_free: bool) -> Result<Outcome, Fault> {
    let (from, to) = (cx.key(args, 0), cx.key(args, 1));
    if cx.write_lookup(from).is_none() {
        return Err(Fault::NoSuchKey);
    }
    if from.bytes == to.bytes {
        return Ok(Outcome::SameName);
    }
    if only_if_free && cx.write_lookup(to).is_some() {
        return Ok(Outcome::Taken);
    }
    cx.rename(from, to);
    cx.notify(Class::GENERIC, "rename_from", from);
    cx.notify(Class::GENERIC, "rename_to", to);
    Ok(Outcome::Renamed)
}
