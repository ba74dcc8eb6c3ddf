//! Heads of arrays and maps whose length is known only after their elements.

use swell_wire::Out;
use swell_wire::out::format_u64;

/// The most bytes that a head has: its kind, digits, a line end.
const HEAD_BYTES_MAX: usize = 23;
/// Room left for a head: what a single digit takes.
const ROOM_BYTES: usize = 4;

/// A head that is still open. Nothing may be spliced in behind it until it is closed.
#[must_use]
pub(super) struct Head {
    at: usize,
    kind: u8,
}

/// Begins an array.
pub(super) fn array(out: &mut Out) -> Head {
    Head { at: out.gap(ROOM_BYTES), kind: b'*' }
}

/// Begins a map of RESP3.
pub(super) fn map(out: &mut Out) -> Head {
    Head { at: out.gap(ROOM_BYTES), kind: b'%' }
}

/// Writes the head of what has turned out to be `count` elements or pairs.
pub(super) fn close(out: &mut Out, head: Head, count: usize) {
    let (mut text, mut digits) = ([0; HEAD_BYTES_MAX], [0; 20]);
    let digits = format_u64(count as u64, &mut digits);
    let len = digits.len() + 3;
    text[0] = head.kind;
    text[1..len - 2].copy_from_slice(digits);
    text[len - 2..len].copy_from_slice(b"\r\n");
    let more = len - ROOM_BYTES;
    if more > 0 {
        let end = out.gap(more);
        out.contiguous_mut().copy_within(head.at + ROOM_BYTES..end, head.at + len);
    }
    out.contiguous_mut()[head.at..head.at + len].copy_from_slice(&text[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_filled_in() {
        for (count, text) in [(0, "*0"), (9, "*9"), (10, "*10"), (12_345, "*12345")] {
            let mut out = Out::default();
            out.int(1);
            let head = array(&mut out);
            out.bulk(b"inside");
            close(&mut out, head, count);
            out.int(2);
            assert_eq!(out.to_vec(), format!(":1\r\n{text}\r\n$6\r\ninside\r\n:2\r\n").into_bytes());
        }
    }
}
