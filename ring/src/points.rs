//! The hash ring's points, and the walk along it: the same on every machine, in every run.

use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use consistent_hash_ring::{Ring, RingBuilder};

use crate::arc::SlotArc;
use crate::map::NodeId;
use crate::placement::Candidate;

/// Points of a node of mean weight, while there are few nodes: enough that neighbours on the ring are many.
const POINTS_PER_NODE: u64 = 64;

/// Points of all nodes together (but each has one): inserting one takes time in proportion to those there are.
const POINTS_MAX: u64 = 4096;

/// A ring: where each node's points end. Nodes are numbered as they were given.
pub(crate) struct Points {
    /// Ascending; the last ends at the top.
    ends: Vec<(u64, usize)>,
    hasher: BuildHasherDefault<RingHasher>,
}

/// A walk clockwise that passes by nodes that take nothing (more).
pub(crate) struct Walk {
    /// By node.
    open: Vec<bool>,
    /// By point of a node that is not open: where to look next. Shortened by whoever has walked it.
    next: Vec<usize>,
}

/// FNV-1a (Fowler, Noll, Vo) over little-endian bytes, stirred by the last step of MurmurHash3 (Appleby): of its own
/// FNV leaves like inputs near each other, and the standard library's hasher may change with its version.
pub(crate) struct RingHasher(u64);

impl Points {
    /// The ring of these nodes, with points in proportion to their weights. No nodes, no ring.
    pub fn new(nodes: &[Candidate]) -> Option<Points> {
        let hasher = BuildHasherDefault::default();
        let ring = ring(nodes, hasher.clone());
        let ends: Vec<(u64, usize)> =
            ring.resident_ranges().map(|range| (*range.keys().end(), range.node().index)).collect();
        (!ends.is_empty()).then_some(Points { ends, hasher })
    }

    /// Where an arc lies. Halves of an arc: the first lies where the whole one did.
    pub fn hash(&self, arc: SlotArc) -> u64 {
        self.hasher.hash_one(arc.first().number())
    }

    /// The node an arc belongs to by the ring alone.
    pub fn owner(&self, arc: SlotArc) -> usize {
        self.ends[self.at(arc)].1
    }

    /// A walk to open nodes only.
    pub fn walk(&self, open: Vec<bool>) -> Walk {
        Walk { open, next: (1..=self.ends.len()).map(|next| next % self.ends.len()).collect() }
    }

    fn at(&self, arc: SlotArc) -> usize {
        let hash = self.hash(arc);
        self.ends.partition_point(|(end, _)| *end < hash) % self.ends.len()
    }
}

impl Walk {
    /// The first open node clockwise from an arc, if any is.
    pub fn first_open(&mut self, points: &Points, arc: SlotArc) -> Option<usize> {
        let start = points.at(arc);
        let mut found = start;
        for _ in 0..points.ends.len() {
            if self.open[points.ends[found].1] {
                break;
            }
            found = self.next[found];
        }
        let node = points.ends[found].1;
        self.shorten(start, found);
        self.open[node].then_some(node)
    }

    /// The node takes nothing more.
    pub fn close(&mut self, node: usize) {
        self.open[node] = false;
    }

    /// Makes every point between the two lead straight to the later one.
    fn shorten(&mut self, start: usize, found: usize) {
        let mut at = start;
        while at != found {
            at = std::mem::replace(&mut self.next[at], found);
        }
    }
}

fn ring(nodes: &[Candidate], hasher: BuildHasherDefault<RingHasher>) -> Ring<Named, BuildHasherDefault<RingHasher>> {
    let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let all = (POINTS_PER_NODE * nodes.len() as u64).min(POINTS_MAX);
    let points = |node: &Candidate| (u64::from(node.weight) * all / total.max(1)).max(1) as usize;
    let named = |(index, node): (usize, &Candidate)| (Named { id: node.id, index }, points(node));
    RingBuilder::new(hasher).weighted_nodes_iter(nodes.iter().enumerate().map(named)).build()
}

/// A node on the ring: its id places it, its index is what we want to read off.
#[derive(Clone)]
struct Named {
    id: NodeId,
    index: usize,
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.id == other.id
    }
}

impl Eq for Named {}

impl std::hash::Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl Default for RingHasher {
    fn default() -> RingHasher {
        RingHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for RingHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write(&number.to_le_bytes());
    }

    fn write_u32(&mut self, number: u32) {
        self.write(&number.to_le_bytes());
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arc::arcs;

    fn candidates(count: u32) -> Vec<Candidate> {
        (1..=count).map(|id| Candidate { id: NodeId(id), weight: 1 + id % 3 }).collect()
    }

    #[test]
    fn an_arc_belongs_to_whom_the_ring_says() {
        for count in [1, 2, 7, 300] {
            let nodes = candidates(count);
            let (ring, points) = (ring(&nodes, Default::default()), Points::new(&nodes).unwrap());
            for arc in arcs(count as usize) {
                assert_eq!(points.owner(arc), ring.get(arc.first().number()).index, "{arc} of {count} nodes");
            }
        }
        assert!(Points::new(&[]).is_none());
    }

    #[test]
    fn a_walk_comes_to_the_next_open_node_clockwise() {
        let points = Points::new(&candidates(12)).unwrap();
        let mut open = vec![true; 12];
        let mut walk = points.walk(open.clone());
        for closed in [3, 4, 0, 11, 7, 8, 9, 1, 2, 10, 5] {
            open[closed] = false;
            walk.close(closed);
            for arc in arcs(12) {
                let clockwise = points.ends.iter().cycle().skip(points.at(arc)).take(points.ends.len());
                let first = clockwise.map(|(_, node)| *node).find(|node| open[*node]);
                assert_eq!(walk.first_open(&points, arc), first, "{arc} after {closed} closed");
            }
        }
        walk.close(6);
        assert!(arcs(12).all(|arc| walk.first_open(&points, arc).is_none()));
    }

    #[test]
    fn hashes_do_not_depend_on_the_machine() {
        let hasher = BuildHasherDefault::<RingHasher>::default();
        let mut plain = RingHasher::default();
        plain.write(b"foobar");
        assert_eq!(plain.0, 0x8594_4171_f739_67e8, "FNV-1a's own example");
        assert_eq!(hasher.hash_one(0x0102u16), {
            let mut bytes = RingHasher::default();
            bytes.write(&[2, 1]);
            bytes.finish()
        });
    }
}
