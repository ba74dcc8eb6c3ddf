//! A leaf page of a sorted set: up to 2 KiB of packed elements in one block, in order of (score, member).
//!
//! ```text
//! tags u8 × slots | scores f64 × slots | offsets u16 × slots | records ...
//! ```
//!
//! The first three stand in order; a record is a member behind its length, in any order. A member above [`INLINE_MAX`]
//! bytes lives beside the page. A tag is one byte of the member's hash: a member is found without its score.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::prefetch::prefetch;
use crate::value::rounded;

/// What an `Arc` adds to its block.
pub(super) const ARC_BYTES: usize = 16;
/// A page's block, without what `Arc` adds.
pub(super) const PAGE_BYTES: usize = 2048 - ARC_BYTES;
/// Longer members live beside the page. Small beside a page, so that after a split one more always fits.
pub(super) const INLINE_MAX: usize = 256;

/// Tag, score, offset.
const SLOT_BYTES: usize = 11;
/// First byte of the record of a member beside the page; two bytes of index follow.
const OUTSIDE: u8 = 0xff;
const OUTSIDE_BYTES: usize = 3;
/// Tags that are compared at once.
const LANES: usize = 8;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = LOW_BITS << 7;
/// What the memory gives at once.
const LINE_BYTES: usize = 64;

/// One page. A clone shares the block; whoever writes first copies it.
#[derive(Clone, Default)]
pub(super) struct Leaf {
    block: Arc<[u8]>,
    outside: Option<Box<Outside>>,
    count: u16,
    /// How many slots the block has room for.
    slots: u16,
    /// Where the records end, from where they begin.
    heap: u16,
    /// Bytes of records that are gone.
    dead: u16,
}

/// Walks the places of the elements with one tag, a word of tags at a time.
pub(super) struct Tagged<'a> {
    words: std::slice::Iter<'a, [u8; LANES]>,
    /// The tag in every byte.
    pattern: u64,
    /// The high bits of the bytes of the last word that are the tag and were not told yet.
    hits: u64,
    /// The place behind the last word.
    next: usize,
    count: usize,
}

/// Long members of one page.
#[derive(Clone, Default)]
struct Outside(Vec<Arc<[u8]>>);

impl Leaf {
    /// An empty page with room for this many elements with these bytes of records, and about `spare` bytes more: what
    /// the allocator gives. The room beyond is for more elements of the same length.
    fn with_room(count: usize, heap: usize, spare: usize) -> Leaf {
        let want = count * SLOT_BYTES + heap;
        let bytes = (rounded(want + spare + ARC_BYTES) - ARC_BYTES).min(PAGE_BYTES).max(want);
        let more = (bytes - want).checked_div(want.checked_div(count).unwrap_or(0)).unwrap_or(0);
        Leaf { block: std::iter::repeat_n(0, bytes).collect(), slots: (count + more) as u16, ..Leaf::default() }
    }

    /// A page with one element.
    pub(super) fn with_one(score: f64, member: &[u8], tag: u8) -> Leaf {
        let mut page = Leaf::default();
        page.insert(0, score, member, tag);
        page
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes that the elements take, without slack.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.count() * SLOT_BYTES + self.live()
    }

    /// Whether one more member of this length has room within a page.
    pub(super) fn fits(&self, member: usize) -> bool {
        self.used() + SLOT_BYTES + record_bytes(member) <= PAGE_BYTES
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let block = if self.block.is_empty() { 0 } else { rounded(self.block.len() + ARC_BYTES) };
        block + self.outside.as_ref().map_or(0, |outside| outside.heap_bytes())
    }

    #[inline]
    pub(super) fn score(&self, index: usize) -> f64 {
        let at = self.scores_at() + index * 8;
        f64::from_le_bytes(self.block[at..at + 8].try_into().expect("eight bytes"))
    }

    #[inline]
    pub(super) fn member(&self, index: usize) -> &[u8] {
        let record = &self.block[self.heap_at() + self.offset(index)..];
        match *record {
            [OUTSIDE, high, low, ..] => {
                let outside = self.outside.as_ref().expect("the record names a member beside the page");
                &outside.0[u16::from_be_bytes([high, low]) as usize]
            }
            [short, ref rest @ ..] if short < 0x80 => &rest[..short as usize],
            [high, low, ref rest @ ..] => &rest[..u16::from_be_bytes([high & 0x7f, low]) as usize],
            _ => unreachable!("offsets point at records"),
        }
    }

    /// How many elements stand before this one.
    pub(super) fn lower_bound(&self, score: f64, member: &[u8]) -> usize {
        self.partition(|index| match self.score(index).partial_cmp(&score) {
            Some(Ordering::Equal) => self.member(index) < member,
            order => order == Some(Ordering::Less),
        })
    }

