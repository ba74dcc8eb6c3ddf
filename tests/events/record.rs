//! Records of requests and what they tell: `> request`, then a line for each event, `event key` with ` @db` where it is not
//! database 0. `~` lets a few milliseconds pass; `#` begins a remark. Every file begins with an empty cache.

use crate::differential::Request;
use crate::harness::split_words;

/// Each by its name.
pub const RECORDS: [(&str, &str); 7] = [
    ("strings.txt", include_str!("strings.txt")),
    ("generic.txt", include_str!("generic.txt")),
    ("lists_and_sets.txt", include_str!("lists_and_sets.txt")),
    ("sorted_sets.txt", include_str!("sorted_sets.txt")),
    ("hashes.txt", include_str!("hashes.txt")),
    ("streams.txt", include_str!("streams.txt")),
    ("expiry.txt", include_str!("expiry.txt")),
];

pub enum Line {
    /// A request, and what it tells.
    Request(Request, Vec<String>),
    /// Time passes.
    Pass,
}

/// The lines of a record with their numbers.
///
/// # Panics
/// Where a line is none of these.
pub fn lines(text: &str) -> Vec<(usize, Line)> {
    let mut lines: Vec<(usize, Line)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        match line.split_at_checked(2) {
            _ if line.is_empty() || line.starts_with('#') => {}
            _ if line == "~" => lines.push((at + 1, Line::Pass)),
            Some(("> ", request)) => {
                let words = split_words(request).unwrap_or_else(|why| panic!("line {}: {why}", at + 1));
                lines.push((at + 1, Line::Request(words, Vec::new())));
            }
            _ => match lines.last_mut() {
                Some((_, Line::Request(_, told))) => told.push(line.to_owned()),
                _ => panic!("line {}: an event of no request", at + 1),
            },
        }
    }
    lines
}
