//! Which node owns each slot, as this proxy knows it: the slot map and the cache state, swapped whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use swell_ring::{CacheState, Epoch, NodeId, SlotMap, SlotSet};

/// The entry of the cache state that says how many nodes there may be.
pub const NODES_MAX: &str = "nodes-max";

/// What a proxy knows of the ring. Read once per batch, without a lock.
pub struct Route {
    map: ArcSwap<SlotMap>,
    state: ArcSwap<CacheState>,
    state_version: AtomicU64,
    /// The node inside this process.
    local: Option<NodeId>,
    /// Every slot belongs to the node inside this process: requests run as function calls.
    direct: AtomicBool,
    /// There may be several nodes: atomic commands over several slots are refused, wherever their keys are now.
    strict: AtomicBool,
}

impl Route {
    /// Before the first map. With a node in this process everything belongs to it.
    pub fn new(local: Option<NodeId>) -> Route {
        Route {
            map: ArcSwap::from_pointee(SlotMap::empty()),
            state: ArcSwap::from_pointee(CacheState::default()),
            state_version: AtomicU64::new(0),
            local,
            direct: AtomicBool::new(local.is_some()),
            strict: AtomicBool::new(false),
        }
    }

    /// Whether all requests run in this process, as function calls.
    #[inline]
    pub fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    /// Whether the node inside this process is all there is: nobody else has to hear of a change.
    pub fn is_alone(&self) -> bool {
        self.is_direct() && self.map.load().nodes().len() <= 1
    }

    /// Whether slots may leave the node inside this process: there are others, or there may be.
    pub fn may_move(&self) -> bool {
        self.is_strict() || !self.is_alone()
    }

    /// Whether an atomic command may name keys of one slot only.
    #[inline]
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed)
    }

    /// The node inside this process.
    pub fn local(&self) -> Option<NodeId> {
        self.local
    }

    /// The newest map.
    #[inline]
    pub fn map(&self) -> Guard<Arc<SlotMap>> {
        self.map.load()
    }

    /// The newest state.
    pub fn state(&self) -> Arc<CacheState> {
        self.state.load_full()
    }

    /// Its version.
    #[inline]
    pub fn state_version(&self) -> u64 {
        self.state_version.load(Ordering::Acquire)
    }

    /// Takes a map over if it is newer; says whether it was.
    pub fn set_map(&self, map: SlotMap) -> bool {
        if map.epoch() <= self.map.load().epoch() {
            return false;
        }
        let is_direct = self.local.is_some_and(|local| map.slots_of(local) == SlotSet::all());
        self.map.store(Arc::new(map));
        self.direct.store(is_direct, Ordering::Release);
        true
    }

    /// Takes a state over if it is newer; says whether it was.
    pub fn set_state(&self, state: CacheState) -> bool {
        if state.version <= self.state_version() && state.version != 0 {
            return false;
        }
        let nodes_max = state.entries.get(NODES_MAX).and_then(|text| text.parse().ok()).unwrap_or(1u32);
        self.strict.store(nodes_max > 1, Ordering::Relaxed);
        let version = state.version;
        self.state.store(Arc::new(state));
        self.state_version.store(version, Ordering::Release);
        true
    }

    /// Whether it has seen this epoch and this state.
    pub fn has_seen(&self, epoch: Epoch, state: u64) -> bool {
        self.map.load().epoch() >= epoch && self.state_version() >= state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_ring::Member;

    fn member(id: u32) -> Member {
        Member { id: NodeId(id), address: "unix:/n".to_owned(), zone: String::new() }
    }

    #[test]
    fn it_is_direct_while_everything_belongs_to_this_process() {
        let route = Route::new(Some(NodeId(1)));
        assert!(route.is_direct());
        let map = SlotMap::single(Epoch(3), member(1));
        assert!(route.set_map(map.clone()) && route.is_direct());
        let moved = map.clone().with_member(member(2)).assigned(&"7".parse().unwrap(), NodeId(2));
        assert!(route.set_map(moved) && !route.is_direct());
        assert!(!route.set_map(map), "an older map changes nothing");
        assert!(route.has_seen(Epoch(4), 0) && !route.has_seen(Epoch(5), 0));
        assert!(!Route::new(None).is_direct());
    }

    #[test]
    fn more_than_one_node_makes_it_strict() {
        let route = Route::new(None);
        let state = CacheState::default().changed([(NODES_MAX.to_owned(), "3".to_owned())]);
        assert!(route.set_state(state.clone()) && route.is_strict());
        assert!(!route.set_state(state));
        assert_eq!(route.state_version(), 1);
    }
}
