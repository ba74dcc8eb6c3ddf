//! Hashes: fields with values, in a listpack (field, value, field, …) or in pages.

use super::listpack::{Listpack, ListpackRef};
use super::pages::PageMap;
use super::{Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, distinct};

/// A hash that owns its value.
#[derive(Clone, Debug)]
pub enum Hash {
    Pack(Listpack),
    Large(Box<PageMap>),
}

/// A hash in its entry.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    Pack(ListpackRef<'a>),
    Large(&'a PageMap),
}

impl Collection for Hash {
    const KIND: Kind = Kind::Hash;
    type Ref<'a> = HashRef<'a>;

    fn empty() -> Self {
        Hash::Pack(Listpack::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::HashPack, bytes) => Some(Hash::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::Hash(large)) => Some(Hash::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            Hash::Pack(pack) => Kept::Compact(Form::HashPack, pack.into_bytes()),
            Hash::Large(large) => Kept::Large(LargeBox::Hash(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<HashRef<'_>> {
        match kept {
            KeptRef::Compact(Form::HashPack, bytes) => Some(HashRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::Hash(large)) => Some(HashRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: HashRef<'_>) -> Self {
        match from {
            HashRef::Pack(pack) => Hash::Pack(pack.to_owned()),
            HashRef::Large(large) => Hash::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

impl Hash {
    /// Reads it.
    pub fn view(&self) -> HashRef<'_> {
        match self {
            Hash::Pack(pack) => HashRef::Pack(pack.view()),
            Hash::Large(large) => HashRef::Large(large),
        }
    }
}

impl HashRef<'_> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            HashRef::Pack(pack) => pack.is_empty(),
            HashRef::Large(large) => large.is_empty(),
        }
    }
}

/// Whether bytes from elsewhere are a listpack of fields and values, no field twice.
pub fn is_hash(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty() && pack.len() % 2 == 0 && distinct(&pack, 2))
}
