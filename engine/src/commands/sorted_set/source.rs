//! What ZUNION, ZINTER and ZDIFF take: sorted sets, and sets, whose members count 1 each.

use std::borrow::Cow;

use crate::entry::Entry;
use crate::error::Fault;
use crate::key::Hasher;
use crate::number::parse_i64;
use crate::value::Kind;
use crate::value::element::{Element, Needle};
use crate::value::index::{self, Index};
use crate::value::set::{Set, SetRef};
use crate::value::zset::{ZSet, ZSetRef};

/// One input, read in place.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Missing,
    Sorted(ZSetRef<'a>),
    Plain(SetRef<'a>),
}

/// An input in which many members are looked for.
pub(super) enum Lookup<'a> {
    Direct(Source<'a>),
    Indexed(Index<'a, f64>),
}

/// A member's bytes: an integer's digits are its own, all others are where they lie.
pub(super) type Member<'a> = Cow<'a, [u8]>;

impl<'a> Source<'a> {
    pub(super) fn of(entry: Option<Entry<'a>>) -> Result<Source<'a>, Fault> {
        let Some(entry) = entry else { return Ok(Source::Missing) };
        match entry.kind() {
            Kind::ZSet => Ok(Source::Sorted(entry.collection::<ZSet>()?)),
            _ => Ok(Source::Plain(entry.collection::<Set>()?)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Sorted(zset) => zset.len(),
            Source::Plain(SetRef::Ints(ints)) => ints.len(),
            Source::Plain(SetRef::Pack(pack)) => pack.len(),
            Source::Plain(SetRef::Large(large)) => large.len(),
        }
    }

    /// The same, to look for so many members in it.
    pub(super) fn for_lookups(self, lookups: usize, hasher: &Hasher) -> Lookup<'a> {
        let is_pack = matches!(self, Source::Sorted(ZSetRef::Pack(_)) | Source::Plain(SetRef::Pack(_)));
        if !is_pack || !index::pays(self.len(), lookups) {
            return Lookup::Direct(self);
        }
        let mut index = Index::with_capacity(self.len(), hasher);
        match self {
            Source::Sorted(zset) => zset.upwards(0).for_each(|(member, score)| _ = index.insert(member, score)),
            Source::Plain(set) => set.members().for_each(|member| _ = index.insert(member, 1.0)),
            Source::Missing => {}
        }
        Lookup::Indexed(index)
    }

    /// The score of a member, if it is in.
    fn score(&self, member: &[u8], hasher: &Hasher) -> Option<f64> {
        let is_in = match self {
            Source::Missing => false,
            Source::Sorted(zset) => return zset.score(member, hasher),
            Source::Plain(SetRef::Ints(ints)) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            Source::Plain(SetRef::Pack(pack)) => {
                pack.first().and_then(|first| pack.find(first, &Needle::new(member), 0)).is_some()
            }
            Source::Plain(SetRef::Large(large)) => large.contains(hasher, member),
        };
        is_in.then_some(1.0)
    }

    /// Visits all members, until `visit` answers false.
    pub(super) fn visit(&self, mut visit: impl FnMut(Member<'a>, f64) -> bool) {
        match self {
            Source::Missing => {}
            Source::Sorted(zset) => {
                let _ = zset.upwards(0).all(|(member, score)| visit(bytes_of(member), score));
            }
            Source::Plain(SetRef::Ints(ints)) => {
                let _ = ints.iter().all(|number| visit(bytes_of(Element::Int(number)), 1.0));
            }
            Source::Plain(SetRef::Pack(pack)) => {
                let _ = pack.iter().all(|member| visit(bytes_of(member), 1.0));
            }
            Source::Plain(SetRef::Large(large)) => {
                let _ = large.iter().all(|member| visit(Cow::Borrowed(member.key), 1.0));
            }
        }
    }
}

impl Lookup<'_> {
    /// The score of a member, if it is in.
    pub(super) fn score(&self, member: &[u8], hasher: &Hasher) -> Option<f64> {
        match self {
            Lookup::Direct(source) => source.score(member, hasher),
            Lookup::Indexed(index) => index.get(Element::Str(member)),
        }
    }
}

fn bytes_of(member: Element<'_>) -> Member<'_> {
    match member {
        Element::Str(bytes) => Cow::Borrowed(bytes),
        number => Cow::Owned(number.to_vec()),
    }
}
