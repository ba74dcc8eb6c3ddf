//! The elements that SORT puts in order, and what it orders them by.

use std::cmp::Ordering;
use std::ops::Range;

use super::options::Options;
use super::pattern::Found;
use crate::entry::Value;
use crate::error::Fault;
use crate::value::element::DIGITS_MAX;
use crate::value::item::Item;
use crate::value::list::{List, ListRef};
use crate::value::set::{Set, SetRef};
use crate::value::zset::{ZSet, ZSetRef};
use crate::value::{Collection, KeptRef};

/// Elements in one buffer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// How they are to be sorted; nothing: not at all.
    pub order: Option<Order>,
    /// They are sorted by themselves although BY is given: a set that is stored must not depend on its hash order.
    pub by_itself: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Numbers,
    Bytes,
}

#[derive(Clone, Debug)]
struct Row {
    element: Range<usize>,
    score: f64,
    /// The bytes it is sorted by, if these are not its own.
    by: Option<Range<usize>>,
}

impl Rows {
    /// The elements of a list, set or sorted set, in the order they have; downwards, if that is all the order there is.
    pub fn of(kept: KeptRef<'_>, options: &Options<'_>) -> Result<Rows, Fault> {
        let mut rows = Rows::default();
        let keeps = options.keeps_order;
        let mut order = if options.alpha { Order::Bytes } else { Order::Numbers };
        let back = keeps && options.desc;
        if let Some(list) = List::read(kept) {
            rows.add_list(list, back);
        } else if let Some(zset) = ZSet::read(kept) {
            rows.add_zset(zset, back);
        } else if let Some(set) = Set::read(kept) {
            rows.add_set(set);
            rows.by_itself = keeps && options.stores;
            if rows.by_itself {
                order = Order::Bytes;
            }
        } else {
            return Err(Fault::WrongType);
        }
        rows.order = (!keeps || rows.by_itself).then_some(order);
        Ok(rows)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn element(&self, at: usize) -> &[u8] {
        &self.bytes[self.rows[at].element.clone()]
    }

    /// Sorts a row by its own bytes; says whether these are a number, if they have to be.
    pub fn weigh_by_itself(&mut self, at: usize) -> bool {
        let weight = match self.order {
            Some(Order::Numbers) => weight_of(self.element(at)),
            _ => Some(0.0),
        };
        self.rows[at].score = weight.unwrap_or(0.0);
        weight.is_some()
    }

    /// Sorts a row by what was found for it; says whether that is a number, if it has to be. Nothing counts as zero,
    /// and as less than all bytes.
    pub fn weigh(&mut self, at: usize, found: Option<Found<'_>>) -> bool {
        let from = self.bytes.len();
        match found {
            None => return true,
            Some(Found::Bytes(bytes) | Found::Value(Value::Slice(bytes))) => self.bytes.extend_from_slice(bytes),
            Some(Found::Value(Value::Segments(segments))) => {
                segments.parts().iter().for_each(|part| self.bytes.extend_from_slice(part));
            }
        }
        if self.order == Some(Order::Bytes) {
            self.rows[at].by = Some(from..self.bytes.len());
            return true;
        }
        let weight = weight_of(&self.bytes[from..]);
        self.bytes.truncate(from);
        self.rows[at].score = weight.unwrap_or(0.0);
        weight.is_some()
    }

    /// Puts the rows in order.
    pub fn sort(&mut self, options: &Options<'_>) {
        let bytes = &self.bytes;
        let own = |row: &Row| &bytes[row.element.clone()];
        let by = options.by.is_some() && !self.by_itself;
        let order = |one: &Row, other: &Row| match self.order {
            Some(Order::Bytes) if by => {
                let weight = |row: &Row| row.by.clone().map(|range| &bytes[range]);
                weight(one).cmp(&weight(other))
            }
            Some(Order::Bytes) => own(one).cmp(own(other)),
            _ => one.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal).then_with(|| own(one).cmp(own(other))),
        };
        if options.desc {
            self.rows.sort_by(|one, other| order(other, one));
        } else {
            self.rows.sort_by(order);
        }
    }

    /// The rows that LIMIT leaves.
    pub fn shown(&self, options: &Options<'_>) -> Range<usize> {
        let len = self.rows.len();
        let Some((offset, count)) = options.limit else { return 0..len };
        let start = usize::try_from(offset.max(0)).unwrap_or(len).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }

    fn add_list(&mut self, list: ListRef<'_>, back: bool) {
        let from = if back { list.len().saturating_sub(1) } else { 0 };
        list.items(from, back).for_each(|item| match item {
            Item::Short(element) => self.add(element.bytes(&mut [0; DIGITS_MAX])),
            Item::Long(segments) => self.add(&segments.to_vec()),
        });
    }

    fn add_set(&mut self, set: SetRef<'_>) {
        match set {
            SetRef::Ints(ints) => {
                let mut digits = [0; DIGITS_MAX];
                ints.iter().for_each(|number| self.add(swell_wire::out::format_i64(number, &mut digits)));
            }
            SetRef::Pack(pack) => pack.iter().for_each(|element| self.add(element.bytes(&mut [0; DIGITS_MAX]))),
            SetRef::Large(map) => map.iter().for_each(|element| self.add(element.key)),
        }
    }

    fn add_zset(&mut self, zset: ZSetRef<'_>, back: bool) {
        match zset {
            ZSetRef::Pack(pack) => {
                let members: Vec<_> = pack.iter().step_by(2).collect();
                let mut add = |at: usize| self.add(members[at].bytes(&mut [0; DIGITS_MAX]));
                if back { (0..members.len()).rev().for_each(&mut add) } else { (0..members.len()).for_each(&mut add) }
            }
            ZSetRef::Large(ranked) if back => {
                let last = ranked.len().saturating_sub(1);
                ranked.backward(last).for_each(|(member, _)| self.add(member));
            }
            ZSetRef::Large(ranked) => ranked.forward(0).for_each(|(member, _)| self.add(member)),
        }
    }

    fn add(&mut self, element: &[u8]) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(element);
        self.rows.push(Row { element: from..self.bytes.len(), score: 0.0, by: None });
    }
}

/// A number to sort by: decimal, with a sign, a point, an exponent, or infinite; not one that a double cannot hold.
fn weight_of(bytes: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
    let is_too_large = number.is_infinite() && bytes.iter().any(u8::is_ascii_digit);
    let mantissa = bytes.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let is_too_small = number == 0.0 && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    (!number.is_nan() && !is_too_large && !is_too_small).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `SORT` of Valkey 9.1 takes.
    #[test]
    fn numbers_to_sort_by() {
        for good in ["+5", "infinity", "-inf", "inf", "-0", ".5", "5.", "1e5", "0e-999", "0"] {
            assert!(weight_of(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", " 4", "5 ", "0x10", "1e400", "1e-400", "nan", "5abc", "-1e999"] {
            assert!(weight_of(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
