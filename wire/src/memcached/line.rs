//! One memcached command line: its words, what kind of command it is, what its numbers mean for reading on.

use crate::arg::Span;
use crate::error::Reject;
use crate::limits::{
    Limits, MEMCACHED_DATA_BYTES_MAX, MEMCACHED_FLAGS_BYTES, MEMCACHED_GET_LINE_BYTES_MAX,
    MEMCACHED_ITEM_OVERHEAD_BYTES, MEMCACHED_KEY_BYTES_MAX, MEMCACHED_LINE_BYTES_MAX,
};
use crate::memcached::number;

/// Blanks that memcached skips when it looks whether an endless line is a get.
const GET_BLANKS_MAX: usize = 100;
/// Words of a storage line after verb, key, flags, expiry and length.
const DATA_LEN_WORD: usize = 4;

/// What a line asks for.
pub(super) enum Line {
    /// A command that is complete.
    Command { noreply: bool },
    /// A storage command whose data block of `len` bytes follows; the spans are cut to the words that precede it.
    Storage { len: usize, too_large: bool, noreply: bool },
    /// A line that is refused, its data block unread.
    Bad { reject: Reject, noreply: bool },
}

/// Where a line ends.
pub(super) enum LineEnd {
    /// The position of its LF.
    At(usize),
    /// It may come; searched to here.
    More(usize),
    /// The line is over its limit.
    TooLong,
}

/// How a verb treats its words.
#[derive(Clone, Copy)]
enum Verb {
    /// set and its like: words after the verb, without and with one more (`noreply`).
    Storage { words_min: usize },
    /// All words from this one on are keys.
    Keys { from: usize },
    /// One key, at least `words_min` and at most `words_max` words after the verb; `noreply` may be the last.
    Key { words_min: usize, words_max: usize },
    /// No key; `noreply` may be the last of at most `words_max` words.
    Plain { words_max: usize },
    /// Not known here; yielded as it is.
    Other,
}

/// Finds the end of the line at `at`; `scanned` is where an earlier search ended.
pub(super) fn end(buf: &[u8], at: usize, scanned: usize) -> LineEnd {
    let from = at.max(scanned.min(buf.len()));
    let short = buf.len().min(at + MEMCACHED_LINE_BYTES_MAX + 1);
    if let Some(newline) = find_newline(buf, from.min(short), short) {
        return LineEnd::At(newline);
    }
    if buf.len() - at <= MEMCACHED_LINE_BYTES_MAX {
        return LineEnd::More(buf.len());
    }
    if !is_get(&buf[at..short]) {
        return LineEnd::TooLong;
    }
    let window = buf.len().min(at + MEMCACHED_GET_LINE_BYTES_MAX + 1);
    match find_newline(buf, from.max(short).min(window), window) {
        Some(newline) => LineEnd::At(newline),
        None if buf.len() - at > MEMCACHED_GET_LINE_BYTES_MAX => LineEnd::TooLong,
        None => LineEnd::More(buf.len()),
    }
}

/// Puts the words of `buf[at..to]` (a line without its end) into `spans`, which begins with them at `first`, and says
/// what they mean. `noreply` is taken off the words.
pub(super) fn read(buf: &[u8], at: usize, to: usize, limits: &Limits, spans: &mut Vec<Span>) -> Line {
    let first = spans.len();
    if !split(buf, at, to, limits.args_max, spans) {
        return Line::Bad { reject: Reject::LineTooLong, noreply: false };
    }
    let words = spans.len() - first;
    if words == 0 {
        return Line::Bad { reject: Reject::Syntax, noreply: false };
    }
    let args = words - 1;
    let verb = verb(word(buf, spans[first]));
    let takes_noreply = match verb {
        Verb::Storage { words_min } => args == words_min || args == words_min + 1,
        Verb::Key { words_min, words_max } => args >= words_min.max(2) && args <= words_max,
        Verb::Plain { words_max } => args >= 1 && args <= words_max,
        Verb::Keys { .. } | Verb::Other => false,
    };
    let noreply = takes_noreply && word(buf, spans[first + args]) == b"noreply";
    if noreply {
        spans.pop();
    }
    match verb {
        Verb::Storage { words_min } if takes_noreply => storage(buf, first, words_min, noreply, limits, spans),
        Verb::Storage { .. } => Line::Bad { reject: Reject::Syntax, noreply: false },
        Verb::Keys { from } if any_key_too_long(&spans[first..], from) => bad_format(false),
        // A wrong number of words comes first: that is the verb table's to say.
        Verb::Key { words_min, words_max }
            if (words_min..=words_max).contains(&args) && any_key_too_long(&spans[first..first + 2], 1) =>
        {
            bad_format(noreply)
        }
        _ => Line::Command { noreply },
    }
}

fn verb(name: &[u8]) -> Verb {
    match name {
        b"get" | b"gets" => Verb::Keys { from: 1 },
        b"gat" | b"gats" => Verb::Keys { from: 2 },
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => Verb::Storage { words_min: 4 },
        b"cas" => Verb::Storage { words_min: 5 },
        b"delete" => Verb::Key { words_min: 1, words_max: 3 },
        b"incr" | b"decr" | b"touch" => Verb::Key { words_min: 2, words_max: 3 },
        b"flush_all" | b"verbosity" => Verb::Plain { words_max: 2 },
        _ => Verb::Other,
    }
}

