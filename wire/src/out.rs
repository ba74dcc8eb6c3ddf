//! The reply buffer: RESP2, RESP3 and raw (memcached) replies written in place, long values by reference.

use std::io::IoSlice;
use std::sync::Arc;

use crate::segments::Segments;

/// The reply dialect of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// Slices longer than this are sent from where they lie (by `writev`) instead of being copied.
const REFERENCE_BYTES_MIN: usize = 16 * 1024;

/// A place in the buffer where bytes from elsewhere are to be sent.
#[derive(Clone, Debug)]
struct Splice {
    /// Position in `buf` before which the part goes.
    at: usize,
    part: Arc<Vec<u8>>,
    from: usize,
    to: usize,
}

/// Replies in order. Counts the data bytes it was given, for the meter: payloads of bulk and verbatim strings,
/// big numbers and doubles, memcached values; never headers, statuses, errors, integers.
#[derive(Debug, Default)]
pub struct Out {
    buf: Vec<u8>,
    splices: Vec<Splice>,
    spliced_bytes: usize,
    data_bytes: u64,
    proto: Proto,
}

impl Out {
    /// An empty buffer.
    pub fn new(proto: Proto) -> Self {
        Self { proto, ..Self::default() }
    }

    /// The dialect in use.
    #[inline]
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the dialect for what is written next.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// Bytes waiting to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len() + self.spliced_bytes
    }

    /// Whether nothing waits to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Data bytes written since the buffer was made (see the type); take differences.
    #[inline]
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The contiguous bytes if nothing is spliced in.
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        self.splices.is_empty().then_some(&self.buf[..])
    }

    /// All bytes, contiguous (tests, transactions, tools).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.pieces(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// All bytes in one piece; copied only if some were spliced in.
    pub fn into_vec(self) -> Vec<u8> {
        if self.splices.is_empty() { self.buf } else { self.to_vec() }
    }

    /// Fills `slices` with up to its capacity of pieces, skipping the first `skip` bytes; for `writev`.
    pub fn io_slices<'a>(&'a self, mut skip: usize, limit: usize, slices: &mut Vec<IoSlice<'a>>) {
        self.pieces(|piece| {
            let hidden = skip.min(piece.len());
            skip -= hidden;
            if hidden < piece.len() && slices.len() < limit {
                slices.push(IoSlice::new(&piece[hidden..]));
            }
        });
    }

    /// Forgets everything written, keeps the allocation (unless it has grown large).
    #[inline]
    pub fn clear(&mut self) {
        self.buf.clear();
        if !self.splices.is_empty() {
            self.splices.clear();
            self.spliced_bytes = 0;
        }
        if self.buf.capacity() > 1024 * 1024 {
            self.buf.shrink_to(64 * 1024);
        }
    }

    /// A mark to return to with [`Out::truncate`].
    pub fn mark(&self) -> Mark {
        Mark { buf: self.buf.len(), splices: self.splices.len(), data_bytes: self.data_bytes }
    }

    /// Takes back what was written since `mark`.
    pub fn truncate(&mut self, mark: Mark) {
        self.buf.truncate(mark.buf);
        self.splices.truncate(mark.splices);
        self.spliced_bytes = self.splices.iter().map(|splice| splice.to - splice.from).sum();
        self.data_bytes = mark.data_bytes;
    }

    /// Takes what was written since `mark` out into a buffer of its own.
    pub fn split_off(&mut self, mark: Mark) -> Out {
        let splices: Vec<Splice> =
            self.splices.drain(mark.splices..).map(|splice| Splice { at: splice.at - mark.buf, ..splice }).collect();
        let spliced_bytes = splices.iter().map(|splice| splice.to - splice.from).sum();
        let rest = Out {
            buf: self.buf.split_off(mark.buf),
            splices,
            spliced_bytes,
            data_bytes: self.data_bytes - mark.data_bytes,
            proto: self.proto,
        };
        self.truncate(mark);
        rest
    }

    /// Adds `count` zero bytes, to be overwritten through [`Out::contiguous_mut`]; returns where they begin.
    #[inline]
    pub fn gap(&mut self, count: usize) -> usize {
        let at = self.buf.len();
        self.buf.resize(at + count, 0);
        at
    }

    /// The contiguous bytes (all but what is spliced in), to fill in what is known only later.
    #[inline]
    pub fn contiguous_mut(&mut self) -> &mut [u8] {
        &mut self.buf
    }

    /// Takes back all contiguous bytes from `at` on. Nothing may be spliced in.
    pub fn shorten(&mut self, at: usize) {
        debug_assert!(self.splices.is_empty(), "spliced parts would move");
        self.buf.truncate(at);
    }

    /// Exchanges the contiguous bytes with another buffer, so that one can be sent while the other is written. Nothing
    /// may be spliced in.
    #[inline]
    pub fn swap_contiguous(&mut self, bytes: &mut Vec<u8>) {
        debug_assert!(self.splices.is_empty(), "spliced parts have no place in the other buffer");
        std::mem::swap(&mut self.buf, bytes);
    }

    /// Copies up to `max` bytes of `from`, from `place` on, to the end of this buffer; `place` moves on.
    pub fn copy_from(&mut self, from: &Out, place: &mut Place, max: usize) {
        let mut left = max;
        while left > 0 {
            let splice = from.splices.get(place.splice);
            let here = match splice {
                Some(splice) if place.at == splice.at => &splice.part[splice.from + place.inside..splice.to],
                Some(splice) => &from.buf[place.at..splice.at],
                None => &from.buf[place.at..],
            };
            let now = here.len().min(left);
            self.buf.extend_from_slice(&here[..now]);
            left -= now;
            match splice {
                Some(splice) if place.at == splice.at => {
                    place.inside += now;
                    if place.inside == splice.to - splice.from {
                        *place = Place { splice: place.splice + 1, inside: 0, ..*place };
                    }
                }
                None if now == 0 => return,
                _ => place.at += now,
            }
        }
    }

    /// Moves everything of `other` to the end of this buffer.
    pub fn append(&mut self, other: &mut Out) {
        let base = self.buf.len();
        self.buf.append(&mut other.buf);
        self.spliced_bytes += std::mem::take(&mut other.spliced_bytes);
        self.splices.extend(other.splices.drain(..).map(|splice| Splice { at: splice.at + base, ..splice }));
        self.data_bytes += std::mem::take(&mut other.data_bytes);
    }

    /// Moves everything of `other` to the end of this buffer, its bytes staying where they lie: for what is long, and would
    /// be copied again and again while this buffer grows.
    pub fn attach(&mut self, other: Out) {
        let Out { buf, splices, spliced_bytes, data_bytes, proto: _ } = other;
        let (at, part, mut from) = (self.buf.len(), Arc::new(buf), 0);
        let own = |from: usize, to: usize, all: &mut Vec<Splice>| {
            if to > from {
                all.push(Splice { at, part: part.clone(), from, to });
            }
        };
        for splice in splices {
            own(from, splice.at, &mut self.splices);
            from = splice.at;
            self.splices.push(Splice { at, ..splice });
        }
        own(from, part.len(), &mut self.splices);
        self.spliced_bytes += spliced_bytes + part.len();
        self.data_bytes += data_bytes;
    }

    /// Has what is written stay where it lies if it is so much: a buffer that grows on is copied each time.
    pub fn set_aside(&mut self, bytes_min: usize) {
        if self.buf.len() >= bytes_min {
            let written = std::mem::replace(self, Out::new(self.proto));
            self.attach(written);
        }
    }

    // === replies ===

    /// `+OK\r\n` and its like: `status` holds no line end.
    #[inline]
    pub fn simple(&mut self, status: &str) {
        self.buf.reserve(status.len() + 3);
        self.buf.push(b'+');
        self.buf.extend_from_slice(status.as_bytes());
        self.crlf();
    }

    /// `+OK\r\n`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// An error line; `text` begins with its code ("ERR …"). Line ends inside become spaces.
    pub fn error(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error line from bytes that may not be UTF-8 (they quote a client's argument).
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.buf.push(b'-');
        self.buf.extend(text.iter().map(|&byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
        self.crlf();
    }

    /// `:n\r\n`.
    #[inline]
    pub fn int(&mut self, n: i64) {
        self.buf.push(b':');
        self.decimal(n);
        self.crlf();
    }

    /// A boolean: `#t` in RESP3, 1 or 0 before.
    pub fn bool(&mut self, value: bool) {
        match self.proto {
            Proto::Resp2 => self.int(i64::from(value)),
            Proto::Resp3 => self.buf.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.data_bytes += bytes.len() as u64;
        self.buf.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len());
        self.buf.extend_from_slice(bytes);
        self.crlf();
    }

    /// A bulk string that is already in segments; long parts are sent from where they lie.
    pub fn bulk_segments(&mut self, segments: &Segments) {
        self.bulk_segments_range(segments, 0, segments.len());
    }

    /// A bulk string of the bytes `start..end` of `segments`.
    pub fn bulk_segments_range(&mut self, segments: &Segments, start: usize, end: usize) {
        let end = end.min(segments.len());
        let start = start.min(end);
        self.header(b'$', end - start);
        self.raw_segments(segments, start, end);
        self.crlf();
    }

    /// A bulk string of what another buffer holds, which is not copied.
    pub fn bulk_attached(&mut self, mut body: Out) {
        body.data_bytes = body.len() as u64;
        self.header(b'$', body.len());
        self.attach(body);
        self.crlf();
    }

    /// A bulk string of an integer's decimal digits.
    pub fn bulk_int(&mut self, n: i64) {
        let mut digits = [0; 20];
        let digits = format_i64(n, &mut digits);
        self.bulk(digits);
    }

    /// A double: `,` in RESP3, a bulk string before; `text` is its shortest exact form.
    pub fn double(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.data_bytes += text.len() as u64;
                self.buf.push(b',');
                self.buf.extend_from_slice(text.as_bytes());
                self.crlf();
            }
        }
    }

    /// A verbatim string (`txt`) in RESP3, a bulk string before.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.data_bytes += text.len() as u64;
                self.header(b'=', text.len() + 4);
                self.buf.extend_from_slice(b"txt:");
                self.buf.extend_from_slice(text);
                self.crlf();
            }
        }
    }

    /// No value: `_` in RESP3, the null bulk string before.
    #[inline]
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.buf.extend_from_slice(b"$-1\r\n"),
            Proto::Resp3 => self.buf.extend_from_slice(b"_\r\n"),
        }
    }

    /// No array: `_` in RESP3, the null array before.
    pub fn null_array(&mut self) {
        match self.proto {
            Proto::Resp2 => self.buf.extend_from_slice(b"*-1\r\n"),
            Proto::Resp3 => self.buf.extend_from_slice(b"_\r\n"),
        }
    }

    /// The head of an array of `count` replies.
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// The head of a map of `pairs` pairs: `%` in RESP3, an array of twice as many before.
    pub fn map(&mut self, pairs: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', pairs * 2),
            Proto::Resp3 => self.header(b'%', pairs),
        }
    }

    /// The head of a set: `~` in RESP3, an array before.
    pub fn set(&mut self, count: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', count),
            Proto::Resp3 => self.header(b'~', count),
        }
    }

    /// The head of a push message: `>` in RESP3, an array before.
    pub fn push(&mut self, count: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', count),
            Proto::Resp3 => self.header(b'>', count),
        }
    }

    // === raw: memcached, and building blocks ===

    /// Bytes as they are, not counted as data.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// A value's bytes as they are, counted as data.
    #[inline]
    pub fn raw_data(&mut self, bytes: &[u8]) {
        self.data_bytes += bytes.len() as u64;
        self.buf.extend_from_slice(bytes);
    }

    /// The bytes `start..end` of `segments`, counted as data; long parts are spliced in by reference.
    pub fn raw_segments(&mut self, segments: &Segments, start: usize, end: usize) {
        let mut at = start;
        self.data_bytes += (end - start) as u64;
        while at < end {
            let (index, from) = (at / crate::SEGMENT_BYTES, at % crate::SEGMENT_BYTES);
            let part = &segments.parts()[index];
            let to = part.len().min(from + (end - at));
            if to - from >= REFERENCE_BYTES_MIN {
                self.splices.push(Splice { at: self.buf.len(), part: part.clone(), from, to });
                self.spliced_bytes += to - from;
            } else {
                self.buf.extend_from_slice(&part[from..to]);
            }
            at += to - from;
        }
    }

    /// Bytes that are shared with other buffers, not counted as data; many are spliced in by reference.
    pub fn raw_shared(&mut self, bytes: &Arc<Vec<u8>>) {
        if bytes.len() < REFERENCE_BYTES_MIN {
            return self.buf.extend_from_slice(bytes);
        }
        self.splices.push(Splice { at: self.buf.len(), part: bytes.clone(), from: 0, to: bytes.len() });
        self.spliced_bytes += bytes.len();
    }

    /// An integer's decimal digits as they are.
    #[inline]
    pub fn decimal(&mut self, n: i64) {
        let mut digits = [0; 20];
        let digits = format_i64(n, &mut digits);
        self.buf.extend_from_slice(digits);
    }

    /// An unsigned integer's decimal digits as they are.
    #[inline]
    pub fn decimal_u64(&mut self, n: u64) {
        let mut digits = [0; 20];
        let digits = format_u64(n, &mut digits);
        self.buf.extend_from_slice(digits);
    }

    #[inline]
    fn header(&mut self, kind: u8, count: usize) {
        if count < 10 {
            self.buf.extend_from_slice(&[kind, b'0' + count as u8, b'\r', b'\n']);
            return;
        }
        if count < 100 {
            self.buf.extend_from_slice(&[kind, b'0' + (count / 10) as u8, b'0' + (count % 10) as u8, b'\r', b'\n']);
            return;
        }
        self.buf.push(kind);
        self.decimal_u64(count as u64);
        self.crlf();
    }

    #[inline]
    fn crlf(&mut self) {
        self.buf.extend_from_slice(b"\r\n");
    }

    fn pieces<'a>(&'a self, mut each: impl FnMut(&'a [u8])) {
        let mut from = 0;
        for splice in &self.splices {
            if splice.at > from {
                each(&self.buf[from..splice.at]);
            }
            from = splice.at;
            each(&splice.part[splice.from..splice.to]);
        }
        if from < self.buf.len() {
            each(&self.buf[from..]);
        }
    }
}

