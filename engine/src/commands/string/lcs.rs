//! LCS: what two strings have in common, in the same order.
//!
//! The textbook's table holds, for each pair of prefixes, the length of what they have in common: four bytes for each
//! pair of bytes. Along a row that length grows by one or not at all, so a row is kept as one bit for each byte of the
//! second string, and one word operation makes 64 of them (Hyyrö 2004). Going back through the table needs those bits
//! only.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at, token, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;

/// LCS.
pub static LCS: Spec = Spec {
    name: "lcs",
    summary: "Answers the longest bytes that two strings have in common in the same order, or their length, or where they are.",
    since: "7.0.0",
    complexity: "O(N*M) where N and M are the lengths of s1 and s2, respectively",
    group: Group::String,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STRING).and(Acl::SLOW),
    keys: &[keys_at(1, 1, Access::Read, &["RO", "access"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("key1", 0),
        key_arg("key2", 0),
        ArgDoc { optional: true, ..word_arg("len", "LEN") },
        ArgDoc { optional: true, ..word_arg("idx", "IDX") },
        ArgDoc { optional: true, ..token("MINMATCHLEN", "", "min-match-len", ArgKind::Integer) },
        ArgDoc { optional: true, ..word_arg("withmatchlen", "WITHMATCHLEN") },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(lcs),
};

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

/// Where a run of bytes lies in both strings: begins, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    a: usize,
    b: usize,
    len: usize,
}

fn lcs(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let a = string_at(cx, args, 0);
    let b = string_at(cx, args, 1);
    let (a, b) = (a?, b?);
    let options = options(args)?;
    let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    // What the table would take at four bytes a cell: the bound is part of the contract.
    if cells * 4 > cx.engine.settings().string_bytes_max() as u64 {
        return Err(Fault::say("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    cx.work(cells / 64);
    if options.len && !options.idx {
        out.int(Rows::new(&a, &b, false).len() as i64);
        return Ok(());
    }
    let matches = Rows::new(&a, &b, true).matches();
    match options.idx {
        true => write_matches(&matches, &options, out),
        false => {
            let common: Vec<u8> = matches.iter().rev().flat_map(|found| &a[found.a..][..found.len]).copied().collect();
            out.bulk(&common);
        }
    }
    Ok(())
}

/// The string at the n-th key; a missing one is empty.
fn string_at(cx: &mut Exec<'_>, args: Args<'_>, n: usize) -> Result<Vec<u8>, Fault> {
    let Some(entry) = cx.read(cx.key(args, n)) else { return Ok(Vec::new()) };
    let value = entry.string().map_err(|_| Fault::say("ERR The specified keys must contain string values"))?;
    Ok(value.to_bytes().into_owned())
}

fn options(args: Args<'_>) -> Result<Options, Fault> {
    let mut options = Options::default();
    let mut at = 3;
    while at < args.len() {
        match args.slice(at) {
            word if is_word(word, "LEN") => options.len = true,
            word if is_word(word, "IDX") => options.idx = true,
            word if is_word(word, "WITHMATCHLEN") => options.with_match_len = true,
            word if is_word(word, "MINMATCHLEN") && at + 1 < args.len() => {
                at += 1;
                let least = parse_i64(args.slice(at)).ok_or(Fault::NotInteger)?;
                options.min_match_len = usize::try_from(least).unwrap_or(0);
            }
            _ => return Err(Fault::Syntax),
        }
        at += 1;
    }
    if options.idx && options.len {
        return Err(Fault::say("ERR If you want both the length and indexes, please just use IDX."));
    }
    Ok(options)
}

fn write_matches(matches: &[Match], options: &Options, out: &mut Out) {
    let shown = || matches.iter().filter(|found| found.len >= options.min_match_len);
    out.map(2);
    out.bulk(b"matches");
    out.array(shown().count());
    for found in shown() {
        out.array(2 + usize::from(options.with_match_len));
        for from in [found.a, found.b] {
            out.array(2);
            out.int(from as i64);
            out.int((from + found.len - 1) as i64);
        }
        if options.with_match_len {
            out.int(found.len as i64);
        }
    }
    out.bulk(b"len");
    out.int(matches.iter().map(|found| found.len).sum::<usize>() as i64);
}

/// The table's rows, one for each byte of the first string: a bit is 0 where the common length grows.
struct Rows<'a> {
    a: &'a [u8],
    b: &'a [u8],
    words: usize,
    /// All rows, or the last one only.
    bits: Vec<u64>,
}

impl<'a> Rows<'a> {
    fn new(a: &'a [u8], b: &'a [u8], keep: bool) -> Rows<'a> {
        let words = b.len().div_ceil(64);
        let mut row = vec![u64::MAX; words];
        let mut bits = Vec::with_capacity(if keep { words * a.len() } else { 0 });
        let masks = Masks::new(a, b, words);
        for &byte in a {
            let mut carry = false;
            for (word, &mask) in row.iter_mut().zip(masks.of(byte)) {
                let common = *word & mask;
                let (sum, over) = word.overflowing_add(common);
                let (sum, over_again) = sum.overflowing_add(u64::from(carry));
                carry = over | over_again;
                *word = sum | (*word & !mask);
            }
            if keep {
                bits.extend_from_slice(&row);
            }
        }
        Rows { a, b, words, bits: if keep { bits } else { row } }
    }

    /// The common length, from the last row.
    fn len(&self) -> usize {
        let last = &self.bits[self.bits.len() - self.words..];
        (0..self.b.len()).filter(|at| last[at / 64] >> (at % 64) & 1 == 0).count()
    }

    /// The runs of common bytes, from the last to the first.
    fn matches(&self) -> Vec<Match> {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let mut matches: Vec<Match> = Vec::new();
        let mut is_open = false;
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                i -= 1;
                j -= 1;
                match matches.last_mut().filter(|_| is_open) {
                    Some(found) => *found = Match { a: i, b: j, len: found.len + 1 },
                    None => matches.push(Match { a: i, b: j, len: 1 }),
                }
                is_open = true;
            } else {
                is_open = false;
                let grows = self.bits[(i - 1) * self.words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 0;
                // Where the row grows here, one column less has one less in common, so the row above must have as much.
                if grows { i -= 1 } else { j -= 1 }
            }
        }
        matches
    }
}

/// For each byte of the first string, the bits of the second string where it stands.
struct Masks {
    words: usize,
    /// Where a byte's mask begins.
    places: [usize; 256],
    bits: Vec<u64>,
}

impl Masks {
    fn new(a: &[u8], b: &[u8], words: usize) -> Masks {
        let mut masks = Masks { words, places: [usize::MAX; 256], bits: Vec::new() };
        for &byte in a {
            if masks.places[usize::from(byte)] == usize::MAX {
                masks.places[usize::from(byte)] = masks.bits.len();
                masks.bits.resize(masks.bits.len() + words, 0);
            }
        }
        for (at, &byte) in b.iter().enumerate() {
            let place = masks.places[usize::from(byte)];
            if place != usize::MAX {
                masks.bits[place + at / 64] |= 1 << (at % 64);
            }
        }
        masks
    }

    fn of(&self, byte: u8) -> &[u64] {
        &self.bits[self.places[usize::from(byte)]..][..self.words]
    }
}

#[cfg(test)]
mod tests {
    use arbtest::arbtest;

    use super::*;

    /// The textbook's table, and the way back through it.
    fn model(a: &[u8], b: &[u8]) -> (usize, Vec<u8>) {
        let mut table = vec![vec![0usize; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = match a[i - 1] == b[j - 1] {
                    true => table[i - 1][j - 1] + 1,
                    false => table[i - 1][j].max(table[i][j - 1]),
                };
            }
        }
        let (mut i, mut j, mut common) = (a.len(), b.len(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                common.push(a[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        common.reverse();
        (table[a.len()][b.len()], common)
    }

    #[test]
    fn rows_of_bits_say_what_the_table_says() {
        arbtest(|u| {
            let letters = u.int_in_range(1..=5)?;
            let mut text = || -> arbtest::arbitrary::Result<Vec<u8>> {
                let len = u.int_in_range(0..=150)?;
                (0..len).map(|_| Ok(b'a' + u.int_in_range(0..=letters)?)).collect()
            };
            let (a, b) = (text()?, text()?);
            let (len, common) = model(&a, &b);
            assert_eq!(Rows::new(&a, &b, false).len(), len);
            let matches = Rows::new(&a, &b, true).matches();
            let ours: Vec<u8> = matches.iter().rev().flat_map(|found| a[found.a..][..found.len].to_vec()).collect();
            assert_eq!(ours, common);
            assert!(matches.iter().all(|found| a[found.a..][..found.len] == b[found.b..][..found.len]));
            Ok(())
        });
    }
}
