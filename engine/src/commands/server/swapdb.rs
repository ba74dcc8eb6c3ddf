//! SWAPDB.

use swell_wire::{Args, Out};

use crate::commands::grammar::plain_arg;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::Db;
use crate::number::parse_i64;
use crate::spec::*;

pub static SWAPDB: Spec = Spec {
    name: "swapdb",
    summary: "Exchanges the contents of two databases.",
    since: "4.0.0",
    complexity: "O(N) in the number of clients that watch or wait for keys of the two databases",
    group: Group::Server,
    arity: 3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("index1", ArgKind::Integer), plain_arg("index2", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(swapdb),
};

/// Both must be numbers before either must be a database.
fn swapdb(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let one = number(args.slice(1)).ok_or(Fault::say("ERR invalid first DB index"))?;
    let other = number(args.slice(2)).ok_or(Fault::say("ERR invalid second DB index"))?;
    let one = Db::new(one.into()).ok_or(Fault::DbOutOfRange)?;
    let other = Db::new(other.into()).ok_or(Fault::DbOutOfRange)?;
    cx.swap_db(one, other);
    out.ok();
    Ok(())
}

fn number(arg: &[u8]) -> Option<i32> {
    i32::try_from(parse_i64(arg)?).ok()
}
