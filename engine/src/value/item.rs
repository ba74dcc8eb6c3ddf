//! One element of a list as commands see it: of a packed run, or a long one of its own.

use swell_wire::{Arg, Out, Segments};

use super::element::{DIGITS_MAX, Element, Needle};

/// An element of a list, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Short(Element<'a>),
    /// Longer than a chunk.
    Long(&'a Segments),
}

impl<'a> From<Element<'a>> for Item<'a> {
    #[inline]
    fn from(element: Element<'a>) -> Self {
        Item::Short(element)
    }
}

impl<'a> From<&'a [u8]> for Item<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Item::Short(bytes.into())
    }
}

impl<'a> From<Arg<'a>> for Item<'a> {
    #[inline]
    fn from(arg: Arg<'a>) -> Self {
        match arg {
            Arg::Slice(bytes) => bytes.into(),
            Arg::Segments(segments) => Item::Long(segments),
        }
    }
}

impl Item<'_> {
    /// Length in bytes, as a string.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Item::Short(element) => element.len(),
            Item::Long(segments) => segments.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers it as a bulk string.
    #[inline]
    pub fn write(&self, out: &mut Out) {
        match self {
            Item::Short(element) => element.write(out),
            Item::Long(segments) => out.bulk_segments(segments),
        }
    }

    /// Its bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        match self {
            Item::Short(element) => element.to_vec(),
            Item::Long(segments) => segments.to_vec(),
        }
    }

    /// A copy that owns its bytes; a long one shares them.
    pub fn to_owned(&self) -> OwnedItem {
        match self {
            Item::Short(Element::Int(number)) => OwnedItem::Int(*number),
            Item::Short(Element::Str(bytes)) => OwnedItem::Str(bytes.to_vec()),
            Item::Long(segments) => OwnedItem::Long((*segments).clone()),
        }
    }

    /// Whether its bytes are those that are wanted.
    #[inline]
    pub fn is(&self, wanted: &Wanted<'_>) -> bool {
        match (self, wanted) {
            (Item::Short(element), Wanted::Short(needle)) => element.is(needle),
            (Item::Short(element), Wanted::Long(segments)) => is_same(segments, element.bytes(&mut [0; DIGITS_MAX])),
            (Item::Long(segments), Wanted::Short(needle)) => is_same(segments, needle.bytes()),
            (Item::Long(segments), Wanted::Long(other)) => segments == other,
        }
    }
}

/// An element on its way from one list to another.
#[derive(Clone, Debug)]
pub enum OwnedItem {
    Int(i64),
    Str(Vec<u8>),
    Long(Segments),
}

impl OwnedItem {
    /// Reads it.
    pub fn view(&self) -> Item<'_> {
        match self {
            OwnedItem::Int(number) => Item::Short(Element::Int(*number)),
            OwnedItem::Str(bytes) => Item::Short(Element::Str(bytes)),
            OwnedItem::Long(segments) => Item::Long(segments),
        }
    }
}

/// An element to be looked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    Short(Needle<'a>),
    Long(&'a Segments),
}

impl<'a> From<Arg<'a>> for Wanted<'a> {
    fn from(arg: Arg<'a>) -> Self {
        match arg {
            Arg::Slice(bytes) => bytes.into(),
            Arg::Segments(segments) => Wanted::Long(segments),
        }
    }
}

impl<'a> From<&'a [u8]> for Wanted<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Wanted::Short(Needle::new(bytes))
    }
}

fn is_same(segments: &Segments, bytes: &[u8]) -> bool {
    segments.len() == bytes.len()
        && segments.parts().iter().zip(bytes.chunks(swell_wire::SEGMENT_BYTES)).all(|(part, bytes)| part[..] == *bytes)
}
