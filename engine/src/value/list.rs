//! Lists: elements in a listpack or in a deque of chunks. When a list goes from one to the other is Valkey's rule: to
//! chunks before what is added would make it too large, back when what is removed leaves half of that in one node.

use std::ops::Range;

use swell_wire::Out;

use super::chunks::{Chunks, Fill, Items};
use super::element::{Element, OVERHEAD_BYTES_MAX};
use super::item::{Item, Wanted};
use super::listpack::{Elements, Listpack, ListpackRef, PACK_BYTES};
use super::{COMPACT_BYTES_MAX, Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, Limits};

/// A list that owns its value.
#[derive(Clone, Debug)]
pub enum List {
    Pack(Listpack),
    Large(Box<Chunks>),
}

/// A list in its entry.
#[derive(Clone, Copy, Debug)]
pub enum ListRef<'a> {
    Pack(ListpackRef<'a>),
    Large(&'a Chunks),
}

/// One of a list's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

impl End {
    /// What taking from it is called, as a command and as an event.
    pub fn pop_event(self) -> &'static str {
        if self == End::Front { "lpop" } else { "rpop" }
    }

    /// What adding to it is called.
    pub fn push_event(self) -> &'static str {
        if self == End::Front { "lpush" } else { "rpush" }
    }
}

/// A list's elements one after the other.
#[derive(Clone, Debug)]
pub enum ListItems<'a> {
    Pack(Elements<'a>),
    PackBack(std::iter::Rev<Elements<'a>>),
    Large(Items<'a>),
}

impl Collection for List {
    const KIND: Kind = Kind::List;
    type Ref<'a> = ListRef<'a>;

    fn empty() -> Self {
        List::Pack(Listpack::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::ListPack, bytes) => Some(List::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::List(large)) => Some(List::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            List::Pack(pack) => Kept::Compact(Form::ListPack, pack.into_bytes()),
            List::Large(large) => Kept::Large(LargeBox::List(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<ListRef<'_>> {
        match kept {
            KeptRef::Compact(Form::ListPack, bytes) => Some(ListRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::List(large)) => Some(ListRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: ListRef<'_>) -> Self {
        match from {
            ListRef::Pack(pack) => List::Pack(pack.to_owned()),
            ListRef::Large(large) => List::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

impl List {
    /// Reads it.
    pub fn view(&self) -> ListRef<'_> {
        match self {
            List::Pack(pack) => ListRef::Pack(pack.view()),
            List::Large(large) => ListRef::Large(large),
        }
    }

    /// Makes the list large if so many elements of so many bytes in all, once they are added, would make its listpack
    /// too large. As Valkey, whether they are added then or not.
    #[inline]
    pub fn make_room(&mut self, bytes: usize, count: usize, limits: &Limits) {
        let List::Pack(pack) = self else { return };
        let (pack_bytes, pack_len) = (pack.view().bytes().len(), pack.view().len());
        let is_too_large = Fill::new(limits.list_size).exceeds(pack_bytes + bytes, pack_len + count, false);
        // What Valkey does not count are the lengths before and behind each element: many empty ones would not fit an
        // entry.
        if is_too_large || pack_bytes + bytes + count * OVERHEAD_BYTES_MAX > COMPACT_BYTES_MAX {
            *self = List::Large(Box::new(Chunks::from_run(pack.view().run(), pack_len)));
        }
    }

    /// As [`List::make_room`], for one element that comes from a list: of an integer's digits Valkey knows nothing then.
    pub fn make_room_for_moved(&mut self, item: Item<'_>, limits: &Limits) {
        let bytes = match item {
            Item::Short(Element::Int(_)) => 0,
            other => other.len(),
        };
        self.make_room(bytes, 1, limits);
    }

    /// From elements one after the other, of whatever size; [`List::settle`] comes last.
    pub fn large() -> Self {
        List::Large(Box::default())
    }

    /// Makes a large list compact again if it has shrunk to half of what a listpack may be.
    #[inline]
    pub fn shrink(&mut self, limits: &Limits) {
        self.make_compact(true, limits);
    }

    /// Makes a large list compact if a listpack may be as large.
    pub fn settle(&mut self, limits: &Limits) {
        self.make_compact(false, limits);
    }

    fn make_compact(&mut self, half: bool, limits: &Limits) {
        let List::Large(large) = self else { return };
        let Some((run, count)) = large.only_run() else { return };
        let bytes = run.len() + PACK_BYTES;
        if bytes <= COMPACT_BYTES_MAX && !Fill::new(limits.list_size).exceeds(bytes, count, half) {
            let mut pack = Listpack::with_capacity(run.len());
            pack.push_run(run, count);
            *self = List::Pack(pack);
        }
    }

    /// One more element at an end. There is room ([`List::make_room`]).
    #[inline]
    pub fn push(&mut self, end: End, item: Item<'_>, limits: &Limits) {
        match (self, item, end) {
            (List::Pack(pack), Item::Short(element), End::Front) => pack.push_front(element),
            (List::Pack(pack), Item::Short(element), End::Back) => pack.push_back(element),
            (List::Pack(_), Item::Long(_), _) => debug_assert!(false, "a long element is never compact"),
            (List::Large(large), item, End::Front) => large.push_front(item, &Fill::new(limits.list_size)),
            (List::Large(large), item, End::Back) => large.push_back(item, &Fill::new(limits.list_size)),
        }
    }

    /// Takes `count` elements away from an index on. Does not shrink the list.
    pub fn remove(&mut self, index: usize, count: usize) {
        match self {
            List::Pack(pack) => {
                if let Some(at) = pack.view().seek(index as i64) {
                    pack.delete(at, count);
                }
            }
            List::Large(large) => large.remove(index, count),
        }
    }

    /// Takes up to `count` elements away at an end. Does not shrink the list.
    pub fn pop(&mut self, end: End, count: usize) {
        let len = self.view().len();
        let count = count.min(len);
        self.remove(if end == End::Front { 0 } else { len - count }, count);
    }

    /// Takes up to `count` elements with these bytes away, the first ones or the last; returns how many there were.
    pub fn remove_equal(&mut self, wanted: &Wanted<'_>, count: usize, back: bool) -> usize {
        let pack = match self {
            List::Large(large) => return large.remove_equal(wanted, count, back),
            List::Pack(pack) => pack,
        };
        // A list of its own does it in one pass.
        let mut large = Chunks::from_run(pack.view().run(), pack.view().len());
        let gone = large.remove_equal(wanted, count, back);
        if gone > 0 {
            let (run, count) = large.only_run().unwrap_or_default();
            let mut kept = Listpack::with_capacity(run.len());
            kept.push_run(run, count);
            *pack = kept;
        }
        gone
    }

    /// Puts an element in the place of the one with this index, which exists. There is room.
    pub fn set(&mut self, index: usize, item: Item<'_>, limits: &Limits) {
        match (self, item) {
            (List::Pack(pack), Item::Short(element)) => {
                if let Some(at) = pack.view().seek(index as i64) {
                    pack.replace(at, element);
                }
            }
            (List::Pack(_), Item::Long(_)) => debug_assert!(false, "a long element is never compact"),
            (List::Large(large), item) => large.set(index, item, &Fill::new(limits.list_size)),
        }
    }

    /// Puts an element before or after the one with this index, which exists. There is room.
    pub fn insert(&mut self, index: usize, after: bool, item: Item<'_>, limits: &Limits) {
        match (self, item) {
            (List::Pack(pack), Item::Short(element)) => match pack.view().seek(index as i64) {
                Some(at) if after => pack.insert_after(at, element),
                Some(at) => drop(pack.insert(at, element)),
                None => {}
            },
            (List::Pack(_), Item::Long(_)) => debug_assert!(false, "a long element is never compact"),
            (List::Large(large), item) => large.insert(index, after, item, &Fill::new(limits.list_size)),
        }
    }
}

impl<'a> ListRef<'a> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            ListRef::Pack(pack) => pack.is_empty(),
            ListRef::Large(large) => large.is_empty(),
        }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ListRef::Pack(pack) => pack.len(),
            ListRef::Large(large) => large.len(),
        }
    }

    /// The index that a client's stands for: negative ones count from the end. Nothing where there is no element.
    #[inline]
    pub fn index(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let from_begin = if index < 0 { (len as i64).checked_add(index)? } else { index };
        usize::try_from(from_begin).ok().filter(|&index| index < len)
    }

    /// The element with this index.
    pub fn get(&self, index: usize) -> Option<Item<'a>> {
        match self {
            ListRef::Pack(pack) => pack.get(i64::try_from(index).ok()?).map(Item::Short),
            ListRef::Large(large) => large.get(index),
        }
    }

    /// The elements from an index on to the end, or back to the first.
    #[inline]
    pub fn items(&self, index: usize, back: bool) -> ListItems<'a> {
        match (self, back) {
            (ListRef::Pack(pack), back) => {
                let at = pack.seek(i64::try_from(index).unwrap_or(i64::MAX));
                match at {
                    None => ListItems::Pack(Elements::of(&[])),
                    Some(at) if back => ListItems::PackBack(pack.iter_through(at).rev()),
                    Some(at) => ListItems::Pack(pack.iter_from(at)),
                }
            }
            (ListRef::Large(large), false) => ListItems::Large(large.iter_from(index)),
            (ListRef::Large(large), true) => ListItems::Large(large.iter_back_from(index)),
        }
    }

    /// Answers `range`, which lies within the list, as bulk strings: in this order or backwards.
    pub fn write_range(&self, range: Range<usize>, back: bool, out: &mut Out) {
        let from = if back { range.end.wrapping_sub(1) } else { range.start };
        self.items(from, back).take(range.len()).for_each(|item| item.write(out));
    }

    /// The indices from `start` to `end` inclusive, where negative ones count from the end.
    pub fn range(&self, start: i64, end: i64) -> Range<usize> {
        let len = self.len() as i64;
        let from_begin = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
        let end = if end < 0 { end.saturating_add(len) } else { end.min(len - 1) };
        let start = from_begin(start);
        if start > end { 0..0 } else { start as usize..end as usize + 1 }
    }
}

impl<'a> Iterator for ListItems<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        match self {
            ListItems::Pack(elements) => elements.next().map(Item::Short),
            ListItems::PackBack(elements) => elements.next().map(Item::Short),
            ListItems::Large(items) => items.next(),
        }
    }
}

