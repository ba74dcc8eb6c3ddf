//! The words of SORT.

use swell_ring::{Slot, slot_of};
use swell_wire::Args;

use super::pattern::Pattern;
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::number::parse_i64;

/// How many arguments options take.
pub(super) const TAKES: &[(&str, usize)] = &[("BY", 1), ("GET", 1), ("LIMIT", 2), ("STORE", 1)];

/// What a call asks for.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub by: Option<Pattern<'a>>,
    /// Elements stay in the order that they have: some BY had no star, even if another one follows.
    pub keeps_order: bool,
    pub gets: Vec<Pattern<'a>>,
    /// Elements to be passed over, and how many to answer; negative: all.
    pub limit: Option<(i64, i64)>,
    pub desc: bool,
    pub alpha: bool,
    pub stores: bool,
}

impl<'a> Options<'a> {
    /// `slot`: the sorted key's; `everywhere`: every slot is served here, so that patterns may reach any key.
    pub fn parse(args: Args<'a>, may_store: bool, slot: Slot, everywhere: bool) -> Result<Self, Fault> {
        let mut options = Self::default();
        let mut at = 2;
        while let Some(word) = args.opt(at) {
            let (one, two) = (args.opt(at + 1), args.opt(at + 2));
            match (word, one, two) {
                (word, ..) if is_word(word, "ASC") => options.desc = false,
                (word, ..) if is_word(word, "DESC") => options.desc = true,
                (word, ..) if is_word(word, "ALPHA") => options.alpha = true,
                (word, Some(offset), Some(count)) if is_word(word, "LIMIT") => {
                    let number = |arg| parse_i64(arg).ok_or(Fault::NotInteger);
                    options.limit = Some((number(offset)?, number(count)?));
                    at += 2;
                }
                (word, Some(_), _) if may_store && is_word(word, "STORE") => {
                    options.stores = true;
                    at += 1;
                }
                (word, Some(pattern), _) if is_word(word, "BY") => {
                    let pattern = Pattern::new(pattern);
                    if pattern.has_star() && !everywhere && pattern.slot() != Some(slot) {
                        return Err(Fault::say(BY_DENIED));
                    }
                    options.keeps_order |= !pattern.has_star();
                    options.by = Some(pattern);
                    at += 1;
                }
                (word, Some(pattern), _) if is_word(word, "GET") => {
                    let pattern = Pattern::new(pattern);
                    if pattern.has_star() && !everywhere && pattern.slot() != Some(slot) {
                        return Err(Fault::say(GET_DENIED));
                    }
                    options.gets.push(pattern);
                    at += 1;
                }
                _ => return Err(Fault::Syntax),
            }
            at += 1;
        }
        Ok(options)
    }

    /// Whether any other key is read or written.
    pub fn looks_elsewhere(&self) -> bool {
        self.stores || (self.by.is_some() && !self.keeps_order) || !self.gets.iter().all(Pattern::is_element)
    }
}

/// Whether a call looks at keys that may lie in other slots than the one it sorts, so that the locks of the keys that
/// it names are not enough.
pub(crate) fn reaches_beyond(args: Args<'_>) -> bool {
    let Some(key) = args.opt(1) else { return false };
    let (slot, mut at) = (slot_of(key), 2);
    while let Some(word) = args.opt(at) {
        if (is_word(word, "BY") || is_word(word, "GET"))
            && let Some(pattern) = args.opt(at + 1).map(Pattern::new)
            && pattern.has_star()
            && pattern.slot() != Some(slot)
        {
            return true;
        }
        at += 1 + TAKES.iter().find(|(option, _)| is_word(word, option)).map_or(0, |(_, count)| *count);
    }
    false
}

const BY_DENIED: &str =
    "ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.";
const GET_DENIED: &str =
    "ERR GET option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.";
