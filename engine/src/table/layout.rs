//! How large a table's array is, and the one word that says where it is and how it is laid out.

use std::ptr::NonNull;

/// Tables up to this many words are narrow: 16 bits of the hash, which the words hold, give the order and the home.
pub(super) const NARROW_WORDS_MAX: u32 = 8192;

/// Tables up to this many words (one cache line) are plain sorted arrays: everything is at home at the start.
const FLAT_WORDS_MAX: u32 = 8;

const POINTER_BITS: u32 = 48;
const POINTER_MASK: u64 = (1 << POINTER_BITS) - 1;

/// Number of capacity classes. The last has 2^31 words, 16 GiB: more keys than one slot's engine has memory for.
const CLASSES: usize = 3 + 7 + 8 * 7 + 4 * 18;

/// Words (without extra padding) and home positions of each capacity class.
static CAPACITIES: [Capacity; CLASSES] = capacities();

/// Where an array is and how it is laid out, in one word: pointer in the low 48 bits, capacity class in the next 8,
/// extra padding above. 0 is a table without an array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor(pub(super) u64);

/// An array's layout without its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    class: u8,
    /// 0, or the logarithm of the number of extra padding words.
    extra_log: u8,
}

#[derive(Clone, Copy)]
struct Capacity {
    words: u32,
    homes: u32,
}

impl Descriptor {
    pub(super) fn new(array: NonNull<u64>, layout: Layout) -> Descriptor {
        let address = array.as_ptr().expose_provenance() as u64;
        debug_assert_eq!(address & !POINTER_MASK, 0, "user-space addresses have 48 bits");
        Descriptor(address | u64::from(layout.class) << 48 | u64::from(layout.extra_log) << 56)
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn array(self) -> *mut u64 {
        std::ptr::with_exposed_provenance_mut((self.0 & POINTER_MASK) as usize)
    }

    #[inline]
    pub(super) fn layout(self) -> Layout {
        Layout { class: (self.0 >> 48) as u8, extra_log: (self.0 >> 56) as u8 }
    }
}

impl Layout {
    /// The smallest layout for `len` entries at the usual load, without extra padding.
    pub(super) fn for_len(len: u32) -> Layout {
        let class = CAPACITIES.partition_point(|capacity| capacity.len_max() < len);
        assert!(class < CLASSES, "a table holds fewer than 2^31 entries");
        Layout { class: class as u8, extra_log: 0 }
    }

    /// The next larger capacity class.
    pub(super) fn larger(self) -> Layout {
        assert!((self.class as usize) < CLASSES - 1, "a table holds fewer than 2^31 entries");
        Layout { class: self.class + 1, extra_log: 0 }
    }

    /// The same class with twice the extra padding.
    pub(super) fn padded(self) -> Layout {
        Layout { class: self.class, extra_log: (self.extra_log + 1).max(3) }
    }

    /// Words without extra padding.
    #[inline]
    pub(super) fn base_words(self) -> u32 {
        self.capacity().words
    }

    /// Words that were added because entries crowd at the array's end.
    #[inline]
    pub(super) fn extra_words(self) -> usize {
        (1usize << self.extra_log) & !1
    }

    /// Words of the array.
    #[inline]
    pub(super) fn words(self) -> usize {
        self.base_words() as usize + self.extra_words()
    }

    /// Most entries before the table grows.
    #[inline]
    pub(super) fn len_max(self) -> u32 {
        self.capacity().len_max()
    }

    /// Whether order and home come from 32 bits of the hash instead of 16.
    #[inline]
    pub(super) fn is_wide(self) -> bool {
        self.base_words() > NARROW_WORDS_MAX
    }

    /// Index of the word where an entry with this hash is at home; it never decreases as the hash increases.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        if self.is_wide() { self.home_of_rank((hash >> 32) as u32) } else { self.home_of_tag((hash >> 48) as u16) }
    }

    /// The home in a wide table, from the upper 32 bits of the hash.
    #[inline]
    pub(super) fn home_of_rank(self, rank: u32) -> usize {
        ((u64::from(rank) * u64::from(self.capacity().homes)) >> 32) as usize
    }

    /// The home in a narrow table, from the upper 16 bits of the hash.
    #[inline]
    pub(super) fn home_of_tag(self, tag: u16) -> usize {
        ((u32::from(tag) * self.capacity().homes) >> 16) as usize
    }

    /// The 16 bits of a hash that an array of this layout keeps beside the pointer.
    #[inline]
    pub(super) fn tag(self, hash: u64) -> u16 {
        if self.is_wide() { hash as u16 } else { (hash >> 48) as u16 }
    }

    #[inline]
    fn capacity(self) -> Capacity {
        CAPACITIES[self.class as usize]
    }
}

impl Capacity {
    /// A flat table may be full; others keep an eighth of their words free.
    const fn len_max(self) -> u32 {
        if self.words <= FLAT_WORDS_MAX { self.words } else { self.words - self.words / 8 }
    }
}

/// 2, 4, 8, then steps of 8 words to 64, eight steps per doubling while growing needs no entry, then four.
const fn capacities() -> [Capacity; CLASSES] {
    let mut out = [Capacity { words: 0, homes: 0 }; CLASSES];
    let mut words = 1;
    let mut class = 0;
    while class < CLASSES {
        words = match words {
            0..8 => words * 2,
            8..64 => words + 8,
            64..NARROW_WORDS_MAX => words + (1 << (words.ilog2() - 3)),
            _ => words + (1 << (words.ilog2() - 2)),
        };
        out[class] = Capacity { words, homes: homes(words) };
        class += 1;
    }
    out
}

/// Words at which entries can be at home; those after them take what the last homes cannot.
const fn homes(words: u32) -> u32 {
    if words <= FLAT_WORDS_MAX {
        return 1;
    }
    let padding = words / 16;
    words - if padding > 32 { 32 } else { padding }
}
