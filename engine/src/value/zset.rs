//! Sorted sets: members with scores, in a listpack (member, score, member, …) by rank, or in a tree.

use crate::number::parse_f64;

use super::listpack::{Listpack, ListpackRef};
use super::ranked::Ranked;
use super::{Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, distinct};

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
}

impl ZSetRef<'_> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            ZSetRef::Pack(pack) => pack.is_empty(),
            ZSetRef::Large(large) => large.is_empty(),
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
