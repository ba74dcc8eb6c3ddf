//! Values other than strings: what an entry holds of them, and what is common to their types.
//!
//! A value is *compact* (Valkey's own listpack or intset bytes, inline in its entry) or *large* (a structure of shared
//! pages behind a pointer). Which of the two is [`Form`]; a type's own file says when it goes from one to the other.

mod blocks;
pub mod chunks;
pub mod element;
pub mod hash;
pub mod index;
pub mod intset;
pub mod item;
pub mod large;
pub mod limits;
pub mod list;
pub mod listpack;
pub mod pages;
pub mod random;
pub mod ranked;
pub mod set;
pub mod stream;
pub mod zset;

pub use large::{Large, LargeBox, LargeRef, Malformed};
pub use limits::Limits;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    List,
    Hash,
    Set,
    ZSet,
    Stream,
}

impl Kind {
    /// The name `TYPE` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Hash => "hash",
            Kind::Set => "set",
            Kind::ZSet => "zset",
            Kind::Stream => "stream",
        }
    }
}

/// How an entry holds its value: four bits of its header, and the first byte of what a stream of slots says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// A string, inline.
    Bytes = 0,
    /// A string in segments.
    Segments = 1,
    /// Compact: a listpack, inline.
    ListPack = 2,
    HashPack = 3,
    SetPack = 4,
    /// Compact: an intset, inline.
    SetInts = 5,
    ZSetPack = 6,
    /// Large.
    List = 8,
    Hash = 9,
    Set = 10,
    ZSet = 11,
    Stream = 12,
}

impl Form {
    /// The form with this number.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Form> {
        Some(match number {
            0 => Form::Bytes,
            1 => Form::Segments,
            2 => Form::ListPack,
            3 => Form::HashPack,
            4 => Form::SetPack,
            5 => Form::SetInts,
            6 => Form::ZSetPack,
            8 => Form::List,
            9 => Form::Hash,
            10 => Form::Set,
            11 => Form::ZSet,
            12 => Form::Stream,
            _ => return None,
        })
    }

    /// Whether the value lies in the entry itself.
    #[inline]
    pub const fn is_inline(self) -> bool {
        !matches!(self, Form::Segments) && !self.is_large()
    }

    /// Whether the value is a large structure.
    #[inline]
    pub const fn is_large(self) -> bool {
        self as u8 >= Form::List as u8
    }

    /// The type.
    #[inline]
    pub const fn kind(self) -> Kind {
        match self {
            Form::Bytes | Form::Segments => Kind::String,
            Form::ListPack | Form::List => Kind::List,
            Form::HashPack | Form::Hash => Kind::Hash,
            Form::SetPack | Form::SetInts | Form::Set => Kind::Set,
            Form::ZSetPack | Form::ZSet => Kind::ZSet,
            Form::Stream => Kind::Stream,
        }
    }

    /// The name `OBJECT ENCODING` prints; of strings the entry knows more.
    pub const fn encoding(self) -> &'static str {
        match self {
            Form::Bytes | Form::Segments => "raw",
            Form::ListPack | Form::HashPack | Form::SetPack | Form::ZSetPack => "listpack",
            Form::SetInts => "intset",
            Form::List => "quicklist",
            Form::Hash | Form::Set => "hashtable",
            Form::ZSet => "skiplist",
            Form::Stream => "stream",
        }
    }
}

/// A value of one type that owns its bytes or its structure: moved out of its entry, changed, put back.
pub trait Collection: Sized {
    const KIND: Kind;
    /// Whether the key stays when nothing is left (streams).
    const KEEP_EMPTY: bool = false;
    /// The same, read in place.
    type Ref<'a>: Copy;

