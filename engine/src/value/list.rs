//! Lists: elements in a listpack or in a deque of chunks.

use super::chunks::Chunks;
use super::listpack::{Listpack, ListpackRef};
use super::{Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef};

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
}

impl ListRef<'_> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            ListRef::Pack(pack) => pack.is_empty(),
            ListRef::Large(large) => large.is_empty(),
        }
    }
}

/// Whether bytes from elsewhere are a listpack with elements.
pub fn is_list(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty())
}
