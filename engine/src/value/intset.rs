//! Valkey's intset: a sorted array of integers, all of the width that the widest has ever needed; the compact form of
//! a set of integers. Byte for byte Valkey's, so that DUMP and RESTORE carry it as it is.
//!
//! ```text
//! u32 bytes of each integer: 2, 4 or 8 | u32 count | integers, ascending      all little-endian
//! ```

use super::Malformed;
use super::listpack::splice;

#[cfg(test)]
mod tests;

const HEADER_BYTES: usize = 8;

/// An intset, read in place. Bytes from elsewhere must have passed [`IntSetRef::validate`]; those that have not are
/// read without panic, but as far as they make sense only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntSetRef<'a>(pub &'a [u8]);

/// An intset of one's own, to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntSet(Vec<u8>);

/// Bytes of each integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl<'a> IntSetRef<'a> {
    /// Checks bytes from elsewhere: width, count, strictly ascending, not empty.
    pub fn validate(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let set = IntSetRef(bytes);
        let told = *bytes.first_chunk::<HEADER_BYTES>().ok_or(Malformed)?;
        let [width, count] = [0, 4].map(|at| u32::from_le_bytes([told[at], told[at + 1], told[at + 2], told[at + 3]]));
        let fits = matches!(width, 2 | 4 | 8)
            && count > 0
            && (bytes.len() - HEADER_BYTES) as u64 == u64::from(count) * u64::from(width);
        if fits && set.iter().is_sorted_by(|one, next| one < next) { Ok(set) } else { Err(Malformed) }
    }

    /// Number of integers.
    #[inline]
    pub fn len(&self) -> usize {
        self.array().len() / self.width() as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.array().is_empty()
    }

    /// Bytes in all, the header included.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The integer with this index, in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        let width = self.width();
        let from = index.checked_mul(width as usize)?;
        self.array().get(from..from + width as usize).map(|bytes| width.read(bytes))
    }

    /// Whether the integer is in.
    #[inline]
    pub fn contains(&self, number: i64) -> bool {
        Width::of(number) <= self.width() && self.search(number).is_ok()
    }

    /// Index of the integer, or of the first one that is larger.
    #[inline]
    pub fn search(&self, number: i64) -> Result<usize, usize> {
        match self.width() {
            Width::Two => search::<2>(self.array(), number),
            Width::Four => search::<4>(self.array(), number),
            Width::Eight => search::<8>(self.array(), number),
        }
    }

    /// The integers, ascending.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + use<'a> {
        let width = self.width();
        self.array().chunks_exact(width as usize).map(move |bytes| width.read(bytes))
    }

    /// A copy to be changed.
    pub fn to_owned(&self) -> IntSet {
        IntSet(self.0.to_vec())
    }

    #[inline]
    fn width(&self) -> Width {
        match self.0.first() {
            Some(8) => Width::Eight,
            Some(4) => Width::Four,
            _ => Width::Two,
        }
    }

    #[inline]
    fn array(&self) -> &'a [u8] {
        self.0.get(HEADER_BYTES..).unwrap_or_default()
    }
}

impl Default for IntSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<i64> for IntSet {
    fn from_iter<I: IntoIterator<Item = i64>>(numbers: I) -> Self {
        let mut set = IntSet::new();
        numbers.into_iter().for_each(|number| {
            set.insert(number);
        });
        set
    }
}

impl IntSet {
    /// Without integers.
    pub fn new() -> Self {
        IntSet(vec![Width::Two as u8, 0, 0, 0, 0, 0, 0, 0])
    }

    /// From bytes that are an intset: an entry's own, or validated ones.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        IntSet(bytes)
    }

    /// Its bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// For reading.
    #[inline]
    pub fn view(&self) -> IntSetRef<'_> {
        IntSetRef(&self.0)
    }

    /// Adds an integer; says whether it is new.
    pub fn insert(&mut self, number: i64) -> bool {
        if Width::of(number) > self.view().width() {
            self.widen(Width::of(number));
        }
        let (width, len) = (self.view().width(), self.view().len());
        // Sorted input, as it comes from other sets, goes to the end without a search.
        let index = match len.checked_sub(1).and_then(|last| self.view().get(last)) {
            Some(last) if last < number => len,
            None => 0,
            Some(_) => match self.view().search(number) {
                Ok(_) => return false,
                Err(index) => index,
            },
        };
        let at = HEADER_BYTES + index * width as usize;
        splice(&mut self.0, at, 0, width as usize);
        width.write(number, &mut self.0[at..]);
        self.note_count(len + 1);
        true
    }

    /// Takes an integer out; says whether it was in. The others keep their width.
    pub fn remove(&mut self, number: i64) -> bool {
        if !self.view().contains(number) {
            return false;
        }
        self.view().search(number).is_ok_and(|index| self.remove_at(index))
    }

    /// Takes the integer with this index out; says whether there was one.
    pub fn remove_at(&mut self, index: usize) -> bool {
        let (width, len) = (self.view().width() as usize, self.view().len());
        if index >= len {
            return false;
        }
        splice(&mut self.0, HEADER_BYTES + index * width, width, 0);
        self.note_count(len - 1);
        true
    }

    fn widen(&mut self, to: Width) {
        let from = self.view();
        let mut wider = Vec::with_capacity(HEADER_BYTES + (from.len() + 1) * to as usize);
        wider.extend_from_slice(&[to as u8, 0, 0, 0]);
        wider.extend_from_slice(&(from.len() as u32).to_le_bytes());
        for number in from.iter() {
            wider.extend_from_slice(&number.to_le_bytes()[..to as usize]);
        }
        self.0 = wider;
    }

    fn note_count(&mut self, count: usize) {
        self.0[4..HEADER_BYTES].copy_from_slice(&(count as u32).to_le_bytes());
    }
}

impl Width {
    /// The least that holds this integer.
    #[inline]
    fn of(number: i64) -> Width {
        if i16::try_from(number).is_ok() {
            Width::Two
        } else if i32::try_from(number).is_ok() {
            Width::Four
        } else {
            Width::Eight
        }
    }

    #[inline]
    fn read(self, bytes: &[u8]) -> i64 {
        match self {
            Width::Two => read::<2>(bytes),
            Width::Four => read::<4>(bytes),
            Width::Eight => read::<8>(bytes),
        }
    }

    #[inline]
    fn write(self, number: i64, to: &mut [u8]) {
        to[..self as usize].copy_from_slice(&number.to_le_bytes()[..self as usize]);
    }
}

/// The first `BYTES` bytes as a signed little-endian integer.
#[inline]
fn read<const BYTES: usize>(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - BYTES..].copy_from_slice(&bytes[..BYTES]);
    i64::from_le_bytes(wide) >> (64 - 8 * BYTES)
}

#[inline]
fn search<const BYTES: usize>(array: &[u8], number: i64) -> Result<usize, usize> {
    let (integers, _) = array.as_chunks::<BYTES>();
    integers.binary_search_by_key(&number, |bytes| read::<BYTES>(bytes))
}
