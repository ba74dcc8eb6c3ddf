//! An index over elements where they lie. Whoever looks for many elements in a listpack, which knows no way but from its
//! beginning on, makes one first; and whoever has to tell new elements from known ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher as Digest};

use super::element::Element;
use crate::key::Hasher;

/// So few elements are found sooner by going over them.
const ELEMENTS_FEW: usize = 8;
/// For so few lookups an index does not pay.
const LOOKUPS_FEW: usize = 4;

/// Elements, each with something to know of it.
#[derive(Debug)]
pub struct Index<'a, V> {
    known: HashMap<Known<'a>, V, Seed>,
}

/// An element: what reads as an integer is one.
#[derive(Debug, PartialEq, Eq)]
struct Known<'a>(Element<'a>);

#[derive(Clone, Copy, Debug)]
struct Seed(Hasher);

#[derive(Debug)]
struct One {
    hasher: Hasher,
    hash: u64,
}

/// Whether an index over so many elements of a listpack saves time if so many are looked for.
pub fn pays(elements: usize, lookups: usize) -> bool {
    elements > ELEMENTS_FEW && lookups > LOOKUPS_FEW
}

impl<'a, V: Copy> Index<'a, V> {
    /// Nothing yet.
    pub fn with_capacity(elements: usize, hasher: &Hasher) -> Self {
        Index { known: HashMap::with_capacity_and_hasher(elements, Seed(*hasher)) }
    }

    /// Puts an element in; says whether it is new.
    #[inline]
    pub fn insert(&mut self, element: Element<'a>, value: V) -> bool {
        self.known.insert(Known::of(element), value).is_none()
    }

    /// What is known of an element.
    #[inline]
    pub fn get(&self, element: Element<'_>) -> Option<V> {
        self.known.get(&Known::of(element)).copied()
    }
}

impl<'a> Known<'a> {
    #[inline]
    fn of(element: Element<'a>) -> Self {
        match element {
            Element::Str(bytes) => Known(Element::from(bytes)),
            number => Known(number),
        }
    }
}

impl Hash for Known<'_> {
    #[inline]
    fn hash<H: Digest>(&self, state: &mut H) {
        match self.0 {
            Element::Int(number) => state.write(&number.to_le_bytes()),
            Element::Str(bytes) => state.write(bytes),
        }
    }
}

impl BuildHasher for Seed {
    type Hasher = One;

    #[inline]
    fn build_hasher(&self) -> One {
        One { hasher: self.0, hash: 0 }
    }
}

impl Digest for One {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.hash = self.hasher.hash(bytes);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_one_in_any_form() {
        let mut index = Index::with_capacity(0, &Hasher::new(1));
        assert!(index.insert(Element::Str(b"12"), 'a'));
        assert!(!index.insert(Element::Int(12), 'b'));
        assert!(index.insert(Element::Str(b"012"), 'c'));
        assert!(index.insert(Element::Str(b""), 'd'));
        assert_eq!(index.get(Element::Str(b"12")), Some('b'));
        assert_eq!(index.get(Element::Str(b"012")), Some('c'));
        assert_eq!(index.get(Element::Int(0)), None);
        assert_eq!(index.get(Element::Str(b"")), Some('d'));
    }

    #[test]
    fn many_are_told_apart() {
        let mut index = Index::with_capacity(10, &Hasher::new(1));
        let names: Vec<String> = (0..1000).map(|n| format!("{}{n}", if n % 2 == 0 { "" } else { "x" })).collect();
        assert!(names.iter().enumerate().all(|(at, name)| index.insert(Element::Str(name.as_bytes()), at)));
        let found = |(at, name): (usize, &String)| index.get(Element::Str(name.as_bytes())) == Some(at);
        assert!(names.iter().enumerate().all(found));
        assert_eq!(index.get(Element::Int(1001)), None);
    }
}