    /// How many elements, from the first on, `before` holds for.
    #[inline]
    pub(super) fn partition(&self, before: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = (low + high) / 2;
            if before(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Where this member is.
    #[inline]
    pub(super) fn find(&self, tag: u8, member: &[u8]) -> Option<usize> {
        self.tagged(tag).find(|&index| self.member(index) == member)
    }

    /// Where elements with this tag are.
    #[inline]
    pub(super) fn tagged(&self, tag: u8) -> Tagged<'_> {
        let count = self.count();
        // Eleven bytes a slot: behind the last tag there are always enough bytes for a whole word.
        let (words, _) = self.block[..count.next_multiple_of(LANES)].as_chunks();
        Tagged { words: words.iter(), pattern: LOW_BITS * u64::from(tag), hits: 0, next: 0, count }
    }

    /// Asks the memory for what finding a member reads first: tags and offsets.
    #[inline]
    pub(super) fn prefetch(&self) {
        let block = self.block.as_ptr();
        let offsets = block.wrapping_add(self.offsets_at());
        for line in 0..self.slots as usize / LINE_BYTES + 1 {
            prefetch(block.wrapping_add(line * LINE_BYTES));
            prefetch(offsets.wrapping_add(line * 2 * LINE_BYTES));
            prefetch(offsets.wrapping_add((line * 2 + 1) * LINE_BYTES));
        }
    }

    /// Whether the element may have this score where it stands, as far as its neighbours in this page tell.
    pub(super) fn stays(&self, index: usize, score: f64, member: &[u8]) -> bool {
        let before = |left: usize| match self.score(left).partial_cmp(&score) {
            Some(Ordering::Equal) => self.member(left) < member,
            order => order == Some(Ordering::Less),
        };
        index > 0 && index + 1 < self.count() && before(index - 1) && !before(index + 1)
    }

    /// Writes a score over another; the order must stay as it is.
    pub(super) fn set_score(&mut self, index: usize, score: f64) {
        let at = self.scores_at() + index * 8;
        Arc::make_mut(&mut self.block)[at..at + 8].copy_from_slice(&score.to_le_bytes());
    }

    /// Puts an element in at its place; it must fit ([`Leaf::fits`]).
    pub(super) fn insert(&mut self, index: usize, score: f64, member: &[u8], tag: u8) {
        let record = record_bytes(member.len());
        self.make_room(record);
        let (count, slots, heap) = (self.count(), self.slots as usize, self.heap as usize);
        let (offsets_at, heap_at) = (self.offsets_at(), self.heap_at());
        let beside = (member.len() > INLINE_MAX).then(|| self.put_outside(member.into()));
        let block = Arc::make_mut(&mut self.block);
        block.copy_within(index..count, index + 1);
        block[index] = tag;
        shift(&mut block[slots..], index, count, 8);
        block[slots + index * 8..][..8].copy_from_slice(&score.to_le_bytes());
        shift(&mut block[offsets_at..], index, count, 2);
        block[offsets_at + index * 2..][..2].copy_from_slice(&self.heap.to_le_bytes());
        write_record(&mut block[heap_at + heap..], member, beside);
        self.heap += record as u16;
        self.count += 1;
    }

    /// Takes one element out.
    pub(super) fn remove(&mut self, index: usize) {
        self.remove_span(index..index + 1);
    }

    /// Takes several elements out.
    pub(super) fn remove_span(&mut self, span: Range<usize>) {
        // A long member that goes changes another's record: one at a time.
        if self.outside.is_some() && span.len() > 1 {
            return span.rev().for_each(|index| self.remove(index));
        }
        for index in span.clone() {
            self.drop_record(index);
        }
        let (count, slots, offsets_at) = (self.count(), self.slots as usize, self.offsets_at());
        let block = Arc::make_mut(&mut self.block);
        block.copy_within(span.end..count, span.start);
        block.copy_within(slots + span.end * 8..slots + count * 8, slots + span.start * 8);
        block.copy_within(offsets_at + span.end * 2..offsets_at + count * 2, offsets_at + span.start * 2);
        self.count -= span.len() as u16;
        if self.used() * 2 < self.block.len() {
            *self = self.part(0..self.count());
        }
    }

    /// The elements of a range as a page of their own.
    pub(super) fn part(&self, range: Range<usize>) -> Leaf {
        let heap = range.clone().map(|index| record_bytes(self.member(index).len())).sum();
        let mut part = Leaf::with_room(range.len(), heap, 0);
        part.extend(self, range);
        part
    }

    /// Adds all of another page's elements, which come after this one's.
    pub(super) fn append(&mut self, other: &Leaf) {
        let mut both = Leaf::with_room(self.count() + other.count(), self.live() + other.live(), 0);
        both.extend(self, 0..self.count());
        both.extend(other, 0..other.count());
        *self = both;
    }

    /// Where to cut so that both sides have about the same bytes; neither is empty.
    pub(super) fn middle(&self) -> usize {
        let half = self.used() / 2;
        let mut bytes = 0;
        for index in 0..self.count() {
            bytes += SLOT_BYTES + record_bytes(self.member(index).len());
            if bytes >= half {
                return (index + 1).min(self.count() - 1);
            }
        }
        self.count() / 2
    }

    /// Adds elements of another page behind all others; there is room for them.
    fn extend(&mut self, from: &Leaf, range: Range<usize>) {
        if from.outside.is_none() && self.slots as usize >= self.count() + range.len() {
            return self.extend_inline(from, range);
        }
        for index in range {
            let (score, tag) = (from.score(index), from.block[index]);
            match from.outside_index(index) {
                None => self.insert(self.count(), score, from.member(index), tag),
                Some(place) => {
                    let shared = from.outside.as_ref().expect("it has one")[place].clone();
                    self.insert_shared(score, shared, tag);
                }
            }
        }
    }

    /// The same where no member lies beside the page.
    fn extend_inline(&mut self, from: &Leaf, range: Range<usize>) {
        let (count, slots, heap_at) = (self.count(), self.slots as usize, self.heap_at());
        let (offsets_at, mut heap) = (self.offsets_at() + count * 2, self.heap as usize);
        let scores = &from.block[from.scores_at()..from.offsets_at()];
        let block = Arc::make_mut(&mut self.block);
        block[count..count + range.len()].copy_from_slice(&from.block[range.clone()]);
        block[slots + count * 8..][..range.len() * 8].copy_from_slice(&scores[range.start * 8..range.end * 8]);
        for (place, index) in range.clone().enumerate() {
            let record = from.record(index);
            block[offsets_at + place * 2..][..2].copy_from_slice(&(heap as u16).to_le_bytes());
            block[heap_at + heap..][..record.len()].copy_from_slice(record);
            heap += record.len();
        }
        self.heap = heap as u16;
        self.count += range.len() as u16;
    }

    /// An element's record, of a member that does not lie beside the page.
    #[inline]
    fn record(&self, index: usize) -> &[u8] {
        let bytes = &self.block[self.heap_at() + self.offset(index)..];
        match *bytes {
            [short, ..] if short < 0x80 => &bytes[..1 + short as usize],
            [high, low, ..] => &bytes[..2 + u16::from_be_bytes([high & 0x7f, low]) as usize],
            _ => unreachable!("offsets point at records"),
        }
    }

    /// Adds an element behind all others, sharing a long member with another page.
    fn insert_shared(&mut self, score: f64, member: Arc<[u8]>, tag: u8) {
        self.make_room(OUTSIDE_BYTES);
        let (index, slots) = (self.count(), self.slots as usize);
        let (offsets_at, record_at) = (self.offsets_at(), self.heap_at() + self.heap as usize);
        let place = self.put_outside(member);
        let block = Arc::make_mut(&mut self.block);
        block[index] = tag;
        block[slots + index * 8..][..8].copy_from_slice(&score.to_le_bytes());
        block[offsets_at + index * 2..][..2].copy_from_slice(&self.heap.to_le_bytes());
        write_record(&mut block[record_at..], &[], Some(place));
        self.heap += OUTSIDE_BYTES as u16;
        self.count += 1;
    }

    /// Room for one more slot and a record; a block without it is replaced by one a little larger.
    fn make_room(&mut self, record: usize) {
        let room = self.block.len() - self.heap_at();
        if self.count < self.slots && self.heap as usize + record <= room {
            return;
        }
        // A sixteenth more than needed: a page is not copied for each element while it grows.
        let (count, live) = (self.count() + 1, self.live() + record);
        let mut grown = Leaf::with_room(count, live, (count * SLOT_BYTES + live) / 16);
        if self.dead == 0 {
            grown.adopt(self)
        } else {
            grown.extend(self, 0..self.count())
        }
        *self = grown;
    }

    /// Takes over all elements of a page without dead records, into an empty one with room for them.
    fn adopt(&mut self, from: &mut Leaf) {
        let (count, heap) = (from.count(), from.heap as usize);
        let (scores_at, offsets_at, heap_at) = (self.scores_at(), self.offsets_at(), self.heap_at());
        let block = Arc::make_mut(&mut self.block);
        block[..count].copy_from_slice(&from.block[..count]);
        block[scores_at..][..count * 8].copy_from_slice(&from.block[from.scores_at()..][..count * 8]);
        block[offsets_at..][..count * 2].copy_from_slice(&from.block[from.offsets_at()..][..count * 2]);
        block[heap_at..][..heap].copy_from_slice(&from.block[from.heap_at()..][..heap]);
        (self.count, self.heap, self.outside) = (from.count, from.heap, from.outside.take());
    }

    fn put_outside(&mut self, member: Arc<[u8]>) -> u16 {
        let outside = self.outside.get_or_insert_default();
        outside.0.push(member);
        (outside.0.len() - 1) as u16
    }

    /// Forgets an element's record; its slot stays for the caller to take away.
    fn drop_record(&mut self, index: usize) {
        let offset = self.offset(index);
        let bytes = match self.outside_index(index) {
            None => record_bytes(self.member(index).len()),
            Some(place) => {
                self.drop_outside(place);
                OUTSIDE_BYTES
            }
        };
        if offset + bytes == self.heap as usize {
            self.heap -= bytes as u16;
        } else {
            self.dead += bytes as u16;
        }
    }

    /// Takes a long member out; the last one moves to its place.
    fn drop_outside(&mut self, place: usize) {
        let outside = self.outside.as_mut().expect("it has one");
        outside.0.swap_remove(place);
        let last = outside.0.len();
        if last == 0 {
            self.outside = None;
            return;
        }
        if let Some(moved) = (0..self.count()).find(|&index| self.outside_index(index) == Some(last)) {
            let at = self.heap_at() + self.offset(moved) + 1;
            Arc::make_mut(&mut self.block)[at..at + 2].copy_from_slice(&(place as u16).to_be_bytes());
        }
    }

    fn outside_index(&self, index: usize) -> Option<usize> {
        match self.block[self.heap_at() + self.offset(index)..] {
            [OUTSIDE, high, low, ..] => Some(u16::from_be_bytes([high, low]) as usize),
            _ => None,
        }
    }

    #[inline]
    fn live(&self) -> usize {
        (self.heap - self.dead) as usize
    }

    #[inline]
    fn scores_at(&self) -> usize {
        self.slots as usize
    }

    #[inline]
    fn offsets_at(&self) -> usize {
        self.slots as usize * 9
    }

    #[inline]
    fn heap_at(&self) -> usize {
        self.slots as usize * SLOT_BYTES
    }

    #[inline]
    fn offset(&self, index: usize) -> usize {
        let at = self.offsets_at() + index * 2;
        u16::from_le_bytes([self.block[at], self.block[at + 1]]) as usize
    }
}

impl Outside {
    fn heap_bytes(&self) -> usize {
        let members: usize = self.0.iter().map(|member| rounded(member.len() + ARC_BYTES)).sum();
        rounded(size_of::<Outside>()) + rounded(self.0.len() * size_of::<Arc<[u8]>>()) + members
    }
}

impl Iterator for Tagged<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.hits == 0 {
            let others = u64::from_le_bytes(*self.words.next()?) ^ self.pattern;
            // The high bit of each byte that is zero; no carry leaves a byte.
            self.hits = !(((others & !HIGH_BITS) + !HIGH_BITS) | others) & HIGH_BITS;
            self.next += LANES;
        }
        let index = self.next - LANES + self.hits.trailing_zeros() as usize / 8;
        self.hits &= self.hits - 1;
        (index < self.count).then_some(index)
    }
}

impl std::ops::Index<usize> for Outside {
    type Output = Arc<[u8]>;

    fn index(&self, place: usize) -> &Arc<[u8]> {
        &self.0[place]
    }
}

/// Bytes of the record of a member of this length.
const fn record_bytes(member: usize) -> usize {
    match member {
        0..0x80 => 1 + member,
        0x80..=INLINE_MAX => 2 + member,
        _ => OUTSIDE_BYTES,
    }
}

fn write_record(record: &mut [u8], member: &[u8], outside: Option<u16>) {
    if let Some(place) = outside {
        record[0] = OUTSIDE;
        record[1..3].copy_from_slice(&place.to_be_bytes());
    } else if member.len() < 0x80 {
        record[0] = member.len() as u8;
        record[1..1 + member.len()].copy_from_slice(member);
    } else {
        record[..2].copy_from_slice(&(member.len() as u16 | 0x8000).to_be_bytes());
        record[2..2 + member.len()].copy_from_slice(member);
    }
}

/// Moves the fields from `index` to `count` up by one; `width` bytes each.
#[inline]
fn shift(fields: &mut [u8], index: usize, count: usize, width: usize) {
    fields.copy_within(index * width..count * width, (index + 1) * width);
}
