//! FLUSHALL, FLUSHDB. With ASYNC or SYNC it is all the same: what is freed is freed slot by slot, and others run in
//! between.

use swell_ring::Slot;
use swell_wire::{Args, Out};

use crate::commands::grammar::{plain_arg, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::{DATABASES, Db};
use crate::spec::*;
use crate::walk::{WalkBody, WalkState};

pub static FLUSHALL: Spec = Spec {
    name: "flushall",
    summary: "Removes every key of every database.",
    since: "1.0.0",
    complexity: "O(N) in the number of keys in all databases",
    group: Group::Server,
    arity: -1,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::EveryNode(Merge::Ok),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            ArgDoc { since: "4.0.0", ..word_arg("async", "ASYNC") },
            ArgDoc { since: "6.2.0", ..word_arg("sync", "SYNC") },
        ],
        ..plain_arg("flush-type", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin: begin_all, slot, end }),
};

pub static FLUSHDB: Spec = Spec {
    name: "flushdb",
    summary: "Removes every key of the database.",
    since: "1.0.0",
    complexity: "O(N) in the number of keys in the database",
    group: Group::Server,
    arity: -1,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::EveryNode(Merge::Ok),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            ArgDoc { since: "4.0.0", ..word_arg("async", "ASYNC") },
            ArgDoc { since: "6.2.0", ..word_arg("sync", "SYNC") },
        ],
        ..plain_arg("flush-type", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin: begin_db, slot, end }),
};

/// Whether a command empties databases.
pub fn is_flush(spec: &Spec) -> bool {
    matches!(spec.name, "flushall" | "flushdb")
}

fn begin_all(_: &Exec<'_>, args: Args<'_>, state: &mut WalkState) -> Reply {
    state.db = None;
    check_options(args)
}

fn begin_db(_: &Exec<'_>, args: Args<'_>, _: &mut WalkState) -> Reply {
    check_options(args)
}

fn slot(cx: &mut Exec<'_>, _: Args<'_>, slot: Slot, state: &mut WalkState) {
    let removed = match state.db {
        Some(db) => cx.clear_slot(slot, db),
        None => (0..DATABASES as i64).filter_map(Db::new).map(|db| cx.clear_slot(slot, db)).sum(),
    };
    state.visited += removed;
    cx.work(removed);
}

fn end(_: Args<'_>, _: &mut WalkState, out: &mut Out) {
    out.ok();
}

fn check_options(args: Args<'_>) -> Reply {
    match args.opt(1) {
        None => Ok(()),
        Some(word) if args.len() == 2 && (is_word(word, "SYNC") || is_word(word, "ASYNC")) => Ok(()),
        Some(_) => Err(Fault::Syntax),
    }
}
