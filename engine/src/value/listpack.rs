//! Valkey's listpack: a run of elements with a header and an end mark, the compact form of lists, hashes, sets and
//! sorted sets. Byte for byte Valkey's, so that DUMP and RESTORE carry it as it is.
//!
//! ```text
//! u32 bytes in all | u16 elements, or 65535: count them | elements (see `element`) | 0xff
//! ```
//!
//! Places in a listpack are byte offsets of elements, which hold until the next change.

use super::Malformed;
use super::element::{self, Element, Needle};

#[cfg(test)]
mod tests;

/// Bytes of header and end.
pub const PACK_BYTES: usize = HEADER_BYTES + 1;
const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// Stands for any count from here on.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// A listpack, read in place. Bytes from elsewhere must have passed [`ListpackRef::validate`]; those that have not are
/// read without panic, but as far as they make sense only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListpackRef<'a>(pub &'a [u8]);

/// A listpack of one's own, to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listpack(Vec<u8>);

impl<'a> ListpackRef<'a> {
    /// Checks structure, lengths and count of bytes from elsewhere. What the elements say is the caller's to check.
    pub fn validate(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let pack = ListpackRef(bytes);
        let total = *bytes.first_chunk().ok_or(Malformed)?;
        if u32::from_le_bytes(total) as usize != bytes.len() || bytes.len() <= HEADER_BYTES || *pack.end() != [END] {
            return Err(Malformed);
        }
        let (mut run, mut count) = (pack.run(), 0usize);
        while !run.is_empty() {
            let (_, total) = element::decode_checked(run).ok_or(Malformed)?;
            run = &run[total..];
            count += 1;
        }
        let told = pack.told_count();
        if told != COUNT_UNKNOWN && usize::from(told) != count { Err(Malformed) } else { Ok(pack) }
    }

    /// Number of elements; from 65535 on they must be counted.
    #[inline]
    pub fn len(&self) -> usize {
        match self.told_count() {
            COUNT_UNKNOWN => self.places().count(),
            count => usize::from(count),
        }
    }

