//! Sorted sets: members with scores, in a listpack (member, score, member, …) by rank, or in a tree.

use super::listpack::{Listpack, ListpackRef};
use super::ranked::Ranked;
use super::{Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef};

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
