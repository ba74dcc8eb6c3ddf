//! Large values: structures of shared pages behind a pointer in their entry.

use std::fmt;

use super::Form;
use super::chunks::Chunks;
use super::pages::PageMap;
use super::ranked::Ranked;
use super::stream::Stream;
use crate::key::Hasher;

/// Bytes of a value that came from elsewhere and are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes of a value that make none")]
pub struct Malformed;

/// What a large structure can do beside what it is for: be copied cheaply, travel in parts, be freed in slices.
///
/// Its pages are shared and copied when written to, so that a clone costs as much as there are pages.
pub trait Large: Clone + Send + Sync + 'static {
    /// Bytes on the heap, kept while it changes; shared pages count for each who has them.
    fn heap_bytes(&self) -> usize;
    /// Elements (entries of a stream).
    fn elements(&self) -> usize;
    /// Writes the elements of some pages, about 16 to 64 KiB, from a place on; returns where to go on, nothing at the end.
    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize>;
    /// Adds what [`Large::write_part`] wrote to a value under construction.
    ///
    /// # Errors
    /// The bytes, which come from another process, are no part of such a value.
    fn read_part(&mut self, part: &[u8], hasher: &Hasher) -> Result<(), Malformed>;
    /// Frees about so many elements; says whether there are more. The value is of no other use then.
    fn free_some(&mut self, elements: usize) -> bool;
}

macro_rules! large {
    ($($form:ident: $type:ty),+ $(,)?) => {
        /// A large value that is owned.
        #[derive(Clone)]
        pub enum LargeBox {
            $($form(Box<$type>)),+
        }

        /// A large value, read in place.
        #[derive(Clone, Copy)]
        pub enum LargeRef<'a> {
            $($form(&'a $type)),+
        }

        impl LargeBox {
            /// An empty one of a large form; nothing for other forms.
            pub fn empty(form: Form) -> Option<LargeBox> {
                match form {
                    $(Form::$form => Some(LargeBox::$form(Box::default())),)+
                    _ => None,
                }
            }

            /// How an entry holds it.
            #[inline]
            pub fn form(&self) -> Form {
                match self {
                    $(LargeBox::$form(_) => Form::$form),+
                }
            }

            /// Reads it.
            #[inline]
            pub fn as_ref(&self) -> LargeRef<'_> {
                match self {
                    $(LargeBox::$form(large) => LargeRef::$form(large)),+
                }
            }

            /// See [`Large::read_part`].
            ///
            /// # Errors
            /// The bytes are no part of such a value.
            pub fn read_part(&mut self, part: &[u8], hasher: &Hasher) -> Result<(), Malformed> {
                match self {
                    $(LargeBox::$form(large) => Large::read_part(&mut **large, part, hasher)),+
                }
            }

            /// See [`Large::free_some`].
            pub fn free_some(&mut self, elements: usize) -> bool {
                match self {
                    $(LargeBox::$form(large) => Large::free_some(&mut **large, elements)),+
                }
            }

            /// The pointer for an entry.
            pub(crate) fn into_raw(self) -> *mut u8 {
                match self {
                    $(LargeBox::$form(large) => Box::into_raw(large).cast()),+
                }
            }

            /// Takes the pointer out of an entry.
            ///
            /// # Safety
            /// `raw` came from [`LargeBox::into_raw`] of a value of this form, and is used up by this.
            pub(crate) unsafe fn from_raw(form: Form, raw: *mut u8) -> Option<LargeBox> {
                match form {
                    // SAFETY: as the caller promises.
                    $(Form::$form => Some(LargeBox::$form(unsafe { Box::from_raw(raw.cast::<$type>()) })),)+
                    _ => None,
                }
            }
        }

        impl<'a> LargeRef<'a> {
            /// How an entry holds it.
            pub fn form(&self) -> Form {
                match self {
                    $(LargeRef::$form(_) => Form::$form),+
                }
            }

            /// See [`Large::heap_bytes`]; with the structure itself.
            #[inline]
            pub fn heap_bytes(&self) -> usize {
                match self {
                    $(LargeRef::$form(large) => Large::heap_bytes(*large) + super::rounded(size_of::<$type>())),+
                }
            }

            /// See [`Large::elements`].
            pub fn elements(&self) -> usize {
                match self {
                    $(LargeRef::$form(large) => Large::elements(*large)),+
                }
            }

            /// See [`Large::write_part`].
            pub fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
                match self {
                    $(LargeRef::$form(large) => Large::write_part(*large, at, out)),+
                }
            }

            /// One of its own that shares the pages.
            pub fn to_box(self) -> LargeBox {
                match self {
                    $(LargeRef::$form(large) => LargeBox::$form(Box::new(large.clone()))),+
                }
            }

            /// Reads the pointer in an entry.
            ///
            /// # Safety
            /// `raw` came from [`LargeBox::into_raw`] of a value of this form that lives for 'a.
            pub(crate) unsafe fn from_raw(form: Form, raw: *const u8) -> Option<LargeRef<'a>> {
                match form {
                    // SAFETY: as the caller promises.
                    $(Form::$form => Some(LargeRef::$form(unsafe { &*raw.cast::<$type>() })),)+
                    _ => None,
                }
            }
        }
    };
}

large! {
    List: Chunks,
    Hash: PageMap,
    Set: PageMap,
    ZSet: Ranked,
    Stream: Stream,
}

impl fmt::Debug for LargeBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for LargeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} elements", self.form(), self.elements())
    }
}
