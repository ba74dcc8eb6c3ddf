//! A sorted map in leaves of a few kilobytes, each behind an `Arc`: a clone shares all of them and costs one count per
//! leaf, a change copies the one leaf that it touches if somebody else holds it. Made for keys that mostly arrive in
//! order and mostly leave from the front.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::value::rounded;

/// A full leaf takes about this much.
const LEAF_BYTES: usize = 4096;
/// A leaf begins with room for this many items.
const LEAF_ITEMS_MIN: usize = 4;
/// What an `Arc` allocates beside what it holds.
const ARC_BYTES: usize = 16;

/// The map.
#[derive(Clone, Debug)]
pub struct Ordered<K, V> {
    /// In order; no leaf is empty.
    leaves: VecDeque<Leaf<K, V>>,
    len: usize,
    /// Items that the leaves have room for.
    room: usize,
}

#[derive(Clone, Debug)]
struct Leaf<K, V> {
    /// The lowest key, here so that a search need not follow the pointer.
    first: K,
    items: Arc<Vec<(K, V)>>,
}

/// A place between two items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    leaf: usize,
    item: usize,
}

/// Items of a range, in order from either end.
#[derive(Clone, Debug)]
pub struct Range<'a, K, V> {
    map: &'a Ordered<K, V>,
    from: Place,
    to: Place,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered { leaves: VecDeque::new(), len: 0, room: 0 }
    }
}

