//! DBSIZE.

use swell_ring::Slot;
use swell_wire::{Args, Out};

use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::walk::{WalkBody, WalkState};

pub static DBSIZE: Spec = Spec {
    name: "dbsize",
    summary: "Counts the keys of the database.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 1,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[],
    spread: Spread::EveryNode(Merge::Sum),
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(dbsize),
};

/// As DBSIZE, over some slots.
pub static WALK: WalkBody = WalkBody { begin, slot, end };

/// Keys that have expired count until they are removed, as in Redis.
fn dbsize(cx: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.int(cx.db_len(cx.db()) as i64);
    Ok(())
}

fn begin(_: &Exec<'_>, _: Args<'_>, _: &mut WalkState) -> Reply {
    Ok(())
}

fn slot(cx: &mut Exec<'_>, _: Args<'_>, slot: Slot, state: &mut WalkState) {
    state.found_count += cx.slot_len(slot, cx.db()) as usize;
}

fn end(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    out.int(state.found_count as i64);
}
