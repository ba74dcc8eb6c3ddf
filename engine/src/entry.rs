//! One key with its value: one allocation (header, optional fields, key, value) behind one pointer.
//!
//! ```text
//! header u64:  0..24 LRU/LFU clock | 24..28 form | 28..36 field flags | 36..44 key length | 44..61 value length
//! fields:      [expiry u64] [cas u64] [memcached flags u32] [long key length u32]     each only where used
//! key bytes, then value bytes (strings up to 64 KiB, compact collections up to 128 KiB), or a pointer to boxed
//! `Segments` or to a large value
//! ```

use std::marker::PhantomData;
use std::ptr::NonNull;

use swell_wire::{Arg, Segments};

use crate::error::Fault;
use crate::heap;
use crate::number;
use crate::value::{COMPACT_BYTES_MAX, Collection, Form, Kept, KeptRef, LargeBox, LargeRef};

pub use crate::value::Kind;

const CLOCK_BITS: u32 = 24;
/// Mask of the 24 bits of an LRU or LFU clock.
pub const CLOCK_MASK: u64 = (1 << CLOCK_BITS) - 1;
const FORM_AT: u32 = 24;
const FLAGS_AT: u32 = 28;
const KEY_AT: u32 = 36;
const VALUE_AT: u32 = 44;
/// Key lengths from here on stand in a field of their own.
const LONG_KEY: usize = 255;

const HAS_EXPIRY: u64 = 1 << FLAGS_AT;
const HAS_CAS: u64 = 1 << (FLAGS_AT + 1);
const HAS_MC_FLAGS: u64 = 1 << (FLAGS_AT + 2);
const HAS_LONG_KEY: u64 = 1 << (FLAGS_AT + 3);
const IS_RAW: u64 = 1 << (FLAGS_AT + 4);
const IS_MEMCACHED: u64 = 1 << (FLAGS_AT + 5);

/// Strings up to this length are told as "embstr" (Redis: `OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
const EMBSTR_BYTES_MAX: usize = 44;

/// A string value, read in place.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Up to 64 KiB.
    Slice(&'a [u8]),
    /// Longer.
    Segments(&'a Segments),
}

impl<'a> Value<'a> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Value::Slice(bytes) => bytes.len(),
            Value::Segments(segments) => segments.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes in one piece; copies a long value.
    pub fn to_bytes(&self) -> std::borrow::Cow<'a, [u8]> {
        match self {
            Value::Slice(bytes) => std::borrow::Cow::Borrowed(bytes),
            Value::Segments(segments) => std::borrow::Cow::Owned(segments.to_vec()),
        }
    }
}

/// A whole string to be stored.
#[derive(Clone, Debug)]
pub enum NewValue<'a> {
    /// Any length; longer than 64 KiB is put into segments.
    Bytes(&'a [u8]),
    /// Any length; up to 64 KiB is put inline.
    Segments(Segments),
}

/// What an entry holds, read in place.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    String(Value<'a>),
    Collection(KeptRef<'a>),
}

/// What is written behind an entry's key.
pub(crate) enum Stored<'a> {
    /// In the entry, in an inline form.
    Inline(Form, &'a [u8]),
    Outside(Outside),
}

/// What an entry points to.
pub(crate) enum Outside {
    Segments(Box<Segments>),
    Large(LargeBox),
}

impl Stored<'_> {
    fn form(&self) -> Form {
        match self {
            Stored::Inline(form, _) => *form,
            Stored::Outside(Outside::Segments(_)) => Form::Segments,
            Stored::Outside(Outside::Large(large)) => large.as_ref().form(),
        }
    }

    /// Bytes in the entry.
    pub fn len(&self) -> usize {
        match self {
            Stored::Inline(_, bytes) => bytes.len(),
            Stored::Outside(_) => 8,
        }
    }

    /// Bytes elsewhere.
    pub fn outside_bytes(&self) -> usize {
        match self {
            Stored::Inline(..) => 0,
            Stored::Outside(outside) => outside.heap_bytes(),
        }
    }
}

impl Outside {
    /// Accounted bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Outside::Segments(segments) => segments.heap_bytes(),
            Outside::Large(large) => large.as_ref().heap_bytes(),
        }
    }

    fn into_raw(self) -> *mut u8 {
        match self {
            Outside::Segments(segments) => Box::into_raw(segments).cast(),
            Outside::Large(large) => large.into_raw(),
        }
    }
}

