//! Sets: members in an intset, in a listpack or in pages.

use super::intset::{IntSet, IntSetRef};
use super::listpack::{Listpack, ListpackRef};
use super::pages::PageMap;
use super::{Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, distinct};

/// A set that owns its value.
#[derive(Clone, Debug)]
pub enum Set {
    Ints(IntSet),
    Pack(Listpack),
    Large(Box<PageMap>),
}

/// A set in its entry.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    Ints(IntSetRef<'a>),
    Pack(ListpackRef<'a>),
    Large(&'a PageMap),
}

impl Collection for Set {
    const KIND: Kind = Kind::Set;
    type Ref<'a> = SetRef<'a>;

    fn empty() -> Self {
        Set::Ints(IntSet::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::SetInts, bytes) => Some(Set::Ints(IntSet::from_bytes(bytes))),
            Kept::Compact(Form::SetPack, bytes) => Some(Set::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::Set(large)) => Some(Set::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            Set::Ints(ints) => Kept::Compact(Form::SetInts, ints.into_bytes()),
            Set::Pack(pack) => Kept::Compact(Form::SetPack, pack.into_bytes()),
            Set::Large(large) => Kept::Large(LargeBox::Set(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<SetRef<'_>> {
        match kept {
            KeptRef::Compact(Form::SetInts, bytes) => Some(SetRef::Ints(IntSetRef(bytes))),
            KeptRef::Compact(Form::SetPack, bytes) => Some(SetRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::Set(large)) => Some(SetRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: SetRef<'_>) -> Self {
        match from {
            SetRef::Ints(ints) => Set::Ints(ints.to_owned()),
            SetRef::Pack(pack) => Set::Pack(pack.to_owned()),
            SetRef::Large(large) => Set::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

impl Set {
    /// Reads it.
    pub fn view(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.view()),
            Set::Pack(pack) => SetRef::Pack(pack.view()),
            Set::Large(large) => SetRef::Large(large),
        }
    }
}

impl SetRef<'_> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            SetRef::Ints(ints) => ints.is_empty(),
            SetRef::Pack(pack) => pack.is_empty(),
            SetRef::Large(large) => large.is_empty(),
        }
    }
}

/// Whether bytes from elsewhere are a listpack of members, none twice.
pub fn is_set(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty() && distinct(&pack, 1))
}

/// Whether bytes from elsewhere are an intset.
pub fn is_ints(bytes: &[u8]) -> bool {
    IntSetRef::validate(bytes).is_ok_and(|ints| !ints.is_empty())
}
