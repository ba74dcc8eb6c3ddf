//! The large sorted set: a B+-tree of packed pages with ranks, and beside it a table from members to pages.
//!
//! The tree ([`tree`]) keeps elements in order of score, then of bytes. The table ([`table`]) has 32 bits of each member's
//! hash and the number of the page that holds the member: looking a member up is a short walk in the table and in one
//! page, and walking the table walks all members in the order of their hashes, whatever their scores do meanwhile.

mod iter;
mod leaf;
mod node;
mod parts;
mod table;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use iter::{Backward, Forward};

use crate::key::Hasher;
use table::Table;
use tree::{Follow, New, Tree};

/// A large sorted set. Scores are never NaN. A clone is a snapshot: it shares pages, and whoever writes first copies
/// what it changes.
#[derive(Clone)]
pub struct Ranked {
    tree: Tree,
    table: Table,
    /// Bytes on the heap as of the last change.
    bytes: usize,
}

/// Where a member is.
#[derive(Clone, Copy)]
struct Place {
    leaf: u32,
    index: usize,
    score: f64,
}

impl Default for Ranked {
    fn default() -> Self {
        let mut ranked = Ranked { tree: Tree::default(), table: Table::default(), bytes: 0 };
        ranked.count_bytes();
        ranked
    }
}

impl fmt::Debug for Ranked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.forward(0).map(|(member, score)| (member.escape_ascii().to_string(), score)))
            .finish()
    }
}