    /// The smallest one, without elements.
    fn empty() -> Self;
    /// Takes what an entry holds; nothing where it is of another type.
    fn from_kept(kept: Kept) -> Option<Self>;
    /// What an entry is to hold.
    fn into_kept(self) -> Kept;
    /// Reads what an entry holds; nothing where it is of another type.
    fn read(kept: KeptRef<'_>) -> Option<Self::Ref<'_>>;
    /// A value of its own with the same elements. A large one shares its pages.
    fn to_owned(from: Self::Ref<'_>) -> Self;
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool;
}

/// A collection as an entry holds it.
#[derive(Clone, Debug)]
pub enum Kept {
    /// At most [`COMPACT_BYTES_MAX`] bytes of a compact form.
    Compact(Form, Vec<u8>),
    Large(LargeBox),
}

/// A collection in an entry.
#[derive(Clone, Copy, Debug)]
pub enum KeptRef<'a> {
    Compact(Form, &'a [u8]),
    Large(LargeRef<'a>),
}

/// A compact value has no more bytes than this: its length has 17 bits in an entry's header. Valkey's own bounds
/// (512 fields of 64 bytes and their values) stay below.
pub const COMPACT_BYTES_MAX: usize = (1 << 17) - 1;

impl Kept {
    /// A compact value from bytes that came from elsewhere.
    ///
    /// # Errors
    /// They are no value of this form: not whole, empty, with an element too few, a member twice, out of order.
    pub fn checked(form: Form, bytes: &[u8]) -> Result<Kept, Malformed> {
        let is_good = bytes.len() <= COMPACT_BYTES_MAX
            && match form {
                Form::ListPack => list::is_list(bytes),
                Form::HashPack => hash::is_hash(bytes),
                Form::SetPack => set::is_set(bytes),
                Form::SetInts => set::is_ints(bytes),
                Form::ZSetPack => zset::is_zset(bytes),
                _ => false,
            };
        if is_good { Ok(Kept::Compact(form, bytes.to_vec())) } else { Err(Malformed) }
    }

    /// Reads it.
    pub fn as_ref(&self) -> KeptRef<'_> {
        match self {
            Kept::Compact(form, bytes) => KeptRef::Compact(*form, bytes),
            Kept::Large(large) => KeptRef::Large(large.as_ref()),
        }
    }

    /// How it is kept.
    #[inline]
    pub fn form(&self) -> Form {
        match self {
            Kept::Compact(form, _) => *form,
            Kept::Large(large) => large.form(),
        }
    }
}

impl KeptRef<'_> {
    /// How it is kept.
    pub fn form(&self) -> Form {
        match self {
            KeptRef::Compact(form, _) => *form,
            KeptRef::Large(large) => large.form(),
        }
    }

    /// A copy that owns its bytes; of a large one it shares the pages.
    pub fn to_kept(self) -> Kept {
        match self {
            KeptRef::Compact(form, bytes) => Kept::Compact(form, bytes.to_vec()),
            KeptRef::Large(large) => Kept::Large(large.to_box()),
        }
    }
}

/// Bytes that the global allocator takes for so many: its size classes are four to a power of two (mimalloc), with
/// steps of 16 up to 128 bytes.
#[inline]
pub const fn rounded(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => {
            // A power of two: no division.
            let step = (1 << (bytes - 1).ilog2()) / 4;
            (bytes + step - 1) & !(step - 1)
        }
    }
}

/// Whether no two of every `step`-th elements are equal; for listpacks that came from elsewhere.
fn distinct(pack: &listpack::ListpackRef<'_>, step: usize) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    pack.iter().step_by(step).all(|element| seen.insert(element.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_follows_the_allocators_classes() {
        let classes = [(0, 0), (1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (160, 160), (161, 192), (256, 256)];
        for (bytes, expected) in classes.into_iter().chain([(257, 320), (4096, 4096), (4097, 5120)]) {
            assert_eq!(rounded(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn forms_have_their_numbers() {
        for number in 0..=u8::MAX {
            let form = Form::from_number(number);
            assert_eq!(form.map(|form| form as u8), form.map(|_| number));
        }
    }
}