impl<'a> From<Arg<'a>> for NewValue<'a> {
    fn from(arg: Arg<'a>) -> Self {
        match arg {
            Arg::Slice(bytes) => NewValue::Bytes(bytes),
            Arg::Segments(segments) => NewValue::Segments(segments.clone()),
        }
    }
}

impl NewValue<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            NewValue::Bytes(bytes) => bytes.len(),
            NewValue::Segments(segments) => segments.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Everything of an entry but its key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// 24 bits of LRU or LFU clock.
    pub clock: u32,
    /// When it expires, unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// The memcached unique, once somebody asked for it.
    pub cas: Option<u64>,
    /// The memcached client flags, where not zero.
    pub mc_flags: u32,
    /// Whether it was changed in place (`OBJECT ENCODING` then says "raw").
    pub raw: bool,
    /// Whether a memcached client wrote it.
    pub memcached: bool,
}

/// A pointer to an entry. Copies are plain; whoever holds the stripe's lock may follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPtr(NonNull<u8>);

impl EntryPtr {
    /// Takes a table's word for what it is.
    ///
    /// # Safety
    /// `ptr` was written by [`EntryPtr::write`] and is still allocated.
    #[inline]
    pub unsafe fn from_raw(ptr: NonNull<u8>) -> Self {
        EntryPtr(ptr)
    }

    /// The pointer for a table's word.
    #[inline]
    pub fn as_raw(self) -> NonNull<u8> {
        self.0
    }

    /// Bytes an entry of these parts needs (before rounding).
    #[inline]
    pub fn bytes_for(fields: &Fields, key_len: usize, value_len: usize) -> usize {
        let optional = usize::from(fields.expire_at_ms.is_some()) * 8
            + usize::from(fields.cas.is_some()) * 8
            + usize::from(fields.mc_flags != 0) * 4
            + usize::from(key_len >= LONG_KEY) * 4;
        8 + optional + key_len + value_len
    }