impl<K: Copy + Ord, V: Clone> Ordered<K, V> {
    const ITEM_BYTES: usize = size_of::<(K, V)>();
    const LEAF_ITEMS_MAX: usize = LEAF_BYTES / Self::ITEM_BYTES;

    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Accounted heap bytes, without what values hold elsewhere; a clone says the same.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        let leaf = rounded(ARC_BYTES + size_of::<Vec<(K, V)>>()) + size_of::<Leaf<K, V>>();
        self.room * Self::ITEM_BYTES + self.leaves.len() * leaf
    }

    /// The value at `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.find(key).ok()?;
        Some(&self.leaves[place.leaf].items[place.item].1)
    }

    /// The value at `key`, for changing it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(key).ok()?;
        Some(&mut self.items_mut(place.leaf)[place.item].1)
    }

    /// The item with the lowest key.
    pub fn first(&self) -> Option<(K, &V)> {
        let (key, value) = self.leaves.front()?.items.first()?;
        Some((*key, value))
    }

    /// The item with the highest key.
    #[inline]
    pub fn last(&self) -> Option<(K, &V)> {
        let (key, value) = self.leaves.back()?.items.last()?;
        Some((*key, value))
    }

    /// The item with the highest key, for changing its value.
    #[inline]
    pub fn last_mut(&mut self) -> Option<(K, &mut V)> {
        let leaf = self.leaves.len().checked_sub(1)?;
        let (key, value) = self.items_mut(leaf).last_mut()?;
        Some((*key, value))
    }

    /// Stores a value; returns the one that it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.last().is_none_or(|(last, _)| last < key) {
            self.push(key, value);
            return None;
        }
        let place = match self.find(&key) {
            Ok(place) => return Some(std::mem::replace(&mut self.items_mut(place.leaf)[place.item].1, value)),
            Err(place) => self.split_if_full(place),
        };
        let items = self.items_with_room(place.leaf);
        items.insert(place.item, (key, value));
        if place.item == 0 {
            self.leaves[place.leaf].first = key;
        }
        self.len += 1;
        None
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.find(key).ok()?;
        let items = self.items_mut(place.leaf);
        let (_, value) = items.remove(place.item);
        self.len -= 1;
        match self.leaves[place.leaf].items.first() {
            None => self.drop_leaf(place.leaf),
            Some(&(first, _)) => {
                self.leaves[place.leaf].first = first;
                self.merge(place.leaf);
            }
        }
        Some(value)
    }

    /// Takes the last leaf away whatever it holds; says how many items that were.
    pub fn drop_last_leaf(&mut self) -> usize {
        let Some(leaf) = self.leaves.len().checked_sub(1) else { return 0 };
        let items = self.leaves[leaf].items.len();
        self.len -= items;
        self.drop_leaf(leaf);
        items
    }

    /// All items.
    pub fn iter(&self) -> Range<'_, K, V> {
        Range { map: self, from: Place { leaf: 0, item: 0 }, to: Place { leaf: self.leaves.len(), item: 0 } }
    }

    /// The items from `from` to `to`, both included.
    pub fn range(&self, from: &K, to: &K) -> Range<'_, K, V> {
        let from = self.find(from).unwrap_or_else(|place| place);
        let to = match self.find(to) {
            Ok(place) => Place { item: place.item + 1, ..place },
            Err(place) => place,
        };
        Range { map: self, from, to: to.max(from) }
    }

    /// The items from the one with the highest key up to `from` (or the lowest key, if that is above) to `to`.
    pub fn range_covering(&self, from: &K, to: &K) -> Range<'_, K, V> {
        let mut range = self.range(from, to);
        let begins_at = |place: Place| self.leaves.get(place.leaf).and_then(|leaf| leaf.items.get(place.item));
        if begins_at(range.from).is_none_or(|(key, _)| key > from) {
            range.from = self.before(range.from).unwrap_or(range.from);
        }
        range
    }

    /// The items from number `index` on.
    pub fn skip(&self, index: usize) -> Range<'_, K, V> {
        let mut left = index;
        let mut range = self.iter();
        for (leaf, held) in self.leaves.iter().enumerate() {
            range.from = Place { leaf, item: left };
            if left < held.items.len() {
                return range;
            }
            left -= held.items.len();
        }
        range.from = range.to;
        range
    }

    /// Where a key is, or where it would go: inside a leaf or at its end, never before the first item of a leaf but
    /// the first.
    fn find(&self, key: &K) -> Result<Place, Place> {
        let after = self.leaves.partition_point(|leaf| leaf.first <= *key);
        let Some(leaf) = after.checked_sub(1) else { return Err(Place { leaf: 0, item: 0 }) };
        match self.leaves[leaf].items.binary_search_by(|(other, _)| other.cmp(key)) {
            Ok(item) => Ok(Place { leaf, item }),
            Err(item) => Err(Place { leaf, item }),
        }
    }

    /// The place one item before; a place at a leaf's end counts as the begin of the next.
    fn before(&self, place: Place) -> Option<Place> {
        if place.item > 0 {
            return Some(Place { item: place.item - 1, ..place });
        }
        let leaf = place.leaf.checked_sub(1)?;
        Some(Place { leaf, item: self.leaves[leaf].items.len() - 1 })
    }

    fn push(&mut self, key: K, value: V) {
        let is_full = self.leaves.back().is_none_or(|leaf| leaf.items.len() >= Self::LEAF_ITEMS_MAX);
        if is_full {
            self.leaves.push_back(Leaf { first: key, items: Arc::default() });
        }
        let last = self.leaves.len() - 1;
        self.items_with_room(last).push((key, value));
        self.len += 1;
    }

    fn items_mut(&mut self, leaf: usize) -> &mut Vec<(K, V)> {
        let items = &mut self.leaves[leaf].items;
        if Arc::get_mut(items).is_none() {
            // The copy has no spare room.
            self.room = self.room + items.len() - items.capacity();
        }
        Arc::make_mut(items)
    }

    /// The items of a leaf that is not full, with room for one more.
    fn items_with_room(&mut self, leaf: usize) -> &mut Vec<(K, V)> {
        let items = self.items_mut(leaf);
        let before = items.capacity();
        if items.len() == before {
            let wanted = (before * 2).clamp(LEAF_ITEMS_MIN, Self::LEAF_ITEMS_MAX.max(LEAF_ITEMS_MIN));
            items.reserve_exact(wanted.max(before + 1) - before);
        }
        let more = items.capacity() - before;
        self.room += more;
        self.items_mut(leaf)
    }

    /// Makes room at `place`; returns where that is now.
    fn split_if_full(&mut self, place: Place) -> Place {
        if self.leaves[place.leaf].items.len() < Self::LEAF_ITEMS_MAX {
            return place;
        }
        let items = self.items_mut(place.leaf);
        let middle = items.len() / 2;
        let upper = items.split_off(middle);
        self.room += upper.capacity();
        let first = upper[0].0;
        self.leaves.insert(place.leaf + 1, Leaf { first, items: Arc::new(upper) });
        if place.item <= middle { place } else { Place { leaf: place.leaf + 1, item: place.item - middle } }
    }

    /// Puts a leaf and its successor together where both have become small.
    fn merge(&mut self, leaf: usize) {
        let here = self.leaves[leaf].items.len();
        let Some(next) = self.leaves.get(leaf + 1) else { return };
        if here + next.items.len() > Self::LEAF_ITEMS_MAX / 2 {
            return;
        }
        let more: Vec<(K, V)> = next.items.to_vec();
        self.drop_leaf(leaf + 1);
        let items = self.items_mut(leaf);
        let before = items.capacity();
        items.reserve_exact(more.len());
        items.extend(more);
        let grown = items.capacity() - before;
        self.room += grown;
    }

    fn drop_leaf(&mut self, leaf: usize) {
        if let Some(gone) = self.leaves.remove(leaf) {
            self.room -= gone.items.capacity();
        }
        if self.leaves.capacity() > 16 && self.leaves.len() < self.leaves.capacity() / 4 {
            self.leaves.shrink_to(self.leaves.len() * 2);
        }
    }
}