/// Whether bytes from elsewhere are a listpack with elements.
pub fn is_list(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(list: &mut List, value: &[u8], limits: &Limits) {
        let item = Item::from(value);
        list.make_room(item.len(), 1, limits);
        list.push(End::Back, item, limits);
    }

    fn is_compact(list: &List) -> bool {
        matches!(list, List::Pack(_))
    }

    /// As valkey-server 9.1 does it with `list-max-listpack-size -2`: `RPUSH l x…` of 4000 bytes, twice, then of 200;
    /// `RPOP l`, `LSET l 0 y`.
    #[test]
    fn bytes_decide() {
        let (mut list, limits) = (List::empty(), Limits::default());
        pushed(&mut list, &[b'x'; 4000], &limits);
        pushed(&mut list, &[b'x'; 4000], &limits);
        assert!(is_compact(&list));
        pushed(&mut list, &[b'x'; 200], &limits);
        assert!(!is_compact(&list));
        list.pop(End::Back, 1);
        list.shrink(&limits);
        assert!(!is_compact(&list), "8,017 bytes are more than the half");
        list.set(0, Item::from(&b"y"[..]), &limits);
        list.shrink(&limits);
        assert!(is_compact(&list));
        assert_eq!(list.view().len(), 2);
    }

    #[test]
    fn numbers_decide() {
        let (mut list, limits) = (List::empty(), Limits { list_size: 4, ..Limits::default() });
        (0..4).for_each(|_| pushed(&mut list, b"x", &limits));
        assert!(is_compact(&list));
        pushed(&mut list, b"x", &limits);
        assert!(!is_compact(&list));
        list.pop(End::Back, 2);
        list.shrink(&limits);
        assert!(!is_compact(&list), "three are more than the half");
        list.pop(End::Back, 1);
        list.shrink(&limits);
        assert!(is_compact(&list));
    }

    /// Valkey's rule would let these into a listpack of any size.
    #[test]
    fn many_empty_elements_do_not_burst_an_entry() {
        let (mut list, limits) = (List::empty(), Limits::default());
        let items = || std::iter::repeat_n(Item::from(&b""[..]), 200_000);
        list.make_room(0, 200_000, &limits);
        items().for_each(|item| list.push(End::Back, item, &limits));
        assert!(!is_compact(&list));
        assert_eq!(list.view().len(), 200_000);
    }

    #[test]
    fn indices_of_clients() {
        let (mut list, limits) = (List::empty(), Limits::default());
        (0..5).for_each(|number: i64| list.push(End::Back, Element::Int(number).into(), &limits));
        let view = list.view();
        assert_eq!((view.index(0), view.index(4), view.index(5)), (Some(0), Some(4), None));
        assert_eq!((view.index(-1), view.index(-5), view.index(-6)), (Some(4), Some(0), None));
        assert_eq!((view.index(i64::MIN), view.index(i64::MAX)), (None, None));
        for (start, end, expected) in [(0, -1, 0..5), (-2, 9, 3..5), (3, 1, 0..0), (-9, -6, 0..0), (5, 9, 0..0)] {
            assert_eq!(view.range(start, end), expected, "{start} {end}");
        }
        assert_eq!(view.range(i64::MIN, i64::MAX), 0..5);
        let back: Vec<Vec<u8>> = view.items(2, true).map(|item| item.to_vec()).collect();
        assert_eq!(back, [b"2", b"1", b"0"]);
    }
}
