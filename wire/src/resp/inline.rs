//! Inline requests: one line of words, with Redis's quoting.

use crate::arg::{OwnedArgs, Span};

/// The words of a line.
pub(super) enum Words {
    /// No quotes: the words are where they stand, as spans now in the list.
    InPlace,
    /// Quotes: the words with their escapes undone.
    Owned(OwnedArgs),
    /// Quotes that do not close, or close in the middle of a word.
    Unbalanced,
}

/// Splits `buf[from..to]` (a line without its end) into words. A NUL is a byte like any other here, where Redis's own
/// search for the line's end stops at one and waits for ever.
pub(super) fn split(buf: &[u8], from: usize, to: usize, spans: &mut Vec<Span>) -> Words {
    let line = &buf[from..to];
    if line.iter().any(|&byte| byte == b'"' || byte == b'\'') {
        return match quoted_words(line) {
            Some(words) => Words::Owned(words),
            None => Words::Unbalanced,
        };
    }
    let mut at = from;
    while let Some(begin) = next_word(buf, at, to) {
        at = word_end(buf, begin, to);
        spans.push(Span { off: begin as u32, len: (at - begin) as u32 });
    }
    Words::InPlace
}

/// What may stand between words. Two of them (VT, FF) do not end a word, only precede one.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn next_word(buf: &[u8], from: usize, to: usize) -> Option<usize> {
    (from..to).find(|&at| !is_blank(buf[at]))
}

fn word_end(buf: &[u8], from: usize, to: usize) -> usize {
    (from..to).find(|&at| matches!(buf[at], b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(to)
}

fn quoted_words(line: &[u8]) -> Option<OwnedArgs> {
    let mut words = OwnedArgs::default();
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(begin) = next_word(line, at, line.len()) {
        word.clear();
        at = quoted_word(line, begin, &mut word)?;
        words.push(&word);
    }
    Some(words)
}

/// Reads the word at `at`, quoted or not or both in turn, and says where it ends.
fn quoted_word(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => break,
            b'"' => return closed(line, double_quoted(line, at + 1, word)?),
            b'\'' => return closed(line, single_quoted(line, at + 1, word)?),
            _ => word.push(byte),
        }
        at += 1;
    }
    Some(at)
}

/// A closing quote ends the word: a blank or the line's end must follow.
fn closed(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at) {
        Some(&byte) if !is_blank(byte) => None,
        _ => Some(at),
    }
}

/// Reads up to the closing quote and says where it goes on.
fn double_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line[at..] {
            [] => return None,
            [b'"', ..] => return Some(at + 1),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(high) << 4 | hex(low));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                word.push(unescape(escaped));
                at += 2;
            }
            [byte, ..] => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// Reads up to the closing quote and says where it goes on.
fn single_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line[at..] {
            [] => return None,
            [b'\'', ..] => return Some(at + 1),
            [b'\\', b'\'', ..] => {
                word.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