    /// Whether it has no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.run().is_empty()
    }

    /// Bytes in all, header and end included.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The elements' own bytes.
    #[inline]
    pub fn run(&self) -> &'a [u8] {
        self.0.get(HEADER_BYTES..self.0.len().saturating_sub(1)).unwrap_or_default()
    }

    /// Place of the first element.
    #[inline]
    pub fn first(&self) -> Option<usize> {
        (!self.is_empty()).then_some(HEADER_BYTES)
    }

    /// Place of the last element.
    #[inline]
    pub fn last(&self) -> Option<usize> {
        self.before(self.end_place())
    }

    /// Place of the element after the one at `at`.
    #[inline]
    pub fn after(&self, at: usize) -> Option<usize> {
        let next = at + element::skip(self.tail(at))?;
        (next < self.end_place()).then_some(next)
    }

    /// Place of the element before `at`, which may be the end.
    #[inline]
    pub fn before(&self, at: usize) -> Option<usize> {
        let run = self.0.get(HEADER_BYTES..at)?;
        Some(at - element::skip_back(run)?)
    }

    /// The element at a place.
    #[inline]
    pub fn at(&self, at: usize) -> Option<Element<'a>> {
        element::decode(self.tail(at)).map(|(element, _)| element)
    }

    /// The place behind the last element, where one more can be inserted.
    #[inline]
    pub fn end_place(&self) -> usize {
        self.0.len().saturating_sub(1).max(HEADER_BYTES)
    }

    /// Place of the element with this index; negative ones count from the end. Walks from the nearer end.
    pub fn seek(&self, index: i64) -> Option<usize> {
        let told = self.told_count();
        let index = match (told != COUNT_UNKNOWN).then_some(i64::from(told)) {
            None => index,
            Some(len) if index >= len || index < -len => return None,
            Some(len) if index > len / 2 => index - len,
            Some(len) if index < -(len / 2) => index + len,
            Some(_) => index,
        };
        if index >= 0 {
            self.places().nth(usize::try_from(index).ok()?)
        } else {
            self.places().nth_back(usize::try_from(!index).ok()?)
        }
    }

    /// The element with this index; negative ones count from the end.
    pub fn get(&self, index: i64) -> Option<Element<'a>> {
        self.at(self.seek(index)?)
    }

    /// The elements, from either end.
    #[inline]
    pub fn iter(&self) -> Elements<'a> {
        Elements { run: self.run() }
    }

    /// The elements from a place on, from either end.
    pub fn iter_from(&self, at: usize) -> Elements<'a> {
        Elements { run: self.tail(at) }
    }

    /// The elements up to and with the one at a place, from either end.
    pub fn iter_through(&self, at: usize) -> Elements<'a> {
        let end = at + element::skip(self.tail(at)).unwrap_or(0);
        Elements { run: self.0.get(HEADER_BYTES..end).unwrap_or_default() }
    }

    /// The places of all elements, from either end.
    pub fn places(&self) -> Places<'a> {
        Places { run: self.run(), at: HEADER_BYTES }
    }

    /// Place of the first element from `from` on that has these bytes, where after each comparison `skip` elements
    /// are passed over: 1 looks at the fields of a hash and not at its values.
    #[inline]
    pub fn find(&self, from: usize, wanted: &Needle<'_>, skip: usize) -> Option<usize> {
        let whole = self.tail(from);
        let mut run = whole;
        while let Some((element, total)) = element::decode(run) {
            if element.is(wanted) {
                return Some(from + (whole.len() - run.len()));
            }
            run = &run[total..];
            for _ in 0..skip {
                run = &run[element::skip(run)?..];
            }
        }
        None
    }

    /// A copy to be changed.
    pub fn to_owned(&self) -> Listpack {
        Listpack(self.0.to_vec())
    }

    #[inline]
    fn told_count(&self) -> u16 {
        self.0.get(4..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
    }

    #[inline]
    fn tail(&self, at: usize) -> &'a [u8] {
        self.0.get(at..self.end_place()).unwrap_or_default()
    }

    fn end(&self) -> &'a [u8] {
        &self.0[self.0.len() - 1..]
    }
}

/// Elements one after the other. Ends where the bytes make no sense.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a> {
    run: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of a run without header and end.
    #[inline]
    pub fn of(run: &'a [u8]) -> Self {
        Elements { run }
    }

    /// The run that is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.run
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (element, total) = element::decode(self.run)?;
        self.run = &self.run[total..];
        Some(element)
    }

    #[inline]
    fn nth(&mut self, count: usize) -> Option<Element<'a>> {
        for _ in 0..count {
            self.run = &self.run[element::skip(self.run)?..];
        }
        self.next()
    }
}

impl<'a> DoubleEndedIterator for Elements<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<Element<'a>> {
        let (rest, last) = self.run.split_at(self.run.len() - element::skip_back(self.run)?);
        self.run = rest;
        element::decode(last).map(|(element, _)| element)
    }

    #[inline]
    fn nth_back(&mut self, count: usize) -> Option<Element<'a>> {
        for _ in 0..count {
            self.run = &self.run[..self.run.len() - element::skip_back(self.run)?];
        }
        self.next_back()
    }
}

/// Places of elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    run: &'a [u8],
    /// Of the run's beginning.
    at: usize,
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let total = element::skip(self.run)?;
        self.run = &self.run[total..];
        self.at += total;
        Some(self.at - total)
    }
}

impl DoubleEndedIterator for Places<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<usize> {
        self.run = &self.run[..self.run.len() - element::skip_back(self.run)?];
        Some(self.at + self.run.len())
    }
}

impl Default for Listpack {
    fn default() -> Self {
        Self::new()
    }
}

