//! KEYS.

use swell_ring::Slot;
use swell_wire::{Args, Out};

use super::CHUNK_KEYS;
use crate::commands::grammar::plain_arg;
use crate::exec::{Exec, Reply};
use crate::glob;
use crate::spec::*;
use crate::walk::{WalkBody, WalkState};

/// So much of a reply is not copied any more while the rest is found.
const PART_BYTES: usize = 256 * 1024;

pub static KEYS: Spec = Spec {
    name: "keys",
    summary: "Lists the keys whose names match a pattern.",
    since: "1.0.0",
    complexity: "O(N) in the number of keys in the database",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::EveryNode(Merge::Union),
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    arguments: &[plain_arg("pattern", ArgKind::Pattern)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin, slot, end }),
};

fn begin(_: &Exec<'_>, _: Args<'_>, _: &mut WalkState) -> Reply {
    Ok(())
}

fn slot(cx: &mut Exec<'_>, args: Args<'_>, slot: Slot, state: &mut WalkState) {
    let pattern = args.slice(1);
    let wants_all = glob::is_everything(pattern);
    let visited_before = state.visited;
    state.resume = cx.scan_slot(slot, cx.db(), state.resume.unwrap_or(0), CHUNK_KEYS, |entry| {
        state.visited += 1;
        if wants_all || glob::matches(pattern, entry.key()) {
            state.found.bulk(entry.key());
            state.found_count += 1;
        }
    });
    state.found.set_aside(PART_BYTES);
    cx.work(state.visited - visited_before);
}

fn end(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    out.array(state.found_count);
    out.append(&mut state.found);
}