impl Ranked {
    /// An empty one.
    pub fn new() -> Ranked {
        Ranked::default()
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8], hasher: &Hasher) -> Option<f64> {
        self.find(member, fingerprint(member, hasher)).map(|place| place.score)
    }

    /// The rank of a member, from the lowest, and its score.
    pub fn rank(&self, member: &[u8], hasher: &Hasher) -> Option<(usize, f64)> {
        let score = self.score(member, hasher)?;
        Some((self.tree.rank_of(score, member), score))
    }

    /// The element of a rank, from the lowest.
    pub fn by_rank(&self, rank: usize) -> Option<(&[u8], f64)> {
        let (leaf, index) = self.tree.locate(rank)?;
        Some((leaf.member(index), leaf.score(index)))
    }

    /// How many elements, from the lowest on, `before` holds for; it must not hold for any after one for which it does
    /// not. It is asked about scores and (parts of) members, O(log n) of them.
    pub fn rank_by(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.tree.rank_by(before)
    }

    /// How many elements have a score below this one, or up to it.
    pub fn rank_of_score(&self, score: f64, inclusive: bool) -> usize {
        self.rank_by(|other, _| if inclusive { other <= score } else { other < score })
    }

    /// How many elements have a member below this one, or up to it; all scores must be equal, as for all ranges by name.
    pub fn rank_of_lex(&self, member: &[u8], inclusive: bool) -> usize {
        self.rank_by(|_, other| if inclusive { other <= member } else { other < member })
    }

    /// Elements from a rank on, to the highest.
    pub fn forward(&self, rank: usize) -> Forward<'_> {
        Forward::new(&self.tree, rank)
    }

    /// The elements below a rank, down to the lowest.
    pub fn backward(&self, rank: usize) -> Backward<'_> {
        Backward::new(&self.tree, rank)
    }

    /// Puts a member in, or gives it another score; answers the score it had. A score equal to the old one, but for the
    /// sign of zero, changes nothing.
    pub fn insert(&mut self, member: &[u8], score: f64, hasher: &Hasher) -> Option<f64> {
        let fingerprint = fingerprint(member, hasher);
        let new = New { score, member, tag: fingerprint as u8 };
        let Some(old) = self.find(member, fingerprint) else {
            let leaf = self.tree.insert(new, &mut Keeper { table: &mut self.table, hasher });
            self.table.insert(fingerprint, leaf);
            self.count_bytes();
            return None;
        };
        if old.score != score && !self.tree.try_set_score(old.leaf, old.index, score, member) {
            let follow = &mut Keeper { table: &mut self.table, hasher };
            self.tree.remove(old.score, member, follow);
            let leaf = self.tree.insert(new, follow);
            self.table.replace(fingerprint, old.leaf, leaf);
            self.count_bytes();
        }
        Some(old.score)
    }

    /// Takes a member out; answers the score it had.
    pub fn remove(&mut self, member: &[u8], hasher: &Hasher) -> Option<f64> {
        let fingerprint = fingerprint(member, hasher);
        let old = self.find(member, fingerprint)?;
        self.table.remove(fingerprint, old.leaf);
        self.tree.remove(old.score, member, &mut Keeper { table: &mut self.table, hasher });
        self.count_bytes();
        Some(old.score)
    }

    /// Takes out the elements of a range of ranks, whole pages at once; ranks beyond the highest are passed over.
    /// Answers how many went.
    pub fn remove_ranks(&mut self, range: Range<usize>, hasher: &Hasher) -> usize {
        let range = range.start.min(self.len())..range.end.min(self.len());
        let count = range.len();
        if count > 0 && count == self.len() {
            *self = Ranked::default();
        } else {
            self.tree.remove_ranks(range, &mut Keeper { table: &mut self.table, hasher });
            self.count_bytes();
        }
        count
    }

    /// Visits the next members in the order of their hashes, at least `count` of them unless the end comes first, and
    /// answers the cursor to go on with; 0 begins, and 0 is the end. Whoever is there all the time is visited, whatever
    /// comes and goes and changes its score meanwhile, and whichever process goes on.
    pub fn scan(&self, cursor: u64, count: usize, hasher: &Hasher, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        let Ok(mut from) = u32::try_from(cursor) else { return 0 };
        let (mut visited, count) = (0, count.max(1));
        loop {
            let (cells, next) = self.table.page_from(from);
            // Members with the same fingerprint are visited together, since the cursor cannot tell them apart.
            let mut last = None;
            for (fingerprint, _) in cells {
                if visited >= count && last != Some(fingerprint) {
                    return u64::from(fingerprint);
                }
                if last != Some(fingerprint) {
                    last = Some(fingerprint);
                    visited += self.visit_all(fingerprint, hasher, &mut visit);
                }
            }
            let Some(next) = next else { return 0 };
            from = next;
        }
    }

    /// Bytes on the heap, as the allocator rounds them.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn count_bytes(&mut self) {
        self.bytes = self.tree.heap_bytes() + self.table.heap_bytes();
    }

    /// Visits the members with a fingerprint; answers how many there are.
    fn visit_all(&self, fingerprint: u32, hasher: &Hasher, visit: &mut impl FnMut(&[u8], f64)) -> usize {
        let mut seen = 0;
        let mut leaves: Vec<u32> = self.table.find(fingerprint).collect();
        leaves.sort_unstable();
        leaves.dedup();
        for leaf in leaves {
            let page = self.tree.leaf(leaf);
            for index in page.tagged(fingerprint as u8) {
                let member = page.member(index);
                if self::fingerprint(member, hasher) == fingerprint {
                    visit(member, page.score(index));
                    seen += 1;
                }
            }
        }
        seen
    }

    fn find(&self, member: &[u8], fingerprint: u32) -> Option<Place> {
        self.table.find(fingerprint).find_map(|leaf| {
            let page = self.tree.leaf(leaf);
            page.prefetch();
            let index = page.find(fingerprint as u8, member)?;
            Some(Place { leaf, index, score: page.score(index) })
        })
    }
}

/// Keeps the table right while the tree moves elements.
struct Keeper<'a> {
    table: &'a mut Table,
    hasher: &'a Hasher,
}

impl Follow for Keeper<'_> {
    fn moved(&mut self, member: &[u8], from: u32, to: u32) {
        self.table.replace(fingerprint(member, self.hasher), from, to);
    }

    fn gone(&mut self, member: &[u8], from: u32) {
        self.table.remove(fingerprint(member, self.hasher), from);
    }
}

/// The upper half of a member's hash.
#[inline]
fn fingerprint(member: &[u8], hasher: &Hasher) -> u32 {
    (hasher.hash(member) >> 32) as u32
}