impl<'a, K: Copy + Ord, V: Clone> Iterator for Range<'a, K, V> {
    type Item = (K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.from >= self.to {
                return None;
            }
            if let Some((key, value)) = self.map.leaves.get(self.from.leaf)?.items.get(self.from.item) {
                self.from.item += 1;
                return Some((*key, value));
            }
            self.from = Place { leaf: self.from.leaf + 1, item: 0 };
        }
    }
}

impl<K: Copy + Ord, V: Clone> DoubleEndedIterator for Range<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let place = self.map.before(self.to).filter(|place| *place >= self.from)?;
        self.to = place;
        let (key, value) = self.map.leaves.get(place.leaf)?.items.get(place.item)?;
        Some((*key, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn behaves_like_a_tree() {
        arbtest::arbtest(|u| {
            let mut map = Ordered::<u64, u64>::default();
            let mut model = BTreeMap::new();
            let mut kept = None;
            let keys = *u.choose(&[20u64, 3000])?;
            for step in 0..u.int_in_range(0..=3000)? {
                let key = u.int_in_range(0..=keys)?;
                match u.int_in_range(0..=9)? {
                    0..=4 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                    5..=7 => assert_eq!(map.remove(&key), model.remove(&key)),
                    8 => assert_eq!(map.get_mut(&key).copied(), model.get(&key).copied()),
                    _ => kept = Some((map.clone(), model.clone())),
                }
                assert_eq!(map.len(), model.len());
            }
            check(&map, &model);
            let (from, to) = (u.int_in_range(0..=keys)?, u.int_in_range(0..=keys)?);
            let wanted: Vec<(u64, u64)> =
                model.iter().map(|(&k, &v)| (k, v)).filter(|(k, _)| (from..=to).contains(k)).collect();
            assert_eq!(map.range(&from, &to).map(|(k, &v)| (k, v)).collect::<Vec<_>>(), wanted);
            let back: Vec<(u64, u64)> = map.range(&from, &to).rev().map(|(k, &v)| (k, v)).collect();
            assert_eq!(back, wanted.into_iter().rev().collect::<Vec<_>>());
            let covering = map.range_covering(&from, &u64::MAX).next().map(|(key, _)| key);
            assert_eq!(covering, model.range(..=from).next_back().or(model.iter().next()).map(|(&key, _)| key));
            if let Some((map, model)) = kept {
                check(&map, &model);
            }
            Ok(())
        });
    }

    fn check(map: &Ordered<u64, u64>, model: &BTreeMap<u64, u64>) {
        assert!(map.iter().map(|(k, &v)| (k, v)).eq(model.iter().map(|(&k, &v)| (k, v))));
        assert!(map.iter().rev().map(|(k, _)| k).eq(model.keys().rev().copied()));
        assert_eq!(map.first().map(|(k, _)| k), model.keys().next().copied());
        assert_eq!(map.last().map(|(k, _)| k), model.keys().next_back().copied());
        assert_eq!(map.room, map.leaves.iter().map(|leaf| leaf.items.capacity()).sum::<usize>());
        assert!(map.leaves.iter().all(|leaf| leaf.items.first().is_some_and(|(key, _)| *key == leaf.first)));
        let half = map.len() / 2;
        assert!(map.skip(half).map(|(k, _)| k).eq(model.keys().skip(half).copied()));
    }

    #[test]
    fn keys_in_order_fill_their_leaves() {
        let mut map = Ordered::<u64, u64>::default();
        (0..100_000).for_each(|key| assert_eq!(map.insert(key, key), None));
        assert!(map.heap_bytes() < 100_000 * 17, "{}", map.heap_bytes());
        (0..99_990).for_each(|key| assert_eq!(map.remove(&key), Some(key)));
        assert!(map.heap_bytes() < 10_000, "{}", map.heap_bytes());
    }
}
