//! The `*count` and `$length` lines of a request: short ones by pattern, everything else by the book.

use crate::error::Reject;
use crate::limits::{INLINE_BYTES_MAX, Limits, UNAUTHENTICATED_ARGS_MAX, UNAUTHENTICATED_BULK_BYTES_MAX};
use crate::segments::SEGMENT_BYTES;

/// The longest line that can be valid is shorter: sign, 19 digits, marker, line end. Only what is longer than this is
/// searched with a memory of how far the search has come.
const SHORT_LINE_BYTES: usize = 32;

/// What stands where an argument should begin.
pub(super) enum Bulk {
    /// An argument that lies in the buffer, whole; the next begins two bytes after `from + len`.
    Here { from: usize, len: usize },
    /// An argument longer than a segment, whose bytes begin at `from`.
    Long { from: usize, len: usize },
    /// The bytes of the argument, or its header, are still to come.
    More(Want),
    /// Nothing valid.
    Bad(Reject),
}

/// What the `*` line says.
pub(super) enum Count {
    /// So many arguments follow from `from` on; 0 for a line that is skipped.
    Args { count: usize, from: usize },
    /// The line is not complete.
    More(Want),
    /// Nothing valid.
    Bad(Reject),
}

/// What an unfinished request waits for; both are offsets in the buffer.
#[derive(Clone, Copy, Default)]
pub(super) struct Want {
    /// The buffer must reach to here before another look can get further; 0 where nobody knows.
    pub need: usize,
    /// The unfinished line has no end before here.
    pub scanned: usize,
}

/// Reads the `*` line at `at`.
#[inline(always)]
pub(super) fn count(buf: &[u8], at: usize, scanned: usize, limits: &Limits) -> Count {
    match short(&buf[at..], b'*') {
        // Up to ten arguments pass every limit but a tiny one.
        Some((count, bytes)) if count <= UNAUTHENTICATED_ARGS_MAX && count <= limits.args_max => {
            Count::Args { count, from: at + bytes }
        }
        _ => any_count(buf, at, scanned, limits),
    }
}

/// Reads the argument at `at`; `plain_max` is [`plain_bytes_max`].
#[inline(always)]
pub(super) fn bulk(buf: &[u8], at: usize, scanned: usize, plain_max: usize, limits: &Limits) -> Bulk {
    match short(&buf[at..], b'$') {
        Some((len, bytes)) if len <= plain_max => body(buf, at + bytes, len),
        _ => any_bulk(buf, at, scanned, limits),
    }
}

/// Longest argument that lies in the buffer and is within every limit.
pub(super) fn plain_bytes_max(limits: &Limits) -> usize {
    SEGMENT_BYTES.min(bulk_bytes_max(limits))
}

/// The first place where `needle` is in `buf[at..]`, if within a line's limit: `Ok`, or how far it was searched.
/// `scanned` is where an earlier search ended.
pub(super) fn line_end(buf: &[u8], at: usize, scanned: usize, needle: u8) -> Result<usize, LineOpen> {
    let window = buf.len().min(at + INLINE_BYTES_MAX + 1);
    let short = window.min(at + SHORT_LINE_BYTES);
    if let Some(offset) = buf[at..short].iter().position(|&byte| byte == needle) {
        return Ok(at + offset);
    }
    let from = short.max(scanned.min(window));
    if let Some(offset) = buf[from..window].iter().position(|&byte| byte == needle) {
        return Ok(from + offset);
    }
    if buf.len() - at > INLINE_BYTES_MAX { Err(LineOpen::TooLong) } else { Err(LineOpen::More(buf.len())) }
}

/// Why a line has no end.
pub(super) enum LineOpen {
    /// It may come; searched to here.
    More(usize),
    /// The line is over its limit.
    TooLong,
}

/// Marker, one to three digits without a leading zero, CR LF: value and bytes of such a line. Where it cannot tell, it
/// says no: fewer than eight bytes are left to the general reader, which sees few of those.
#[inline(always)]
fn short(rest: &[u8], marker: u8) -> Option<(usize, usize)> {
    let head = u64::from_le_bytes(*rest.first_chunk()?);
    let digit = |index: u32| ((head >> (8 * index)) as u8).wrapping_sub(b'0');
    let line_end_at = |index: u32| {
        let shape = u64::from(marker) | 0x0a0d << (8 * index);
        head & (0xff | 0xffff << (8 * index)) == shape
    };
    if line_end_at(2) && digit(1) < 10 {
        return Some((usize::from(digit(1)), 4));
    }
    let leads = digit(1).wrapping_sub(1) < 9 && digit(2) < 10;
    let two = usize::from(digit(1)) * 10 + usize::from(digit(2));
    if line_end_at(3) && leads {
        return Some((two, 5));
    }
    if line_end_at(4) && leads && digit(3) < 10 {
        return Some((two * 10 + usize::from(digit(3)), 6));
    }
    None
}

