//! A vector in blocks that clones share until one of them is written to: what large values keep their pages in, so that a
//! clone of ten million elements costs some thousand counts, not one for each page.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::rounded;

/// Items of a full block. The first write after a clone copies as many.
const BLOCK: usize = 1 << BITS;
const BITS: u32 = 7;
/// What an `Arc` of a vector allocates beside the vector's items.
const OUTSIDE_BYTES: usize = 16 + size_of::<Vec<u8>>();
/// Room for fewer items is not given back.
const SHRINK_MIN: usize = 16;

/// All blocks but the last are full, and have no more room.
#[derive(Clone, Debug)]
pub(super) struct Blocks<T>(Vec<Arc<Vec<T>>>);

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Blocks(Vec::new())
    }
}

impl<T> Blocks<T> {
    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        match self.0.last() {
            Some(last) => (self.0.len() - 1) * BLOCK + last.len(),
            None => 0,
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes on the heap, shared or not; without what the items hold elsewhere.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        let Some(last) = self.0.last() else { return rounded(self.0.capacity() * size_of::<Arc<Vec<T>>>()) };
        let block = |capacity: usize| rounded(OUTSIDE_BYTES) + rounded(capacity * size_of::<T>());
        let outer = rounded(self.0.capacity() * size_of::<Arc<Vec<T>>>());
        outer + (self.0.len() - 1) * block(BLOCK) + block(last.capacity())
    }

    /// The item of this number.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at >> BITS)?.get(at % BLOCK)
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.0.last()?.last()
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().flat_map(|block| block.iter())
    }
}

impl<T: Clone> Blocks<T> {
    /// The item of this number, for changing it.
    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(self.0.get_mut(at >> BITS)?).get_mut(at % BLOCK)
    }

    /// The last item, for changing it.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        Arc::make_mut(self.0.last_mut()?).last_mut()
    }

    /// One more item at the end.
    pub fn push(&mut self, item: T) {
        if self.0.last().is_none_or(|last| last.len() == BLOCK) {
            self.0.reserve_exact(if self.0.len() == self.0.capacity() { 1 + self.0.len() / 4 } else { 0 });
            // What has a full block already does not mind an empty one.
            let room = if self.0.is_empty() { 0 } else { BLOCK };
            self.0.push(Arc::new(Vec::with_capacity(room)));
        }
        let Some(last) = self.0.last_mut() else { return };
        let last = Arc::make_mut(last);
        if last.len() == last.capacity() {
            let want = rounded((last.len() + 1 + last.len() / 8) * size_of::<T>()) / size_of::<T>();
            last.reserve_exact(want.min(BLOCK) - last.len());
        }
        last.push(item);
    }

    /// Takes the last item.
    pub fn pop(&mut self) -> Option<T> {
        let is_only = self.0.len() == 1;
        let last = Arc::make_mut(self.0.last_mut()?);
        let item = last.pop();
        if is_only && last.capacity() > SHRINK_MIN && last.len() < last.capacity() / 4 {
            last.shrink_to(last.len() * 2);
        }
        if last.is_empty() {
            self.0.pop();
            if self.0.capacity() > SHRINK_MIN && self.0.len() < self.0.capacity() / 4 {
                self.0.shrink_to(self.0.len() * 2);
            }
        }
        item
    }

    /// Takes an item; the last one gets its number. `at` is the number of one.
    pub fn swap_remove(&mut self, at: usize) -> Option<T> {
        let last = self.pop()?;
        match self.get_mut(at) {
            Some(item) => Some(std::mem::replace(item, last)),
            None => Some(last),
        }
    }

    /// Takes all items from a number on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len.div_ceil(BLOCK));
        while self.len() > len {
            self.pop();
        }
    }
}

impl<T> Index<usize> for Blocks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.0[at >> BITS][at % BLOCK]
    }
}

impl<T: Clone> IndexMut<usize> for Blocks<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.0[at >> BITS])[at % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy shares its items with what it was made of, and neither sees what is done to the other.
    #[test]
    fn behaves_like_a_vector_beside_its_clones() {
        arbtest::arbtest(|bytes| {
            let mut pairs = vec![(Blocks::default(), Vec::<u32>::new())];
            for step in 0..bytes.int_in_range(0..=400)? {
                let which = bytes.int_in_range(0..=pairs.len() - 1)?;
                let copies = pairs.len();
                let (blocks, model) = &mut pairs[which];
                let at = bytes.int_in_range(0..=500)?;
                match bytes.int_in_range(0..=9)? {
                    0..=2 => (0..at).for_each(|n| {
                        blocks.push(n as u32);
                        model.push(n as u32);
                    }),
                    3 => (0..at / 2).for_each(|_| assert_eq!(blocks.pop(), model.pop())),
                    4 if at < model.len() => assert_eq!(blocks.swap_remove(at), Some(model.swap_remove(at))),
                    5 => {
                        blocks.truncate(at);
                        model.truncate(at);
                    }
                    6 if at < model.len() => (blocks[at], model[at]) = (step, step),
                    7 => drop((blocks.last_mut().map(|last| *last = step), model.last_mut().map(|last| *last = step))),
                    8 if copies < 4 => {
                        let clone = pairs[which].clone();
                        pairs.push(clone);
                    }
                    _ => assert_eq!(blocks.get(at), model.get(at)),
                }
            }
            for (blocks, model) in &pairs {
                assert_eq!(
                    (blocks.len(), blocks.is_empty(), blocks.last()),
                    (model.len(), model.is_empty(), model.last())
                );
                assert!(blocks.iter().eq(model));
                let (full, last) =
                    (BLOCK * 4 + 48, blocks.0.last().map_or(0, |last| 48 + rounded(last.capacity() * 4)));
                let outer = rounded(blocks.0.capacity() * 8);
                let held = blocks.0.len().saturating_sub(1) * full + last + outer;
                assert_eq!(blocks.heap_bytes(), held);
                assert!(blocks.0.iter().rev().skip(1).all(|block| block.capacity() == BLOCK && block.len() == BLOCK));
            }
            Ok(())
        });
    }
}