/// A storage line with the right number of words (one of them may be missing if `noreply` was the last).
fn storage(buf: &[u8], first: usize, words_min: usize, noreply: bool, limits: &Limits, spans: &mut Vec<Span>) -> Line {
    let words = &spans[first..];
    if words.len() <= words_min || any_key_too_long(&words[..2], 1) {
        return bad_format(noreply);
    }
    let flags = number::flags(word(buf, words[2]));
    let exptime = number::exptime(word(buf, words[3]));
    let len = number::signed(word(buf, words[DATA_LEN_WORD])).and_then(|len| usize::try_from(len).ok());
    let cas_is_valid = words_min == DATA_LEN_WORD || number::unsigned(word(buf, words[words_min])).is_some();
    let (Some(flags), Some(_), Some(len), true) = (flags, exptime, len, cas_is_valid) else {
        return bad_format(noreply);
    };
    if len > MEMCACHED_DATA_BYTES_MAX {
        return bad_format(noreply);
    }
    let flags_bytes = if flags == 0 { 0 } else { MEMCACHED_FLAGS_BYTES };
    let item_bytes = words[1].len as usize + len + MEMCACHED_ITEM_OVERHEAD_BYTES + flags_bytes;
    // A further word that is not `noreply` is ignored, as memcached does.
    spans.truncate(first + words_min + 1);
    Line::Storage { len, too_large: item_bytes > limits.item_bytes_max, noreply }
}

fn bad_format(noreply: bool) -> Line {
    Line::Bad { reject: Reject::BadLineFormat, noreply }
}

fn any_key_too_long(words: &[Span], from: usize) -> bool {
    words.iter().skip(from).any(|key| key.len as usize > MEMCACHED_KEY_BYTES_MAX)
}

/// Whether an endless line is a get of many keys.
fn is_get(line: &[u8]) -> bool {
    let blanks = line.iter().take_while(|&&byte| byte == b' ').count();
    let verb = &line[blanks..];
    blanks <= GET_BLANKS_MAX && [&b"get "[..], b"gets ", b"gat ", b"gats "].iter().any(|name| verb.starts_with(name))
}

fn word(buf: &[u8], span: Span) -> &[u8] {
    &buf[span.off as usize..span.off as usize + span.len as usize]
}

/// Splits at spaces, and at nothing else. False if there are more words than a verb and `args_max` keys.
fn split(buf: &[u8], from: usize, to: usize, args_max: usize, spans: &mut Vec<Span>) -> bool {
    let words_max = spans.len() + args_max + 2;
    let mut begin = from;
    let mut word_ends = |at: usize, spans: &mut Vec<Span>| {
        if at > begin {
            spans.push(Span { off: begin as u32, len: (at - begin) as u32 });
        }
        begin = at + 1;
        spans.len() <= words_max
    };
    let mut chunks = buf[from..to].chunks_exact(8);
    let mut at = from;
    for chunk in &mut chunks {
        let mut hits = eight_equal(chunk, b' ');
        while hits != 0 {
            if !word_ends(at + hits.trailing_zeros() as usize / 8, spans) {
                return false;
            }
            hits &= hits - 1;
        }
        at += 8;
    }
    for &byte in chunks.remainder() {
        if byte == b' ' && !word_ends(at, spans) {
            return false;
        }
        at += 1;
    }
    word_ends(to, spans)
}

/// The first line feed in `buf[from..to]`.
#[inline]
fn find_newline(buf: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut chunks = buf[from..to].chunks_exact(8);
    let mut at = from;
    for chunk in &mut chunks {
        let hits = eight_equal(chunk, b'\n');
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    chunks.remainder().iter().position(|&byte| byte == b'\n').map(|offset| at + offset)
}

/// Which of eight bytes equal `needle`: the highest bit of each that does, the first byte lowest.
#[inline(always)]
fn eight_equal(chunk: &[u8], needle: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let bytes = u64::from_le_bytes(chunk.try_into().expect("eight bytes")) ^ (ONES * u64::from(needle));
    // Sums of seven-bit parts carry into the highest bit of their own byte only, so this is exact for every byte.
    !(((bytes & LOW_BITS) + LOW_BITS) | bytes | LOW_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_agrees_with_position() {
        arbtest::arbtest(|u| {
            let mut bytes: Vec<u8> = u.arbitrary()?;
            // Line feeds are rare in random bytes; 11 is what a borrow could mistake for one.
            bytes.iter_mut().for_each(|byte| *byte = [*byte, b'\n', 11, b'a'][usize::from(*byte) % 4]);
            let from = u.int_in_range(0..=bytes.len())?;
            let to = u.int_in_range(from..=bytes.len())?;
            let expected = bytes[from..to].iter().position(|&byte| byte == b'\n').map(|offset| from + offset);
            assert_eq!(find_newline(&bytes, from, to), expected);
            Ok(())
        });
    }
}
