//! A long byte string as a list of reference-counted 64 KiB segments, so that nothing longer is ever copied at once.

use std::sync::Arc;

use crate::lazy;

/// Bytes in every segment but the last.
pub const SEGMENT_BYTES: usize = 64 * 1024;

/// A byte string in segments. All but the last are full; cloning shares them; writing copies only a shared segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    parts: Vec<Arc<Vec<u8>>>,
    len: usize,
}

impl Segments {
    /// An empty string.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies `bytes` into segments.
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut segments = Self::new();
        segments.extend(bytes);
        segments
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segments in order.
    pub fn parts(&self) -> &[Arc<Vec<u8>>] {
        &self.parts
    }

    /// Heap bytes this list accounts for: capacities of its segments plus the list itself.
    pub fn heap_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.capacity() + 48).sum::<usize>() + self.parts.capacity() * 8
    }

    /// Appends bytes; only the last segment is touched.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.tail_room();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            let last = self.parts.last_mut().expect("tail_room leaves a segment with room");
            let part = Arc::make_mut(last);
            grow(part, now.len());
            part.extend_from_slice(now);
            self.len += now.len();
            bytes = rest;
        }
    }

    /// Appends `count` zero bytes.
    pub fn extend_zeroes(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let now = self.tail_room().min(left);
            let last = self.parts.last_mut().expect("tail_room leaves a segment with room");
            let part = Arc::make_mut(last);
            grow(part, now);
            part.resize(part.len() + now, 0);
            self.len += now;
            left -= now;
        }
    }

    /// Overwrites bytes from `at`, growing (with zeroes in a gap) where needed.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) {
        if at > self.len {
            self.extend_zeroes(at - self.len);
        }
        let inside = bytes.len().min(self.len - at);
        let (over, append) = bytes.split_at(inside);
        let mut done = 0;
        while done < over.len() {
            let (index, offset) = ((at + done) / SEGMENT_BYTES, (at + done) % SEGMENT_BYTES);
            let part = Arc::make_mut(&mut self.parts[index]);
            let now = (part.len() - offset).min(over.len() - done);
            part[offset..offset + now].copy_from_slice(&over[done..done + now]);
            done += now;
        }
        self.extend(append);
    }

    /// The slices that make up `start..end` (clamped to the length).
    pub fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        let end = end.min(self.len);
        let start = start.min(end);
        let first = start / SEGMENT_BYTES;
        let last = end.div_ceil(SEGMENT_BYTES);
        (first..last).map(move |index| {
            let base = index * SEGMENT_BYTES;
            let from = start.saturating_sub(base);
            let to = (end - base).min(self.parts[index].len());
            &self.parts[index][from..to]
        })
    }

    /// All bytes, contiguous.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        for part in &self.parts {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Makes sure the last segment has room and says how much.
    fn tail_room(&mut self) -> usize {
        match self.parts.last() {
            Some(last) if last.len() < SEGMENT_BYTES => SEGMENT_BYTES - last.len(),
            _ => {
                self.parts.push(Arc::new(Vec::new()));
                SEGMENT_BYTES
            }
        }
    }
}

impl Drop for Segments {
    #[inline]
    fn drop(&mut self) {
        lazy::free(std::mem::take(&mut self.parts));
    }
}

/// Makes room for `more` bytes, doubling like a vector does but never beyond a full segment.
fn grow(part: &mut Vec<u8>, more: usize) {
    let needed = part.len() + more;
    if needed > part.capacity() {
        let target = needed.max(2 * part.capacity()).min(SEGMENT_BYTES);
        part.reserve_exact(target - part.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_one_vector() {
        let mut segments = Segments::from_slice(&vec![7u8; SEGMENT_BYTES + 5]);
        let mut model = vec![7u8; SEGMENT_BYTES + 5];
        let shared = segments.clone();
        segments.write_at(SEGMENT_BYTES - 2, b"abcdef");
        model[SEGMENT_BYTES - 2..SEGMENT_BYTES + 4].copy_from_slice(b"abcdef");
        assert_eq!(segments.to_vec(), model);
        segments.write_at(3 * SEGMENT_BYTES, b"end");
        model.resize(3 * SEGMENT_BYTES, 0);
        model.extend_from_slice(b"end");
        assert_eq!(segments.to_vec(), model);
        assert_eq!(segments.len(), model.len());
        assert_eq!(shared.to_vec(), vec![7u8; SEGMENT_BYTES + 5], "a clone keeps the bytes it shared");
        let part: Vec<u8> = segments.range(SEGMENT_BYTES - 3, 2 * SEGMENT_BYTES + 1).flatten().copied().collect();
        assert_eq!(part, &model[SEGMENT_BYTES - 3..2 * SEGMENT_BYTES + 1]);
        assert_eq!(segments.range(9, 9).flatten().count(), 0);
        assert_eq!(segments.range(model.len() + 5, model.len() + 9).flatten().count(), 0);
    }

    #[test]
    fn segments_filled_bit_by_bit_hold_no_more_than_they_need() {
        let mut segments = Segments::new();
        (0..33).for_each(|_| segments.extend(&[1; 16_000]));
        assert!(segments.parts().iter().all(|part| part.capacity() <= SEGMENT_BYTES));
        assert_eq!(segments.len(), 33 * 16_000);
    }
}