impl Mark {
    /// Offset in the contiguous bytes.
    pub fn at(&self) -> usize {
        self.buf
    }
}

/// How far a buffer was copied; see [`Out::copy_from`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// In the contiguous bytes.
    at: usize,
    /// Splices that are done.
    splice: usize,
    /// Bytes of the next one that are done.
    inside: usize,
}

/// See [`Out::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    buf: usize,
    splices: usize,
    data_bytes: u64,
}

/// The decimal digits of `n`, written to the end of `digits`.
#[inline]
pub fn format_i64(n: i64, digits: &mut [u8; 20]) -> &[u8] {
    let from = 20 - format_u64(n.unsigned_abs(), digits).len();
    if n >= 0 {
        return &digits[from..];
    }
    digits[from - 1] = b'-';
    &digits[from - 1..]
}

/// The decimal digits of `n`, written to the end of `digits`.
#[inline]
pub fn format_u64(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = 20;
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_in_both_dialects() {
        let mut out = Out::new(Proto::Resp2);
        out.null();
        out.map(1);
        out.bulk(b"k");
        out.double("1.5");
        out.set_proto(Proto::Resp3);
        out.null();
        out.map(1);
        out.bulk(b"k");
        out.double("1.5");
        out.int(i64::MIN);
        out.error("ERR a\r\nb");
        let expected =
            "$-1\r\n*2\r\n$1\r\nk\r\n$3\r\n1.5\r\n_\r\n%1\r\n$1\r\nk\r\n,1.5\r\n:-9223372036854775808\r\n-ERR a  b\r\n";
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), expected);
        assert_eq!(out.data_bytes(), 8);
    }

    #[test]
    fn long_values_are_spliced_in_place() {
        let value: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        let segments = Segments::from_slice(&value);
        let mut out = Out::new(Proto::Resp2);
        out.ok();
        let mark = out.mark();
        out.bulk_segments(&segments);
        out.truncate(mark);
        out.bulk_segments_range(&segments, 10, 150_000);
        out.ok();
        let expected = [b"+OK\r\n$149990\r\n", &value[10..150_000], b"\r\n+OK\r\n"].concat();
        assert_eq!(out.to_vec(), expected);
        assert_eq!(out.len(), expected.len());
        let mut slices = Vec::new();
        out.io_slices(20, 64, &mut slices);
        let sent: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(sent, &expected[20..]);
    }

    #[test]
    fn parts_are_split_off_and_copied_piece_by_piece() {
        let value: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let segments = Segments::from_slice(&value);
        let mut out = Out::new(Proto::Resp2);
        out.bulk_segments_range(&segments, 0, 20_000);
        let (mark, before) = (out.mark(), out.to_vec());
        out.ok();
        out.bulk_segments(&segments);
        out.bulk_segments_range(&segments, 65_536, 131_072);
        let whole = out.to_vec();
        let rest = out.split_off(mark);
        assert_eq!((out.to_vec(), out.len(), out.data_bytes()), (before.clone(), before.len(), 20_000));
        assert_eq!(
            (rest.to_vec(), rest.len(), rest.data_bytes()),
            (whole[before.len()..].to_vec(), whole.len() - before.len(), 265_536)
        );
        for step in [1_000, 65_536, 70_000, usize::MAX] {
            let (mut copy, mut place) = (Out::new(Proto::Resp2), Place::default());
            while copy.len() < rest.len() {
                let before = copy.len();
                copy.copy_from(&rest, &mut place, step);
                assert!(copy.len() > before && copy.len() - before <= step);
            }
            copy.copy_from(&rest, &mut place, 10);
            assert_eq!(copy.to_vec(), rest.to_vec());
        }
        let mut bytes = b"x".to_vec();
        let mut plain = Out::new(Proto::Resp2);
        let at = plain.gap(2);
        plain.contiguous_mut()[at..].copy_from_slice(b"ab");
        plain.swap_contiguous(&mut bytes);
        assert_eq!((plain.to_vec(), bytes), (b"x".to_vec(), b"ab".to_vec()));
    }

    #[test]
    fn what_is_attached_stays_where_it_lies() {
        let segments = Segments::from_slice(&vec![1; 100_000]);
        let (mut whole, mut expected) = (Out::new(Proto::Resp2), Out::new(Proto::Resp2));
        whole.ok();
        expected.ok();
        for n in 0..3 {
            let mut piece = Out::new(Proto::Resp2);
            for out in [&mut piece, &mut expected] {
                out.bulk(b"before");
                out.bulk_segments(&segments);
                out.int(n);
            }
            whole.attach(piece);
        }
        whole.attach(Out::new(Proto::Resp2));
        whole.ok();
        expected.ok();
        assert_eq!((whole.to_vec(), whole.len(), whole.data_bytes()), (expected.to_vec(), expected.len(), 300_018));
        let mark = whole.mark();
        let mut body = Out::new(Proto::Resp2);
        body.raw(b"payload");
        whole.bulk_attached(body);
        assert_eq!(whole.split_off(mark).to_vec(), b"$7\r\npayload\r\n");
        assert_eq!((whole.to_vec(), whole.data_bytes()), (expected.to_vec(), 300_018));
    }

    #[test]
    fn what_is_set_aside_is_not_copied_again() {
        let (mut whole, mut expected) = (Out::new(Proto::Resp3), Out::new(Proto::Resp3));
        for n in 0..100 {
            for out in [&mut whole, &mut expected] {
                out.bulk(b"0123456789");
                out.null();
                out.int(n);
            }
            whole.set_aside(100);
            assert!(whole.buf.len() < 100, "{}", whole.buf.len());
        }
        assert_eq!(whole.proto(), Proto::Resp3);
        let mut found = Out::new(Proto::Resp3);
        found.append(&mut whole);
        assert!(found.buf.len() < 100, "{}", found.buf.len());
        assert_eq!((found.to_vec(), found.data_bytes()), (expected.to_vec(), expected.data_bytes()));
    }

    #[test]
    fn append_keeps_the_order() {
        let segments = Segments::from_slice(&vec![1; 100_000]);
        let (mut a, mut b) = (Out::new(Proto::Resp2), Out::new(Proto::Resp2));
        a.bulk_segments(&segments);
        b.ok();
        b.bulk_segments(&segments);
        let expected = [a.to_vec(), b.to_vec()].concat();
        a.append(&mut b);
        assert_eq!(a.to_vec(), expected);
        assert!(b.is_empty());
    }
}