    /// Writes an entry.
    ///
    /// # Safety
    /// `to` has room for [`EntryPtr::bytes_for`] these parts, with [`Stored::len`] for the value's; neither key nor
    /// value overlap it.
    #[inline]
    pub(crate) unsafe fn write(to: NonNull<u8>, fields: &Fields, key: &[u8], value: Stored<'_>) {
        let value_len = value.len();
        debug_assert!(value_len <= COMPACT_BYTES_MAX);
        let mut header = u64::from(fields.clock) & CLOCK_MASK
            | (value.form() as u64) << FORM_AT
            | (key.len().min(LONG_KEY) as u64) << KEY_AT
            | (value_len as u64) << VALUE_AT;
        // SAFETY: the caller made room for all parts; each write advances by what it wrote.
        unsafe {
            let mut at = to.add(8);
            if let Some(expire_at_ms) = fields.expire_at_ms {
                header |= HAS_EXPIRY;
                at.cast::<u64>().write_unaligned(expire_at_ms);
                at = at.add(8);
            }
            if let Some(cas) = fields.cas {
                header |= HAS_CAS;
                at.cast::<u64>().write_unaligned(cas);
                at = at.add(8);
            }
            if fields.mc_flags != 0 {
                header |= HAS_MC_FLAGS;
                at.cast::<u32>().write_unaligned(fields.mc_flags);
                at = at.add(4);
            }
            if key.len() >= LONG_KEY {
                header |= HAS_LONG_KEY;
                at.cast::<u32>().write_unaligned(key.len() as u32);
                at = at.add(4);
            }
            if fields.raw {
                header |= IS_RAW;
            }
            if fields.memcached {
                header |= IS_MEMCACHED;
            }
            at.copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
            at = at.add(key.len());
            match value {
                Stored::Inline(_, bytes) => at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()),
                Stored::Outside(outside) => at.cast::<*mut u8>().write_unaligned(outside.into_raw()),
            }
            to.cast::<u64>().write(header);
        }
    }

    #[inline]
    fn header(self) -> u64 {
        // SAFETY: an EntryPtr points to a live entry, whose first 8 bytes are its header (entries are 8-aligned).
        unsafe { self.0.cast::<u64>().read() }
    }

    /// Offset of the key from the entry's start.
    #[inline]
    fn key_offset(header: u64) -> usize {
        8 + usize::from(header & HAS_EXPIRY != 0) * 8
            + usize::from(header & HAS_CAS != 0) * 8
            + usize::from(header & HAS_MC_FLAGS != 0) * 4
            + usize::from(header & HAS_LONG_KEY != 0) * 4
    }

    #[inline]
    fn key_len(self, header: u64) -> usize {
        let short = (header >> KEY_AT) as usize & 0xff;
        if header & HAS_LONG_KEY == 0 {
            return short;
        }
        // SAFETY: the field is there as the flag says, just before the key.
        unsafe { self.0.add(Self::key_offset(header) - 4).cast::<u32>().read_unaligned() as usize }
    }

    /// Bytes allocated for it (before rounding), the segments of a long value not counted.
    #[inline]
    pub fn bytes(self) -> usize {
        let header = self.header();
        Self::key_offset(header) + self.key_len(header) + (header >> VALUE_AT) as usize
    }

    /// The key.
    #[inline]
    pub fn key<'a>(self) -> &'a [u8] {
        let header = self.header();
        // SAFETY: the header says where the key lies; the caller holds the stripe's lock for 'a (module contract).
        unsafe { std::slice::from_raw_parts(self.0.add(Self::key_offset(header)).as_ptr(), self.key_len(header)) }
    }

    /// Whether this is the entry of `key`; compares the short length before it touches the bytes.
    #[inline]
    pub fn is_key(self, key: &[u8]) -> bool {
        let header = self.header();
        if (header >> KEY_AT) as usize & 0xff != key.len().min(LONG_KEY) {
            return false;
        }
        self.key() == key
    }

    /// A view for as long as the lock is held.
    #[inline]
    pub fn view<'a>(self) -> Entry<'a> {
        Entry { ptr: self, _lock: PhantomData }
    }

    /// Sets the 24-bit clock; writes only if it changes, so that hot readers share the cache line.
    #[inline]
    pub fn set_clock(self, clock: u32) {
        let header = self.header();
        let wanted = header & !CLOCK_MASK | u64::from(clock) & CLOCK_MASK;
        if header != wanted {
            // SAFETY: live entry, and the caller holds the stripe's lock.
            unsafe { self.0.cast::<u64>().write(wanted) };
        }
    }

    /// The 24-bit clock.
    #[inline]
    pub fn clock(self) -> u32 {
        (self.header() & CLOCK_MASK) as u32
    }

    /// When it expires, unix milliseconds.
    #[inline]
    pub fn expire_at_ms(self) -> Option<u64> {
        if self.header() & HAS_EXPIRY == 0 {
            return None;
        }
        // SAFETY: the flag says that the first field is the expiry.
        Some(unsafe { self.0.add(8).cast::<u64>().read_unaligned() })
    }

    /// Overwrites an expiry that is there.
    pub fn overwrite_expiry(self, at_ms: u64) {
        debug_assert!(self.header() & HAS_EXPIRY != 0);
        // SAFETY: the caller has seen that there is an expiry and holds the lock.
        unsafe { self.0.add(8).cast::<u64>().write_unaligned(at_ms) }
    }

    /// All fields.
    pub fn fields(self) -> Fields {
        let header = self.header();
        let mut at = 8;
        let mut field = |flag: u64, bytes: usize| {
            let here = at;
            (header & flag != 0).then(|| {
                at += bytes;
                here
            })
        };
        let (expiry, cas, mc_flags) = (field(HAS_EXPIRY, 8), field(HAS_CAS, 8), field(HAS_MC_FLAGS, 4));
        // SAFETY: the flags say which fields lie at these offsets.
        unsafe {
            Fields {
                clock: (header & CLOCK_MASK) as u32,
                expire_at_ms: expiry.map(|at| self.0.add(at).cast::<u64>().read_unaligned()),
                cas: cas.map(|at| self.0.add(at).cast::<u64>().read_unaligned()),
                mc_flags: mc_flags.map_or(0, |at| self.0.add(at).cast::<u32>().read_unaligned()),
                raw: header & IS_RAW != 0,
                memcached: header & IS_MEMCACHED != 0,
            }
        }
    }

    #[inline]
    fn value_at(self) -> (u64, NonNull<u8>) {
        let header = self.header();
        // SAFETY: the value follows the key inside the entry.
        (header, unsafe { self.0.add(Self::key_offset(header) + self.key_len(header)) })
    }

    /// How the value is held.
    #[inline]
    pub fn form(self) -> Form {
        Self::form_in(self.header())
    }

    #[inline]
    fn form_in(header: u64) -> Form {
        Form::from_number((header >> FORM_AT) as u8 & 0xf).unwrap_or(Form::Bytes)
    }

    /// The bytes of a string that lies in the entry, for writing over them.
    pub fn inline_string_mut<'a>(self) -> Option<&'a mut [u8]> {
        let (header, at) = self.value_at();
        // SAFETY: inline values lie inside the entry; the caller holds the lock and makes no second reference.
        (Self::form_in(header) == Form::Bytes)
            .then(|| unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), (header >> VALUE_AT) as usize) })
    }

    /// The segments of a long string, for writing.
    pub fn segments_mut<'a>(self) -> Option<&'a mut Segments> {
        let (header, at) = self.value_at();
        // SAFETY: a segmented entry holds the pointer of a live box; the caller holds the lock.
        (Self::form_in(header) == Form::Segments).then(|| unsafe { &mut *at.cast::<*mut Segments>().read_unaligned() })
    }

    /// Takes what the entry points to out of it; nothing for inline values.
    ///
    /// # Safety
    /// The entry's value is not read again: it is freed next, or given a value again.
    pub(crate) unsafe fn take_outside(self) -> Option<Outside> {
        let (header, at) = self.value_at();
        let form = Self::form_in(header);
        if form.is_inline() {
            return None;
        }
        // SAFETY: the entry holds the pointer of a live box of its form, and the caller gives it up.
        unsafe {
            let raw = at.cast::<*mut u8>().read_unaligned();
            match form {
                Form::Segments => Some(Outside::Segments(Box::from_raw(raw.cast()))),
                _ => LargeBox::from_raw(form, raw).map(Outside::Large),
            }
        }
    }

    /// Makes an entry whose pointer was taken one with an empty value, of the size that it has.
    ///
    /// The header keeps its lengths: the block is freed with them.
    pub(crate) fn forget_outside(self) {
        // SAFETY: live entry under the caller's lock.
        unsafe { self.0.cast::<u64>().write(self.header() & !(0xf << FORM_AT)) }
    }

    /// The bytes of an inline value.
    pub(crate) fn inline_value<'a>(self) -> &'a [u8] {
        let (header, at) = self.value_at();
        debug_assert!(Self::form_in(header).is_inline());
        // SAFETY: inline values lie inside the entry; the caller holds the lock.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), (header >> VALUE_AT) as usize) }
    }

    /// Gives an entry back what [`EntryPtr::take_outside`] took, perhaps another box of the same form.
    ///
    /// # Safety
    /// It was taken, and the caller holds the lock.
    pub(crate) unsafe fn put_outside(self, outside: Outside) {
        let (_, at) = self.value_at();
        // SAFETY: as the caller promises: eight bytes of the entry that held a pointer.
        unsafe { at.cast::<*mut u8>().write_unaligned(outside.into_raw()) }
    }

    /// Whether a memcached client wrote it.
    pub fn is_memcached(self) -> bool {
        self.header() & IS_MEMCACHED != 0
    }

    /// Marks a value that was changed in place.
    pub fn set_raw(self) {
        // SAFETY: live entry under the caller's lock.
        unsafe { self.0.cast::<u64>().write(self.header() | IS_RAW) }
    }

    /// Overwrites a cas unique that is there.
    pub fn overwrite_cas(self, cas: u64) {
        let header = self.header();
        debug_assert!(header & HAS_CAS != 0);
        let at = 8 + usize::from(header & HAS_EXPIRY != 0) * 8;
        // SAFETY: the cas field follows the expiry; the caller holds the lock.
        unsafe { self.0.add(at).cast::<u64>().write_unaligned(cas) }
    }

    /// Accounted heap bytes: the rounded allocation, and a long value's segments.
    #[inline]
    pub fn heap_bytes(self) -> usize {
        heap::rounded(self.bytes()) + self.outside_bytes()
    }

    /// Accounted bytes of what it points to.
    #[inline]
    pub fn outside_bytes(self) -> usize {
        match self.view().content() {
            Content::String(Value::Segments(segments)) => segments.heap_bytes(),
            Content::Collection(KeptRef::Large(large)) => large.heap_bytes(),
            _ => 0,
        }
    }
}

