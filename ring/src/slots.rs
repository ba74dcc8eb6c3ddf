//! A set of slots, written as ranges: `0-63,100,8192-16383`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::slot::{SLOTS, Slot};

/// A set of slots: one bit each.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SlotSet(Box<[u64; SLOTS / 64]>);

/// Why a text is no set of slots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a list of slots such as 0-63,100 (slots are 0 to 16383)")]
pub struct NoSlots(String);

impl SlotSet {
    /// No slot.
    pub fn new() -> SlotSet {
        SlotSet(Box::new([0; SLOTS / 64]))
    }

    /// Every slot.
    pub fn all() -> SlotSet {
        SlotSet(Box::new([u64::MAX; SLOTS / 64]))
    }

    /// Adds a slot.
    #[inline]
    pub fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    /// Takes a slot out.
    #[inline]
    pub fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !(1 << (slot.index() % 64));
    }

    /// Whether the slot is in.
    #[inline]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Slot::new((at * 64) as u16 + bit as u16)
            })
        })
    }

    /// Whether any slot is in both.
    pub fn overlaps(&self, other: &SlotSet) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(word, others)| word & others != 0)
    }

    /// The first slot at or after this number.
    pub fn next_from(&self, number: usize) -> Option<Slot> {
        (number..SLOTS).filter_map(|at| Slot::new(at as u16)).find(|slot| self.contains(*slot))
    }

    /// Adds all slots of another set.
    pub fn add(&mut self, other: &SlotSet) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, more)| *word |= more);
    }

    /// Takes all slots of another set out.
    pub fn subtract(&mut self, other: &SlotSet) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, less)| *word &= !less);
    }

    /// Keeps only the slots that are in the other set too.
    pub fn intersect(&mut self, other: &SlotSet) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(word, mask)| *word &= mask);
    }

    /// The words of 64 slots each, ascending: for frames.
    pub fn words(&self) -> &[u64; SLOTS / 64] {
        &self.0
    }

    /// From [`SlotSet::words`].
    pub fn from_words(words: [u64; SLOTS / 64]) -> SlotSet {
        SlotSet(Box::new(words))
    }

    /// Runs of contiguous slots, as first and last.
    pub fn ranges(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for slot in self.iter().map(Slot::number) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        SlotSet::new()
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> SlotSet {
        let mut set = SlotSet::new();
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges().into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl FromStr for SlotSet {
    type Err = NoSlots;

    fn from_str(text: &str) -> Result<SlotSet, NoSlots> {
        let number = |text: &str| text.trim().parse().ok().and_then(Slot::new).map(Slot::number);
        let mut set = SlotSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {
                    (first..=last).filter_map(Slot::new).for_each(|slot| set.insert(slot));
                }
                _ => return Err(NoSlots(part.to_owned())),
            }
        }
        Ok(set)
    }
}

impl TryFrom<String> for SlotSet {
    type Error = NoSlots;

    fn try_from(text: String) -> Result<SlotSet, NoSlots> {
        text.parse()
    }
}

impl From<SlotSet> for String {
    fn from(set: SlotSet) -> String {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_ranges_and_read_back() {
        let set: SlotSet = "0-2, 64,16383".parse().unwrap();
        assert_eq!(set.len(), 5);
        assert_eq!(set.to_string(), "0-2,64,16383");
        assert_eq!(set.ranges(), [(0, 2), (64, 64), (16383, 16383)]);
        assert_eq!(SlotSet::all().to_string(), "0-16383");
        assert_eq!("".parse::<SlotSet>().unwrap(), SlotSet::new());
        for bad in ["16384", "3-2", "x", "1-", "-1"] {
            assert!(bad.parse::<SlotSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sets_add_subtract_and_intersect() {
        let (mut a, b): (SlotSet, SlotSet) = ("0-100".parse().unwrap(), "50-200".parse().unwrap());
        a.subtract(&b);
        assert_eq!(a.to_string(), "0-49");
        a.add(&b);
        assert_eq!(a.to_string(), "0-200");
        a.intersect(&"199-300".parse().unwrap());
        assert_eq!(a.to_string(), "199-200");
        assert_eq!(a.next_from(0), Slot::new(199));
        assert_eq!(a.next_from(201), None);
    }
}
