//! Usage by key prefix: what stands before the first separator in a command's first key. A worker's own rows.

use std::collections::HashMap;

use crate::counters::Usage;
use crate::parts::{Dimension, NAME_BYTES_MAX, OTHER, Parts, clean_name};

/// Prefixes that a worker tells apart between two drains; further ones are `(other)`.
pub const PREFIXES_MAX: usize = 1024;
/// Commands without a key.
pub const NO_KEY: &str = "(no key)";
/// Keys without a separator among their first [`NAME_BYTES_MAX`] bytes.
pub const NO_PREFIX: &str = "(no prefix)";

const AT_NO_KEY: u32 = 0;
const AT_NO_PREFIX: u32 = 1;
const AT_OTHER: u32 = 2;
/// Rows that are always there.
const FIXED: [&str; 3] = [NO_KEY, NO_PREFIX, OTHER];

/// A prefix's row, for a short time: when rows have been cleared meanwhile it stands for [`OTHER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    at: u32,
    generation: u32,
}

/// A worker's rows.
#[derive(Debug)]
pub(crate) struct Prefixes {
    separator: u8,
    rows: Vec<Usage>,
    /// The prefixes behind the fixed rows, with their separators.
    names: Vec<Box<[u8]>>,
    places: HashMap<Box<[u8]>, u32>,
    /// The row that was found last: traffic comes in runs.
    last: u32,
    generation: u32,
}

impl Default for Prefix {
    /// No key at all.
    #[inline]
    fn default() -> Self {
        Prefix { at: AT_NO_KEY, generation: 0 }
    }
}

impl Prefixes {
    /// `separator`: the byte that a prefix ends with.
    pub(crate) fn new(separator: u8) -> Prefixes {
        let rows = vec![Usage::default(); FIXED.len()];
        Prefixes { separator, rows, names: Vec::new(), places: HashMap::new(), last: 0, generation: 1 }
    }

    /// The row of this key's prefix.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> Prefix {
        let name = self.names.get((self.last as usize).wrapping_sub(FIXED.len()));
        // A name ends with its only separator, so a key that begins with it has this very prefix.
        let at = if name.is_some_and(|name| key.starts_with(name)) { self.last } else { self.look_up(key) };
        Prefix { at, generation: self.generation }
    }

    /// The usage of a row.
    #[inline]
    pub(crate) fn row(&mut self, prefix: Prefix) -> Option<&mut Usage> {
        let is_good = prefix.generation == self.generation || (prefix.at as usize) < FIXED.len();
        self.rows.get_mut(if is_good { prefix.at } else { AT_OTHER } as usize)
    }

    /// Moves all rows into `parts`. Rows are forgotten when there are many.
    pub(crate) fn drain_into(&mut self, parts: &mut Parts) {
        for (at, usage) in self.rows.iter_mut().enumerate().filter(|(_, usage)| usage.calls > 0) {
            let usage = std::mem::take(usage);
            match at.checked_sub(FIXED.len()).and_then(|at| self.names.get(at)) {
                Some(name) => parts.add(Dimension::Prefix, &clean_name(name), &usage),
                None => parts.add(Dimension::Prefix, FIXED.get(at).copied().unwrap_or(OTHER), &usage),
            }
        }
        if self.names.len() > PREFIXES_MAX / 2 {
            self.rows.truncate(FIXED.len());
            self.names.clear();
            self.places.clear();
            self.last = 0;
            self.generation = self.generation.wrapping_add(1).max(1);
        }
    }

    fn look_up(&mut self, key: &[u8]) -> u32 {
        let head = &key[..key.len().min(NAME_BYTES_MAX)];
        let Some(end) = head.iter().position(|byte| *byte == self.separator) else { return AT_NO_PREFIX };
        let name = &head[..=end];
        let at = match self.places.get(name) {
            Some(at) => *at,
            None if self.names.len() == PREFIXES_MAX => return AT_OTHER,
            None => {
                let at = self.rows.len() as u32;
                self.rows.push(Usage::default());
                self.names.push(name.into());
                self.places.insert(name.into(), at);
                at
            }
        };
        self.last = at;
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn charge(prefixes: &mut Prefixes, prefix: Prefix) {
        let row = prefixes.row(prefix).unwrap();
        (row.calls, row.ecpu_milli) = (row.calls + 1, row.ecpu_milli + 1);
    }

    fn drained(prefixes: &mut Prefixes) -> Vec<(String, u64)> {
        let mut parts = Parts::default();
        prefixes.drain_into(&mut parts);
        parts.into_dearest_first().into_iter().map(|part| (part.1, part.2.calls)).collect()
    }

    #[test]
    fn a_prefix_ends_with_the_first_separator() {
        let mut prefixes = Prefixes::new(b':');
        let long = [&[b'x'; NAME_BYTES_MAX][..], b":"].concat();
        for key in [&b"user:1"[..], b"user:2:name", b"user:", b"user", b":", b"", b"users:1", b"user:1", &long] {
            let prefix = prefixes.find(key);
            charge(&mut prefixes, prefix);
        }
        charge(&mut prefixes, Prefix::default());
        let expected = [("user:", 4), (NO_PREFIX, 3), (NO_KEY, 1), (":", 1), ("users:", 1)];
        assert_eq!(drained(&mut prefixes), expected.map(|(name, calls)| (name.to_owned(), calls)));
    }

    #[test]
    fn rows_are_bounded_and_what_is_late_is_other() {
        let mut prefixes = Prefixes::new(b'/');
        let first = prefixes.find(b"0/");
        for number in 0..PREFIXES_MAX * 2 {
            let prefix = prefixes.find(format!("{number}/x").as_bytes());
            charge(&mut prefixes, prefix);
        }
        assert_eq!(prefixes.rows.len(), FIXED.len() + PREFIXES_MAX);
        assert_eq!(drained(&mut prefixes).iter().map(|(_, calls)| calls).sum::<u64>(), PREFIXES_MAX as u64 * 2);
        assert_eq!(prefixes.rows.len(), FIXED.len());
        charge(&mut prefixes, first);
        charge(&mut prefixes, Prefix::default());
        assert_eq!(drained(&mut prefixes), [(NO_KEY.to_owned(), 1), (OTHER.to_owned(), 1)]);
    }

    proptest! {
        /// Remembering the last row changes nothing.
        #[test]
        fn the_prefix_is_what_stands_before_the_first_separator(keys in proptest::collection::vec("[ab:]{0,5}", 1..50)) {
            let mut prefixes = Prefixes::new(b':');
            let mut expected = std::collections::BTreeMap::<String, u64>::new();
            for key in &keys {
                let prefix = prefixes.find(key.as_bytes());
                charge(&mut prefixes, prefix);
                let name = key.split_once(':').map_or(NO_PREFIX.to_owned(), |(name, _)| format!("{name}:"));
                *expected.entry(name).or_default() += 1;
            }
            let found: std::collections::BTreeMap<String, u64> = drained(&mut prefixes).into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
