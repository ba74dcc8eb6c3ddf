//! What HSCAN, SSCAN and ZSCAN have in common: their options, cursors and replies.

use swell_wire::out::format_u64;
use swell_wire::{Args, Out};

use super::options::is_word;
use crate::error::Fault;
use crate::glob;
use crate::number::{parse_i64, parse_u64};

/// Elements visited where the request does not say.
const COUNT: usize = 10;

/// What may follow the cursor; of an option given twice the last holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    pub(super) count: usize,
    pattern: Option<&'a [u8]>,
    /// NOVALUES or NOSCORES.
    pub(super) names_only: bool,
}

/// Whose scan it is: which word leaves values or scores out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanOf {
    Hash,
    Set,
    ZSet,
}

impl<'a> Options<'a> {
    /// Reads the words from argument 3 on.
    pub(super) fn parse(args: Args<'a>, of: ScanOf) -> Result<Options<'a>, Fault> {
        let mut options = Options { count: COUNT, pattern: None, names_only: false };
        let mut at = 3;
        while at < args.len() {
            let word = args.slice(at);
            if is_word(word, "NOVALUES") || is_word(word, "NOSCORES") {
                options.names_only = names_only(word, of)?;
                at += 1;
                continue;
            }
            let value = args.opt(at + 1).ok_or(Fault::Syntax)?;
            if is_word(word, "COUNT") {
                let count = parse_i64(value).ok_or(Fault::NotInteger)?;
                options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Fault::Syntax)?;
            } else if is_word(word, "MATCH") {
                options.pattern = Some(value).filter(|pattern| !glob::is_everything(pattern));
            } else {
                return Err(Fault::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    /// Whether an element of this name is asked for.
    #[inline]
    pub(super) fn want(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    /// Whether every element is asked for.
    #[inline]
    pub(super) fn want_all(&self) -> bool {
        self.pattern.is_none()
    }
}

/// The cursor, which is refused before anything is looked up. As Valkey reads it: a plus sign, and white space before,
/// are let pass.
pub(super) fn cursor(args: Args<'_>) -> Result<u64, Fault> {
    let number = args.slice(2).trim_ascii_start();
    parse_u64(number.strip_prefix(b"+").unwrap_or(number)).ok_or(Fault::InvalidCursor)
}

/// Answers a cursor and the `count` bulk strings in `found`.
pub(super) fn reply(out: &mut Out, cursor: u64, count: usize, found: &mut Out) {
    out.array(2);
    out.bulk(format_u64(cursor, &mut [0; 20]));
    out.array(count);
    out.append(found);
}

fn names_only(word: &[u8], of: ScanOf) -> Result<bool, Fault> {
    let is_values = is_word(word, "NOVALUES");
    match of {
        ScanOf::Hash if is_values => Ok(true),
        ScanOf::ZSet if !is_values => Ok(true),
        _ if is_values => Err(Fault::say("ERR NOVALUES option can only be used in HSCAN")),
        _ => Err(Fault::say("ERR NOSCORES option can only be used in ZSCAN")),
    }
}
