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
        self.0.iter().enumerate().flat_map(|(index, word)| ones(*word).map(move |bit| slot(index * 64 + bit)))
    }

    /// Whether any slot is in both.
    pub fn overlaps(&self, other: &SlotSet) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(word, others)| word & others != 0)
    }

    /// The first slot at or after this number.
    pub fn next_from(&self, number: usize) -> Option<Slot> {
        let first = number / 64;
        let words = self.0.iter().enumerate().skip(first);
        let left = |index: usize, word: u64| if index == first { word & u64::MAX << (number % 64) } else { word };
        words.map(|(index, word)| (index, left(index, *word))).find(|(_, word)| *word != 0).map(lowest)
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
        let mut ranges = Vec::new();
        let mut at = 0;
        while let Some(first) = self.next_from(at) {
            let last = self.run_end(first.index());
            ranges.push((first.number(), last as u16));
            at = last + 1;
        }
        ranges
    }

    /// The last slot of the run that this slot is in.
    fn run_end(&self, from: usize) -> usize {
        let mut at = from;
        while at < SLOTS {
            let run = (self.0[at / 64] >> (at % 64)).trailing_ones() as usize;
            at += run;
            if run == 0 || !at.is_multiple_of(64) {
                break;
            }
        }
        at - 1
    }

    fn insert_range(&mut self, first: u16, last: u16) {
        let (first, last) = (usize::from(first), usize::from(last));
        for index in first / 64..=last / 64 {
            let from = if index == first / 64 { u64::MAX << (first % 64) } else { u64::MAX };
            let to = if index == last / 64 { u64::MAX >> (63 - last % 64) } else { u64::MAX };
            self.0[index] |= from & to;
        }
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
                    set.insert_range(first, last);
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

/// The places of a word's ones, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize);
        word &= word.wrapping_sub(1);
        bit
    })
}

fn lowest((index, word): (usize, u64)) -> Slot {
    slot(index * 64 + word.trailing_zeros() as usize)
}

fn slot(number: usize) -> Slot {
    Slot::new(number as u16).expect("a set has as many bits as there are slots")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Sets with long runs, holes and lone slots, and the slots they were made of.
    fn sets() -> impl Strategy<Value = (SlotSet, Vec<bool>)> {
        prop::collection::vec((0..SLOTS, 1..300usize, any::<bool>()), 0..40).prop_map(|runs| {
            let mut model = vec![false; SLOTS];
            for (first, length, inside) in runs {
                model.iter_mut().skip(first).take(length).for_each(|bit| *bit = inside);
            }
            let slots = (0..SLOTS).filter(|at| model[*at]).map(slot);
            (slots.collect(), model)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_set_walks_like_a_list_of_bits((set, model) in sets(), from in 0..SLOTS + 200) {
            let expected: Vec<usize> = (0..SLOTS).filter(|at| model[*at]).collect();
            prop_assert_eq!(set.len(), expected.len());
            prop_assert_eq!(set.is_empty(), expected.is_empty());
            prop_assert_eq!(set.iter().map(Slot::index).collect::<Vec<_>>(), expected.clone());
            let next = expected.iter().copied().find(|at| *at >= from);
            prop_assert_eq!(set.next_from(from).map(Slot::index), next);
        }

        #[test]
        fn ranges_are_the_longest_runs((set, model) in sets()) {
            let bit = |at: usize| model.get(at).copied().unwrap_or(false);
            let ranges = set.ranges();
            for &(first, last) in &ranges {
                prop_assert!((first..=last).all(|at| bit(at.into())), "{first}-{last} has a hole");
                prop_assert!(first == 0 || !bit(usize::from(first) - 1), "{first}-{last} begins late");
                prop_assert!(!bit(usize::from(last) + 1), "{first}-{last} ends early");
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            let slots: usize = ranges.iter().map(|(first, last)| usize::from(last - first) + 1).sum();
            prop_assert_eq!(slots, set.len());
            prop_assert_eq!(set.to_string().parse::<SlotSet>(), Ok(set));
        }
    }

    #[test]
    fn the_last_slot_is_no_border_case_too_many() {
        let last = slot(SLOTS - 1);
        let set = SlotSet::from_iter([last]);
        assert_eq!((set.next_from(0), set.next_from(SLOTS - 1)), (Some(last), Some(last)));
        assert_eq!((set.next_from(SLOTS), set.next_from(usize::MAX)), (None, None));
        assert_eq!(SlotSet::all().ranges(), [(0, 16383)]);
    }
}
