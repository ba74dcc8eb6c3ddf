//! Walking a sorted set in order, both ways.

use super::leaf::Leaf;
use super::tree::Tree;

/// Elements upwards.
#[derive(Clone)]
pub struct Forward<'a> {
    tree: &'a Tree,
    /// The rank of the next element.
    rank: usize,
    page: Option<(&'a Leaf, usize)>,
}

/// Elements downwards.
#[derive(Clone)]
pub struct Backward<'a> {
    tree: &'a Tree,
    /// One more than the rank of the next element.
    rank: usize,
    page: Option<(&'a Leaf, usize)>,
}

impl<'a> Forward<'a> {
    pub(super) fn new(tree: &'a Tree, rank: usize) -> Self {
        Forward { tree, rank, page: tree.locate(rank) }
    }
}

impl<'a> Backward<'a> {
    pub(super) fn new(tree: &'a Tree, rank: usize) -> Self {
        let rank = rank.min(tree.len());
        Backward { tree, rank, page: rank.checked_sub(1).and_then(|rank| tree.locate(rank)) }
    }
}

impl<'a> Iterator for Forward<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (leaf, index) = self.page?;
        self.rank += 1;
        self.page = if index + 1 < leaf.count() { Some((leaf, index + 1)) } else { self.tree.locate(self.rank) };
        Some((leaf.member(index), leaf.score(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.tree.len().saturating_sub(self.rank);
        (left, Some(left))
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (leaf, index) = self.page?;
        self.rank -= 1;
        self.page = match index.checked_sub(1) {
            Some(lower) => Some((leaf, lower)),
            None => self.rank.checked_sub(1).and_then(|rank| self.tree.locate(rank)),
        };
        Some((leaf.member(index), leaf.score(index)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rank, Some(self.rank))
    }
}
