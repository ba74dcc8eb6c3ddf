//! MOVE: a key into another database.

use swell_wire::{Args, Out};

use super::copy::database;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::*;

/// MOVE.
pub static MOVE: Spec = Spec {
    name: "move",
    summary: "Takes a key with its value into another database, unless it is there already.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("db", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(move_key),
};

fn move_key(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let db = database(cx, args.slice(2))?;
    let from = cx.key(args, 0);
    let to = from.in_db(db);
    if from.db == to.db {
        return Err(Fault::SameObject);
    }
    let moves = cx.write_lookup(from).is_some() && cx.write_lookup(to).is_none();
    if moves {
        cx.rename(from, to);
        cx.notify(Class::GENERIC, "move_from", from);
        cx.notify(Class::GENERIC, "move_to", to);
    }
    out.int(i64::from(moves));
    Ok(())
}
