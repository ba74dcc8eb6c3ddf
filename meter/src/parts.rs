//! The same usage once more, by who or what it was for: user, client, database, key prefix. Every dimension adds up to
//! the total.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Usage;

/// Names of one dimension that are told apart in one minute or hour of the ledger, and between two looks at a worker.
/// What comes under further names is in [`OTHER`].
pub const NAMES_MAX: usize = 200;
/// Longest name, in bytes; a longer one is cut.
pub const NAME_BYTES_MAX: usize = 64;
/// Where names go for which there is no room.
pub const OTHER: &str = "(other)";

/// By what usage is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    User,
    Client,
    Db,
    Prefix,
}

/// Usage by name, in every dimension. Never more than [`NAMES_MAX`] names and [`OTHER`] in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    by: [BTreeMap<String, Usage>; Dimension::ALL.len()],
}

/// One name's usage, as charges carry it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part(pub Dimension, pub String, pub Usage);

impl Dimension {
    /// All, in their order.
    pub const ALL: [Dimension; 4] = [Dimension::User, Dimension::Client, Dimension::Db, Dimension::Prefix];

    /// As the ledger's file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::User => "user",
            Dimension::Client => "client",
            Dimension::Db => "db",
            Dimension::Prefix => "prefix",
        }
    }
}

impl Parts {
    /// Adds what was used under a name.
    pub fn add(&mut self, dimension: Dimension, name: &str, usage: &Usage) {
        let names = &mut self.by[dimension as usize];
        if let Some(sum) = names.get_mut(name) {
            return sum.add(usage);
        }
        let name = if has_room(names.len(), names.contains_key(OTHER)) { name } else { OTHER };
        names.entry(name.to_owned()).or_default().add(usage);
    }

    /// Adds all of another.
    pub fn merge(&mut self, more: &Parts) {
        for (dimension, names) in Dimension::ALL.into_iter().zip(&more.by) {
            names.iter().for_each(|(name, usage)| self.add(dimension, name, usage));
        }
    }

    /// Whether nothing was used.
    pub fn is_empty(&self) -> bool {
        self.by.iter().all(BTreeMap::is_empty)
    }

    /// Everything, in each dimension with the dearest first: where there is no room for all, they have it.
    pub fn into_dearest_first(self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (dimension, names) in Dimension::ALL.into_iter().zip(self.by) {
            parts.extend(names.into_iter().map(|(name, usage)| Part(dimension, name, usage)));
        }
        parts.sort_by_key(|Part(dimension, _, usage)| (*dimension, std::cmp::Reverse(usage.ecpu_milli)));
        parts
    }
}

/// Whether one more name may be told apart where there are so many, [`OTHER`] among them or not.
pub(crate) fn has_room(names: usize, has_other: bool) -> bool {
    names - usize::from(has_other && names > 0) < NAMES_MAX
}

/// A name for a bill: text of at most [`NAME_BYTES_MAX`] bytes without control characters.
pub fn clean_name(bytes: &[u8]) -> String {
    let mut name = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        let character = if character.is_control() { '?' } else { character };
        if name.len() + character.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        name.push(character);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(ecpu_milli: u64) -> Usage {
        Usage { calls: 1, ecpu_milli, ..Usage::default() }
    }

    #[test]
    fn names_are_bounded_and_nothing_is_lost() {
        let mut parts = Parts::default();
        for number in 0..NAMES_MAX * 2 {
            parts.add(Dimension::Client, &number.to_string(), &usage(number as u64));
        }
        parts.add(Dimension::Client, "0", &usage(7));
        parts.add(Dimension::User, "u", &usage(5));
        let mut twice = parts.clone();
        twice.merge(&parts);
        let listed = twice.into_dearest_first();
        assert_eq!(listed.len(), 1 + NAMES_MAX + 1);
        assert_eq!(listed[0], Part(Dimension::User, "u".to_owned(), Usage { calls: 2, ..usage(10) }));
        assert_eq!(listed[1].1, OTHER);
        assert!(listed[1..].windows(2).all(|pair| pair[0].2.ecpu_milli >= pair[1].2.ecpu_milli));
        let sum = |listed: &[Part]| listed.iter().map(|part| part.2.ecpu_milli).sum::<u64>();
        let all: u64 = (0..NAMES_MAX as u64 * 2).sum();
        assert_eq!(sum(&listed), 2 * (all + 7 + 5));
    }

    #[test]
    fn names_are_short_text() {
        assert_eq!(clean_name(b"team-a"), "team-a");
        assert_eq!(clean_name(b"a\r\nb\xff"), "a??b\u{fffd}");
        let long = clean_name("€".repeat(40).as_bytes());
        assert_eq!(long, "€".repeat(NAME_BYTES_MAX / 3));
    }
}
