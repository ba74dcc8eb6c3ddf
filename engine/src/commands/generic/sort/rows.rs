//! The elements that SORT puts in order, and what it orders them by.

use std::cmp::Ordering;
use std::ops::Range;

use super::options::Options;
use super::pattern::Found;
use crate::entry::Value;
use crate::error::Fault;
use crate::value::element::{DIGITS_MAX, Element};
use crate::value::item::Item;
use crate::value::list::List;
use crate::value::listpack::ListpackRef;
use crate::value::set::{Set, SetRef};
use crate::value::zset::{ZSet, ZSetRef};
use crate::value::{Collection, KeptRef, Kind};

/// Elements in one buffer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    how: How,
}

/// How rows are sorted.
#[derive(Clone, Copy, Debug, Default)]
struct How {
    /// Nothing: not at all.
    order: Option<Order>,
    /// By what other keys hold.
    by: bool,
    desc: bool,
}

/// Compares rows.
#[derive(Clone, Copy)]
struct Comparison<'b> {
    bytes: &'b [u8],
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
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
    /// No rows yet, for the elements of a list, set or sorted set.
    pub fn new(kept: KeptRef<'_>, options: &Options<'_>) -> Result<Rows, Fault> {
        // A set that is stored must not depend on its hash order: then it is sorted by itself although BY is given.
        let by_itself = match kept.form().kind() {
            Kind::Set => options.keeps_order && options.stores,
            Kind::List | Kind::ZSet => false,
            _ => return Err(Fault::WrongType),
        };
        let order = if options.alpha || by_itself { Order::Bytes } else { Order::Numbers };
        let how = How {
            order: (!options.keeps_order || by_itself).then_some(order),
            by: options.by.is_some() && !by_itself,
            desc: options.desc,
        };
        Ok(Rows { how, ..Rows::default() })
    }

    /// All elements, in the order they have; downwards, if that is all the order there is.
    pub fn of(kept: KeptRef<'_>, options: &Options<'_>) -> Result<Rows, Fault> {
        let mut rows = Rows::new(kept, options)?;
        let mut place = Some(0);
        while let Some(at) = place {
            place = rows.collect(kept, at, usize::MAX);
        }
        Ok(rows)
    }

    /// Adds about so many elements from a place on; says where to go on, if there are more.
    pub fn collect(&mut self, kept: KeptRef<'_>, place: u64, count: usize) -> Option<u64> {
        let back = self.how.order.is_none() && self.how.desc;
        let at = place as usize;
        let next = |len: usize| Some(at.saturating_add(count)).filter(|&next| next < len).map(|next| next as u64);
        if let Some(list) = List::read(kept) {
            let from = if back { list.len().saturating_sub(at + 1) } else { at };
            list.items(from, back).take(count).for_each(|item| self.add_item(item));
            return next(list.len());
        }
        if let Some(zset) = ZSet::read(kept) {
            return match zset {
                ZSetRef::Pack(pack) => self.add_pairs(pack, back),
                ZSetRef::Large(ranked) if back => {
                    let from = ranked.len().saturating_sub(at);
                    ranked.backward(from).take(count).for_each(|(member, _)| self.add(member));
                    next(ranked.len())
                }
                ZSetRef::Large(ranked) => {
                    ranked.forward(at).take(count).for_each(|(member, _)| self.add(member));
                    next(ranked.len())
                }
            };
        }
        match Set::read(kept)? {
            SetRef::Ints(ints) => ints.iter().for_each(|number| self.add_item(Item::Short(Element::Int(number)))),
            SetRef::Pack(pack) => pack.iter().for_each(|element| self.add_item(Item::Short(element))),
            SetRef::Large(map) => {
                return Some(map.scan(place, count, |element| self.add(element.key))).filter(|&next| next != 0);
            }
        }
        None
    }

    /// Whether they are sorted at all.
    pub fn is_sorted(&self) -> bool {
        self.how.order.is_some()
    }

    /// Whether they are sorted by what other keys hold.
    pub fn is_sorted_by_others(&self) -> bool {
        self.how.by
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn element(&self, at: usize) -> &[u8] {
        &self.bytes[self.rows[at].element.clone()]
    }

    /// Sorts a row by its own bytes; says whether these are a number, if they have to be.
    pub fn weigh_by_itself(&mut self, at: usize) -> bool {
        let weight = match self.how.order {
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
        if self.how.order == Some(Order::Bytes) {
            self.rows[at].by = Some(from..self.bytes.len());
            return true;
        }
        let weight = weight_of(&self.bytes[from..]);
        self.bytes.truncate(from);
        self.rows[at].score = weight.unwrap_or(0.0);
        weight.is_some()
    }

    /// Puts the rows from one on in order.
    pub fn sort_from(&mut self, from: usize) {
        let comparison = Comparison { bytes: &self.bytes, how: self.how };
        self.rows[from..].sort_by(|one, other| comparison.compare(one, other));
    }

    /// Whether a row comes before another.
    pub fn is_before(&self, one: usize, other: usize) -> bool {
        let comparison = Comparison { bytes: &self.bytes, how: self.how };
        comparison.compare(&self.rows[one], &self.rows[other]).is_lt()
    }

    /// The rows that LIMIT leaves.
    pub fn shown(&self, limit: Option<(i64, i64)>) -> Range<usize> {
        let len = self.rows.len();
        let Some((offset, count)) = limit else { return 0..len };
        let start = usize::try_from(offset.max(0)).unwrap_or(len).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }

    fn add_item(&mut self, item: Item<'_>) {
        match item {
            Item::Short(element) => self.add(element.bytes(&mut [0; DIGITS_MAX])),
            Item::Long(segments) => self.add(&segments.to_vec()),
        }
    }

    /// The members of a compact sorted set, all of them.
    fn add_pairs(&mut self, pack: ListpackRef<'_>, back: bool) -> Option<u64> {
        let members: Vec<_> = pack.iter().step_by(2).collect();
        let mut add = |at: usize| self.add_item(Item::Short(members[at]));
        if back {
            (0..members.len()).rev().for_each(&mut add)
        } else {
            (0..members.len()).for_each(&mut add)
        }
        None
    }

    fn add(&mut self, element: &[u8]) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(element);
        self.rows.push(Row { element: from..self.bytes.len(), score: 0.0, by: None });
    }
}

impl Comparison<'_> {
    fn compare(&self, one: &Row, other: &Row) -> Ordering {
        let own = |row: &Row| &self.bytes[row.element.clone()];
        let by = |row: &Row| row.by.clone().map(|range| &self.bytes[range]);
        let order = match self.how.order {
            None => Ordering::Equal,
            Some(Order::Bytes) if self.how.by => by(one).cmp(&by(other)),
            Some(Order::Bytes) => own(one).cmp(own(other)),
            Some(Order::Numbers) => {
                let scores = one.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal);
                scores.then_with(|| own(one).cmp(own(other)))
            }
        };
        if self.how.desc { order.reverse() } else { order }
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
