//! RANDOMKEY.

use swell_ring::{SLOTS, Slot};
use swell_wire::{Args, Out};

use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::stripe::{STRIPE_SLOTS, STRIPES};
use crate::walk::{WalkBody, WalkState};

/// Picks that may turn out to have expired before the database is searched from its beginning.
const PICKS_MAX: u32 = 32;
/// Keys looked at in one go by that search.
const SEARCH_KEYS: usize = 16;

pub static RANDOMKEY: Spec = Spec {
    name: "randomkey",
    summary: "Picks some key of the database.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 1,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[],
    spread: Spread::EveryNode(Merge::Any),
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(randomkey),
};

/// As RANDOMKEY, over some slots.
pub static WALK: WalkBody = WalkBody { begin, slot: visit, end };

/// Expired keys that are picked are removed on the way.
fn randomkey(cx: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    match pick(cx).or_else(|| search(cx)) {
        Some(key) => out.bulk(&key),
        None => out.null(),
    }
    Ok(())
}

/// A live key, each about equally likely; nothing if there is none, or if only expired ones were picked.
fn pick(cx: &mut Exec<'_>) -> Option<Vec<u8>> {
    for _ in 0..PICKS_MAX {
        let slot = pick_slot(cx)?;
        let Some(bytes) = cx.random_key(slot, cx.db()).map(|entry| entry.key().to_vec()) else { continue };
        let key = cx.key_of(&bytes);
        if cx.peek(key).is_some() {
            return Some(bytes);
        }
    }
    None
}

/// A slot, as likely as it has keys: first a stripe by the count of all its databases, then a slot in it. Nothing if
/// the stripe has no key of this database.
fn pick_slot(cx: &mut Exec<'_>) -> Option<Slot> {
    let db = cx.db();
    let engine = cx.engine;
    let stripe = pick_weighted(cx.random(), 0..STRIPES, |index| engine.stripe(index).key_count_hint(false))?;
    let slots = stripe * STRIPE_SLOTS..(stripe + 1) * STRIPE_SLOTS;
    let random = cx.random();
    let slot = pick_weighted(random, slots, |index| slot_at(index).map_or(0, |slot| cx.slot_len(slot, db)))?;
    slot_at(slot)
}

/// The first live key.
fn search(cx: &mut Exec<'_>) -> Option<Vec<u8>> {
    (0..SLOTS).filter_map(slot_at).find_map(|slot| first_live(cx, slot))
}

/// The first live key of a slot.
fn first_live(cx: &mut Exec<'_>, slot: Slot) -> Option<Vec<u8>> {
    let db = cx.db();
    let mut place = Some(0);
    while let Some(from) = place {
        let mut found = None;
        place = cx.scan_slot(slot, db, from, SEARCH_KEYS, |entry| {
            found.get_or_insert_with(|| entry.key().to_vec());
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// An index of the range, as likely as its weight; nothing if all weigh nothing.
fn pick_weighted(random: u64, range: std::ops::Range<usize>, mut weight: impl FnMut(usize) -> u64) -> Option<usize> {
    let total: u64 = range.clone().map(&mut weight).sum();
    let mut left = random.checked_rem(total)?;
    range.into_iter().find(|index| {
        let here = weight(*index);
        let is_it = left < here;
        left = left.saturating_sub(here);
        is_it
    })
}

fn begin(_: &Exec<'_>, _: Args<'_>, _: &mut WalkState) -> Reply {
    Ok(())
}

/// Each slot's pick takes the place of the one before as likely as the slot has keys among all seen so far.
fn visit(cx: &mut Exec<'_>, _: Args<'_>, slot: Slot, state: &mut WalkState) {
    let db = cx.db();
    let here = cx.slot_len(slot, db) as usize;
    if here == 0 {
        return;
    }
    state.found_count += here;
    let stays = cx.random() % state.found_count as u64 >= here as u64;
    if stays && !state.found.is_empty() {
        return;
    }
    if let Some(key) = pick_in(cx, slot) {
        state.found = Out::new(state.found.proto());
        state.found.bulk(&key);
    }
}

/// A live key of a slot.
fn pick_in(cx: &mut Exec<'_>, slot: Slot) -> Option<Vec<u8>> {
    let db = cx.db();
    for _ in 0..PICKS_MAX {
        let bytes = cx.random_key(slot, db)?.key().to_vec();
        let key = cx.key_of(&bytes);
        if cx.peek(key).is_some() {
            return Some(bytes);
        }
    }
    first_live(cx, slot)
}

fn end(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    if state.found.is_empty() {
        out.null();
    } else {
        out.append(&mut state.found);
    }
}

fn slot_at(index: usize) -> Option<Slot> {
    Slot::new(u16::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::pick_weighted;

    #[test]
    fn picks_follow_the_weights() {
        let weights = [0, 2, 0, 3];
        let picked: Vec<_> = (0..10).map(|random| pick_weighted(random, 0..4, |index| weights[index])).collect();
        let expected = [1, 1, 3, 3, 3].map(Some);
        assert_eq!(picked, [expected, expected].concat());
        assert_eq!(pick_weighted(7, 0..4, |_| 0), None);
    }
}
