//! Sorted sets: members with scores, in a listpack (member, score, member, …) by rank, or in a tree.
//!
//! A listpack becomes a tree when a member is too many or too long for it, and never goes back: Valkey's rule.

mod range;

#[cfg(test)]
mod tests;

use std::ops::Range;

pub use range::{LexBound, LexRange, ScoreRange};

use super::element::{DIGITS_MAX, Element, Needle, OVERHEAD_BYTES_MAX};
use super::listpack::{Elements, Listpack, ListpackRef};
use super::ranked::{Backward, Forward, Ranked};
use super::{COMPACT_BYTES_MAX, Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, Limits, distinct};
use crate::double::{DOUBLE_BYTES, format_double};
use crate::key::Hasher;
use crate::number::parse_f64;

/// A sorted set that owns its value.
#[derive(Clone, Debug)]
pub enum ZSet {
    Pack(Listpack),
    Large(Box<Ranked>),
}

/// A sorted set in its entry.
#[derive(Clone, Copy, Debug)]
pub enum ZSetRef<'a> {
    Pack(ListpackRef<'a>),
    Large(&'a Ranked),
}

/// Members with their scores, one after the other, upwards or downwards.
#[derive(Clone)]
pub enum Ranks<'a> {
    Pack(Elements<'a>),
    PackBack(Elements<'a>),
    Large(Forward<'a>),
    LargeBack(Backward<'a>),
}

impl Collection for ZSet {
    const KIND: Kind = Kind::ZSet;
    type Ref<'a> = ZSetRef<'a>;

    fn empty() -> Self {
        ZSet::Pack(Listpack::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::ZSetPack, bytes) => Some(ZSet::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::ZSet(large)) => Some(ZSet::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            ZSet::Pack(pack) => Kept::Compact(Form::ZSetPack, pack.into_bytes()),
            ZSet::Large(large) => Kept::Large(LargeBox::ZSet(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<ZSetRef<'_>> {
        match kept {
            KeptRef::Compact(Form::ZSetPack, bytes) => Some(ZSetRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::ZSet(large)) => Some(ZSetRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: ZSetRef<'_>) -> Self {
        match from {
            ZSetRef::Pack(pack) => ZSet::Pack(pack.to_owned()),
            ZSetRef::Large(large) => ZSet::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

impl ZSet {
    /// Reads it.
    pub fn view(&self) -> ZSetRef<'_> {
        match self {
            ZSet::Pack(pack) => ZSetRef::Pack(pack.view()),
            ZSet::Large(large) => ZSetRef::Large(large),
        }
    }

    /// A sorted set of elements that come in order, each member once; compact if they are few and short.
    pub fn from_sorted<'a>(
        elements: impl ExactSizeIterator<Item = (&'a [u8], f64)> + Clone,
        limits: &Limits,
        hasher: &Hasher,
    ) -> ZSet {
        let longest = elements.clone().map(|(member, _)| member.len()).max().unwrap_or(0);
        let bytes = elements.clone().map(|(member, _)| pair_bytes_max(member.len())).sum::<usize>();
        if elements.len() > limits.zset_entries || longest > limits.zset_value_bytes || bytes > COMPACT_BYTES_MAX {
            return ZSet::Large(Box::new(Ranked::from_sorted(elements, hasher)));
        }
        let mut pack = Listpack::with_capacity(bytes);
        for (member, score) in elements {
            pack.push_back(member);
            push_score(&mut pack, score);
        }
        ZSet::Pack(pack)
    }

    /// Before one command adds members, new or not: makes it a tree if they would be too many for a listpack, or if one
    /// is too long. Nobody sees when it becomes one, but for -0, which a listpack does not know.
    pub fn expect<'m>(
        &mut self,
        mut members: impl ExactSizeIterator<Item = &'m [u8]>,
        limits: &Limits,
        hasher: &Hasher,
    ) {
        if members.len() > limits.zset_entries || members.any(|member| member.len() > limits.zset_value_bytes) {
            self.enlarge(hasher);
        }
    }

    /// Puts a member in or gives it another score. `old` is the score that it has now, if it is there.
    pub fn set(&mut self, member: &[u8], score: f64, old: Option<f64>, limits: &Limits, hasher: &Hasher) {
        if old == Some(score) {
            return;
        }
        if let ZSet::Pack(pack) = self {
            let view = pack.view();
            let bytes = view.bytes().len() + pair_bytes_max(member.len());
            let fits = bytes <= COMPACT_BYTES_MAX
                && (old.is_some() || (view.len() / 2 < limits.zset_entries && member.len() <= limits.zset_value_bytes));
            if fits {
                if old.is_some() {
                    remove_from(pack, member);
                }
                insert_into(pack, member, score);
                return;
            }
        }
        self.enlarge(hasher);
        if let ZSet::Large(large) = self {
            large.insert(member, score, hasher);
        }
    }

    /// Puts a member in or gives it another score; answers the score it had.
    pub fn put(&mut self, member: &[u8], score: f64, limits: &Limits, hasher: &Hasher) -> Option<f64> {
        if let ZSet::Large(large) = self {
            return large.insert(member, score, hasher);
        }
        let old = self.view().score(member, hasher);
        self.set(member, score, old, limits, hasher);
        old
    }

    /// Takes a member out; answers whether it was there.
    pub fn remove(&mut self, member: &[u8], hasher: &Hasher) -> bool {
        match self {
            ZSet::Pack(pack) => remove_from(pack, member),
            ZSet::Large(large) => large.remove(member, hasher).is_some(),
        }
    }

    /// Takes out the members of a range of ranks, which lies within the set.
    pub fn remove_ranks(&mut self, range: Range<usize>, hasher: &Hasher) {
        match self {
            ZSet::Pack(pack) => {
                if let Some(at) = pack.view().seek(range.start as i64 * 2) {
                    pack.delete(at, range.len() * 2);
                }
            }
            ZSet::Large(large) => {
                large.remove_ranks(range, hasher);
            }
        }
    }

    fn enlarge(&mut self, hasher: &Hasher) {
        let ZSet::Pack(pack) = self else { return };
        let mut large = Ranked::new();
        let mut digits = [0; DIGITS_MAX];
        for (member, score) in Ranks::Pack(pack.view().iter()) {
            large.insert(member.bytes(&mut digits), score, hasher);
        }
        *self = ZSet::Large(Box::new(large));
    }
}

impl<'a> ZSetRef<'a> {
    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            ZSetRef::Pack(pack) => pack.len() / 2,
            ZSetRef::Large(large) => large.len(),
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            ZSetRef::Pack(pack) => pack.is_empty(),
            ZSetRef::Large(large) => large.is_empty(),
        }
    }

    /// A member's score.
    #[inline]
    pub fn score(&self, member: &[u8], hasher: &Hasher) -> Option<f64> {
        match self {
            ZSetRef::Pack(pack) => {
                let at = pack.find(pack.first()?, &Needle::new(member), 1)?;
                Some(score_of(pack.at(pack.after(at)?)?))
            }
            ZSetRef::Large(large) => large.score(member, hasher),
        }
    }

    /// A member's rank from the lowest, and its score.
    pub fn rank(&self, member: &[u8], hasher: &Hasher) -> Option<(usize, f64)> {
        match self {
            ZSetRef::Pack(_) => {
                let wanted = Needle::new(member);
                let found = self.upwards(0).enumerate().find(|(_, (other, _))| other.is(&wanted));
                found.map(|(rank, (_, score))| (rank, score))
            }
            ZSetRef::Large(large) => large.rank(member, hasher),
        }
    }

    /// The member of a rank, and its score.
    pub fn by_rank(&self, rank: usize) -> Option<(Element<'a>, f64)> {
        self.upwards(rank).next()
    }

    /// Members from a rank on, to the highest.
    #[inline]
    pub fn upwards(&self, rank: usize) -> Ranks<'a> {
        match self {
            ZSetRef::Pack(pack) => Ranks::Pack(match rank {
                0 => pack.iter(),
                _ => pack.seek(rank as i64 * 2).map_or(Elements::of(&[]), |at| pack.iter_from(at)),
            }),
            ZSetRef::Large(large) => Ranks::Large(large.forward(rank)),
        }
    }

    /// Members below a rank, down to the lowest.
    #[inline]
    pub fn downwards(&self, rank: usize) -> Ranks<'a> {
        match self {
            ZSetRef::Pack(pack) => Ranks::PackBack(match rank.min(self.len()) {
                0 => Elements::of(&[]),
                rank => pack.seek(rank as i64 * 2 - 1).map_or(Elements::of(&[]), |at| pack.iter_through(at)),
            }),
            ZSetRef::Large(large) => Ranks::LargeBack(large.backward(rank)),
        }
    }

    /// The members of a range of ranks, in this order or backwards.
    pub fn ranks(&self, range: Range<usize>, back: bool) -> std::iter::Take<Ranks<'a>> {
        let ranks = if back { self.downwards(range.end) } else { self.upwards(range.start) };
        ranks.take(range.len())
    }

    /// The ranks of the members whose scores lie in a range.
    pub fn score_range(&self, wanted: &ScoreRange) -> Range<usize> {
        if wanted.is_empty() {
            return 0..0;
        }
        let (start, end) = match self {
            ZSetRef::Pack(_) => {
                let start = self.upwards(0).take_while(|&(_, score)| !wanted.reaches(score)).count();
                let within = self.upwards(start).take_while(|&(_, score)| wanted.keeps(score)).count();
                (start, start + within)
            }
            ZSetRef::Large(large) => {
                (large.rank_by(|score, _| !wanted.reaches(score)), large.rank_by(|score, _| wanted.keeps(score)))
            }
        };
        start..end.max(start)
    }

    /// The ranks of the members that lie in a range by name. It has a meaning only where all scores are equal; where
    /// they are not, a compact set answers what Valkey's walk from the lowest, or from the highest (`back`), comes to.
    pub fn lex_range(&self, wanted: &LexRange<'_>, back: bool) -> Range<usize> {
        if wanted.is_empty() {
            return 0..0;
        }
        let ZSetRef::Large(large) = self else { return self.lex_range_of_pack(wanted, back) };
        let start = large.rank_by(|_, member| !wanted.reaches(member));
        let end = large.rank_by(|_, member| wanted.keeps(member));
        start..end.max(start)
    }

    fn lex_range_of_pack(&self, wanted: &LexRange<'_>, back: bool) -> Range<usize> {
        let mut digits = [0; DIGITS_MAX];
        let mut reaches = |(member, _): &(Element<'_>, f64)| wanted.reaches(member.bytes(&mut digits));
        let mut more = [0; DIGITS_MAX];
        let mut keeps = |(member, _): &(Element<'_>, f64)| wanted.keeps(member.bytes(&mut more));
        let (first, last) = (self.upwards(0).next(), self.downwards(usize::MAX).next());
        if !last.is_some_and(|last| reaches(&last)) || !first.is_some_and(|first| keeps(&first)) {
            return 0..0;
        }
        if back {
            let end = self.len() - self.downwards(usize::MAX).take_while(|element| !keeps(element)).count();
            return end - self.downwards(end).take_while(reaches).count()..end;
        }
        let start = self.upwards(0).take_while(|element| !reaches(element)).count();
        start..start + self.upwards(start).take_while(keeps).count()
    }
}

impl<'a> Iterator for Ranks<'a> {
    type Item = (Element<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Ranks::Pack(elements) => Some((elements.next()?, score_of(elements.next()?))),
            Ranks::PackBack(elements) => {
                let score = score_of(elements.next_back()?);
                Some((elements.next_back()?, score))
            }
            Ranks::Large(forward) => forward.next().map(|(member, score)| (Element::Str(member), score)),
            Ranks::LargeBack(backward) => backward.next().map(|(member, score)| (Element::Str(member), score)),
        }
    }
}

/// Whether bytes from elsewhere are a listpack of members and scores by rank, no member twice.
pub fn is_zset(bytes: &[u8]) -> bool {
    let Ok(pack) = ListpackRef::validate(bytes) else { return false };
    if pack.is_empty() || pack.len() % 2 != 0 || !distinct(&pack, 2) {
        return false;
    }
    let mut last: Option<(f64, Vec<u8>)> = None;
    let mut elements = pack.iter();
    while let (Some(member), Some(score)) = (elements.next(), elements.next()) {
        let Some(score) = parse_f64(&score.to_vec()) else { return false };
        let next = (score, member.to_vec());
        if last.is_some_and(|(score, member)| score > next.0 || score == next.0 && member >= next.1) {
            return false;
        }
        last = Some(next);
    }
    true
}

/// The score that an element of a listpack stands for.
#[inline]
fn score_of(element: Element<'_>) -> f64 {
    match element {
        Element::Int(number) => number as f64,
        Element::Str(text) => parse_f64(text).unwrap_or(0.0),
    }
}

/// The bytes that a member of this length and its score take in a listpack at most.
fn pair_bytes_max(member: usize) -> usize {
    member + DOUBLE_BYTES + 2 * OVERHEAD_BYTES_MAX
}

/// A whole number is an integer there, so that -0 becomes 0.
fn push_score(pack: &mut Listpack, score: f64) {
    pack.push_back(score_text(score, &mut [0; DOUBLE_BYTES]));
}

fn score_text(score: f64, text: &mut [u8; DOUBLE_BYTES]) -> Element<'_> {
    if score == 0.0 { Element::Int(0) } else { Element::from(format_double(score, text).as_bytes()) }
}

fn remove_from(pack: &mut Listpack, member: &[u8]) -> bool {
    let view = pack.view();
    let Some(at) = view.first().and_then(|first| view.find(first, &Needle::new(member), 1)) else { return false };
    pack.delete(at, 2);
    true
}

fn insert_into(pack: &mut Listpack, member: &[u8], score: f64) {
    let view = pack.view();
    let (mut at, mut digits) = (view.first(), [0; DIGITS_MAX]);
    while let Some(place) = at {
        let Some(other) = view.after(place) else { break };
        let other_score = view.at(other).map_or(0.0, score_of);
        let is_after = other_score > score
            || other_score == score && view.at(place).is_some_and(|other| other.bytes(&mut digits) > member);
        if is_after {
            break;
        }
        at = view.after(other);
    }
    let at = at.unwrap_or(view.end_place());
    let next = pack.insert(at, member);
    pack.insert(next, score_text(score, &mut [0; DOUBLE_BYTES]));
}