impl Listpack {
    /// Without elements.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Without elements, with room for so many bytes of them.
    pub fn with_capacity(run_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + run_bytes + 1);
        bytes.extend_from_slice(&[HEADER_BYTES as u8 + 1, 0, 0, 0, 0, 0, END]);
        Listpack(bytes)
    }

    /// From bytes that are a listpack: an entry's own, or validated ones.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Listpack(bytes)
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// For reading.
    #[inline]
    pub fn view(&self) -> ListpackRef<'_> {
        ListpackRef(&self.0)
    }

    /// One more element at the end.
    #[inline]
    pub fn push_back<'v>(&mut self, value: impl Into<Element<'v>>) {
        self.insert(self.view().end_place(), value);
    }

    /// One more element at the beginning.
    pub fn push_front<'v>(&mut self, value: impl Into<Element<'v>>) {
        self.insert(HEADER_BYTES, value);
    }

    /// One more element before the one at `at`, or at the end. It has the same place then; returns the place behind it.
    pub fn insert<'v>(&mut self, at: usize, value: impl Into<Element<'v>>) -> usize {
        let value = value.into();
        let bytes = value.encoded_bytes();
        value.encode(self.exchange(at, 0, bytes));
        self.count(1);
        at + bytes
    }

    /// One more element after the one at `at`.
    pub fn insert_after<'v>(&mut self, at: usize, value: impl Into<Element<'v>>) {
        let next = self.view().after(at).unwrap_or(self.view().end_place());
        self.insert(next, value);
    }

    /// Another value for the element at `at`, which keeps its place. Returns the place behind it.
    pub fn replace<'v>(&mut self, at: usize, value: impl Into<Element<'v>>) -> usize {
        let value = value.into();
        let (old, new) = (element::skip(self.view().tail(at)).unwrap_or(0), value.encoded_bytes());
        value.encode(self.exchange(at, old, new));
        at + new
    }

    /// Takes up to `count` elements away from `at` on; the next one has that place then. Returns how many there were.
    pub fn delete(&mut self, at: usize, count: usize) -> usize {
        let tail = self.view().tail(at);
        let (mut run, mut gone) = (tail, 0);
        while gone < count
            && let Some(total) = element::skip(run)
        {
            run = &run[total..];
            gone += 1;
        }
        let bytes = tail.len() - run.len();
        self.exchange(at, bytes, 0);
        self.count(-(gone as isize));
        gone
    }

    /// Adds `count` elements that are encoded already.
    pub fn push_run(&mut self, run: &[u8], count: usize) {
        let at = self.view().end_place();
        self.exchange(at, 0, run.len()).copy_from_slice(run);
        self.count(count as isize);
    }

    /// Puts `new` bytes where `old` bytes are, and returns them to be written.
    fn exchange(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        splice(&mut self.0, at, old, new);
        let total = self.0.len() as u32;
        self.0[..4].copy_from_slice(&total.to_le_bytes());
        &mut self.0[at..at + new]
    }

    /// Notes that there are more or fewer elements. A count that does not fit stays unknown, as Valkey leaves it.
    fn count(&mut self, more: isize) {
        let told = self.view().told_count();
        if told != COUNT_UNKNOWN {
            let count = usize::from(told).saturating_add_signed(more).min(COUNT_UNKNOWN.into()) as u16;
            self.0[4..6].copy_from_slice(&count.to_le_bytes());
        }
    }
}

/// Makes `old` bytes at `at` into `new` ones (whose content is up to the caller), moving what is behind them.
#[inline]
pub fn splice(bytes: &mut Vec<u8>, at: usize, old: usize, new: usize) {
    let len = bytes.len();
    if new > old {
        bytes.resize(len + (new - old), 0);
        bytes.copy_within(at + old..len, at + new);
    } else if new < old {
        bytes.copy_within(at + old..len, at + new);
        bytes.truncate(len - (old - new));
    }
}