/// An argument's bytes and their line end.
#[inline(always)]
fn body(buf: &[u8], from: usize, len: usize) -> Bulk {
    match buf.get(from + len..from + len + 2) {
        Some(b"\r\n") => Bulk::Here { from, len },
        Some(_) => Bulk::Bad(Reject::LineEnd),
        None => Bulk::More(Want { need: from + len + 2, scanned: 0 }),
    }
}

#[cold]
#[inline(never)]
fn any_count(buf: &[u8], at: usize, scanned: usize, limits: &Limits) -> Count {
    let end = match whole_line(buf, at, scanned) {
        Ok(end) => end,
        Err(LineOpen::More(scanned)) => return Count::More(Want { need: 0, scanned }),
        Err(LineOpen::TooLong) => return Count::Bad(Reject::MultibulkLineTooLong),
    };
    if buf[end + 1] != b'\n' {
        return Count::Bad(Reject::LineEnd);
    }
    let Some(count) = decimal(&buf[at + 1..end]).and_then(|count| i32::try_from(count.max(0)).ok()) else {
        return Count::Bad(Reject::MultibulkLength);
    };
    let count = count as usize;
    if !limits.authenticated && count > UNAUTHENTICATED_ARGS_MAX {
        return Count::Bad(Reject::UnauthenticatedMultibulkLength);
    }
    if count > limits.args_max {
        return Count::Bad(Reject::MultibulkLength);
    }
    Count::Args { count, from: end + 2 }
}

#[cold]
#[inline(never)]
fn any_bulk(buf: &[u8], at: usize, scanned: usize, limits: &Limits) -> Bulk {
    let end = match whole_line(buf, at, scanned) {
        Ok(end) => end,
        Err(LineOpen::More(scanned)) => return Bulk::More(Want { need: 0, scanned }),
        Err(LineOpen::TooLong) => return Bulk::Bad(Reject::BulkLineTooLong),
    };
    if buf[at] != b'$' {
        return Bulk::Bad(Reject::ExpectedBulk(buf[at]));
    }
    if buf[end + 1] != b'\n' {
        return Bulk::Bad(Reject::LineEnd);
    }
    let len = match decimal(&buf[at + 1..end]) {
        Some(len) if len >= 0 && len as u64 <= limits.bulk_bytes_max as u64 => len as usize,
        _ => return Bulk::Bad(Reject::BulkLength),
    };
    if len > bulk_bytes_max(limits) {
        return Bulk::Bad(Reject::UnauthenticatedBulkLength);
    }
    if len > SEGMENT_BYTES { Bulk::Long { from: end + 2, len } } else { body(buf, end + 2, len) }
}

/// Where the CR of the line at `at` is, once the byte after it is there too.
fn whole_line(buf: &[u8], at: usize, scanned: usize) -> Result<usize, LineOpen> {
    let end = line_end(buf, at, scanned, b'\r')?;
    if end + 1 < buf.len() { Ok(end) } else { Err(LineOpen::More(end)) }
}

fn bulk_bytes_max(limits: &Limits) -> usize {
    if limits.authenticated { limits.bulk_bytes_max } else { limits.bulk_bytes_max.min(UNAUTHENTICATED_BULK_BYTES_MAX) }
}

/// A decimal number as Redis reads it: no plus, no leading zero, no minus zero, no blank, within 64 bits.
fn decimal(digits: &[u8]) -> Option<i64> {
    let (negative, digits) = match digits {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, digits),
    };
    let plain = matches!(digits, [b'0'] if !negative) || matches!(digits, [b'1'..=b'9', ..]);
    if !plain || digits.len() > 19 {
        return None;
    }
    let mut value = 0i128;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i128::from(byte - b'0');
    }
    i64::try_from(if negative { -value } else { value }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_redis_reads_them() {
        let known: &[(&[u8], Option<i64>)] = &[
            (b"0", Some(0)),
            (b"7", Some(7)),
            (b"-1", Some(-1)),
            (b"1048576", Some(1_048_576)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"99999999999999999999", None),
            (b"", None),
            (b"-", None),
            (b"-0", None),
            (b"+1", None),
            (b"01", None),
            (b" 1", None),
            (b"1 ", None),
            (b"1a", None),
        ];
        for (digits, value) in known {
            assert_eq!(decimal(digits), *value, "{:?}", String::from_utf8_lossy(digits));
        }
    }

    #[test]
    fn short_lines_agree_with_the_general_reader() {
        for value in 0..2000 {
            let line = format!("${value}\r\n");
            let fast = short(format!("{line}\r\n..").as_bytes(), b'$');
            let known = decimal(value.to_string().as_bytes()).map(|value| (value as usize, line.len()));
            assert_eq!(fast, known.filter(|_| value < 1000));
        }
        for line in
            ["$01\r\n", "$-1\r\n", "$+1\r\n", "$1\n\n", "*1\r\n", "$\r\n", "$1\rX", "$12\r", "$1a\r\n", "$:\r\n"]
        {
            assert!(short(format!("{line}........").as_bytes(), b'$').is_none(), "{line:?}");
        }
    }
}