/// An entry as a command sees it while it holds the lock.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    ptr: EntryPtr,
    _lock: PhantomData<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        self.ptr.key()
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.ptr.form().kind()
    }

    /// How the value is held.
    pub fn form(&self) -> Form {
        self.ptr.form()
    }

    /// Where the value lies, for tools.
    pub fn address(&self) -> *const u8 {
        let (header, at) = self.ptr.value_at();
        if EntryPtr::form_in(header).is_inline() {
            return at.as_ptr();
        }
        // SAFETY: forms that are not inline hold a pointer there.
        unsafe { at.cast::<*const u8>().read_unaligned() }
    }

    /// The value.
    #[inline]
    pub fn content(&self) -> Content<'a> {
        let (header, at) = self.ptr.value_at();
        let form = EntryPtr::form_in(header);
        // SAFETY: the value lies inside the entry, or behind its box, and the lock is held for 'a.
        unsafe {
            if form.is_inline() {
                let bytes = std::slice::from_raw_parts(at.as_ptr(), (header >> VALUE_AT) as usize & COMPACT_BYTES_MAX);
                return match form {
                    Form::Bytes => Content::String(Value::Slice(bytes)),
                    _ => Content::Collection(KeptRef::Compact(form, bytes)),
                };
            }
            let raw = at.cast::<*const u8>().read_unaligned();
            match LargeRef::from_raw(form, raw) {
                Some(large) => Content::Collection(KeptRef::Large(large)),
                None => Content::String(Value::Segments(&*raw.cast())),
            }
        }
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(&self) -> Result<Value<'a>, Fault> {
        let (header, at) = self.ptr.value_at();
        if header >> FORM_AT & 0xf == Form::Bytes as u64 {
            // SAFETY: the value lies inside the entry, and the lock is held for 'a.
            let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), (header >> VALUE_AT) as usize) };
            return Ok(Value::Slice(bytes));
        }
        match self.content() {
            Content::String(value) => Ok(value),
            Content::Collection(_) => Err(Fault::WrongType),
        }
    }

    /// The value, if it is of this type.
    #[inline]
    pub fn collection<C: Collection>(&self) -> Result<C::Ref<'a>, Fault> {
        match self.content() {
            Content::Collection(kept) => C::read(kept).ok_or(Fault::WrongType),
            Content::String(_) => Err(Fault::WrongType),
        }
    }

    /// A copy of a collection as an entry holds it; nothing for a string. A large one shares its pages.
    pub fn to_kept(&self) -> Option<Kept> {
        match self.content() {
            Content::Collection(kept) => Some(kept.to_kept()),
            Content::String(_) => None,
        }
    }

    /// Everything but key and value.
    #[inline]
    pub fn fields(&self) -> Fields {
        self.ptr.fields()
    }

    /// When it expires, unix milliseconds.
    pub fn expire_at_ms(&self) -> Option<u64> {
        self.ptr.expire_at_ms()
    }

    /// The memcached client flags.
    pub fn mc_flags(&self) -> u32 {
        self.ptr.fields().mc_flags
    }

    /// The memcached unique, if one was asked for.
    pub fn cas(&self) -> Option<u64> {
        self.ptr.fields().cas
    }

    /// Time since the last access, in milliseconds (under an LRU clock).
    pub fn idle_ms(&self, now_ms: u64) -> u64 {
        crate::clock::idle_ms(self.ptr.clock(), now_ms)
    }

    /// The logarithmic access counter after decay (under an LFU clock).
    pub fn lfu_counter(&self, now_ms: u64, decay_minutes: u32) -> u8 {
        crate::clock::lfu_decayed(self.ptr.clock(), now_ms, decay_minutes)
    }

    /// The clock field as it is.
    pub fn clock(&self) -> u32 {
        self.ptr.clock()
    }

    /// The name `OBJECT ENCODING` prints.
    pub fn encoding(&self) -> &'static str {
        match self.content() {
            Content::Collection(kept) => kept.form().encoding(),
            Content::String(Value::Slice(_)) if self.ptr.fields().raw => "raw",
            Content::String(Value::Slice(bytes)) if bytes.len() <= 20 && number::parse_i64(bytes).is_some() => "int",
            Content::String(Value::Slice(bytes)) if bytes.len() <= EMBSTR_BYTES_MAX => "embstr",
            Content::String(_) => "raw",
        }
    }

    /// Accounted heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.ptr.heap_bytes()
    }
}
