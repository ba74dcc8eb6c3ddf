//! The options of HGETEX and HSETEX: conditions, and what becomes of the expiry.

use swell_wire::Args;

use super::expire_time;
use crate::commands::options::{TimeBase, TimeUnit, is_word};
use crate::error::Fault;
use crate::exec::Exec;

/// What stands before FIELDS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// NX (false) or XX (true): whether the key must be there.
    pub(super) key: Option<bool>,
    /// FNX or FXX: whether all fields must be there, or none.
    pub(super) fields: Option<bool>,
    pub(super) expiry: Expiry<'a>,
}

/// What becomes of the fields' expiry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expiry<'a> {
    Unsaid,
    /// PERSIST (HGETEX only).
    Persist,
    /// KEEPTTL (HSETEX only).
    Keep,
    At(Time<'a>),
}

/// A time as the request gives it. It is read late: other errors come first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time<'a> {
    amount: &'a [u8],
    unit: TimeUnit,
    base: TimeBase,
}

/// Whose options they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Get,
    Set,
}

const TIMES: [(&str, TimeUnit, TimeBase); 4] = [
    ("EX", TimeUnit::Seconds, TimeBase::Now),
    ("PX", TimeUnit::Millis, TimeBase::Now),
    ("EXAT", TimeUnit::Seconds, TimeBase::Epoch),
    ("PXAT", TimeUnit::Millis, TimeBase::Epoch),
];

impl<'a> Options<'a> {
    /// Reads arguments 2 to `end`. An option may be given again (the last time holds), but not with its opposite.
    pub(super) fn parse(args: Args<'a>, end: usize, side: Side) -> Result<Options<'a>, Fault> {
        let mut options = Options { key: None, fields: None, expiry: Expiry::Unsaid };
        let mut said = None;
        let mut at = 2;
        while at < end {
            let word = args.slice(at);
            at += 1;
            match word {
                _ if side == Side::Set && is_word(word, "NX") => set(&mut options.key, false)?,
                _ if side == Side::Set && is_word(word, "XX") => set(&mut options.key, true)?,
                _ if side == Side::Set && is_word(word, "FNX") => set(&mut options.fields, false)?,
                _ if side == Side::Set && is_word(word, "FXX") => set(&mut options.fields, true)?,
                _ if side == Side::Get && is_word(word, "PERSIST") => {
                    set(&mut said, "PERSIST")?;
                    options.expiry = Expiry::Persist;
                }
                _ if side == Side::Set && is_word(word, "KEEPTTL") => {
                    set(&mut said, "KEEPTTL")?;
                    options.expiry = Expiry::Keep;
                }
                _ => {
                    let (name, unit, base) =
                        TIMES.into_iter().find(|(name, ..)| is_word(word, name)).ok_or(Fault::Syntax)?;
                    set(&mut said, name)?;
                    let amount = args.opt(at).filter(|_| at < end).ok_or(Fault::Syntax)?;
                    options.expiry = Expiry::At(Time { amount, unit, base });
                    at += 1;
                }
            }
        }
        Ok(options)
    }
}

impl Time<'_> {
    /// The Unix time in ms; `command` is for the error.
    pub(super) fn at_ms(&self, cx: &Exec<'_>, command: &'static str) -> Result<u64, Fault> {
        expire_time(self.amount, self.unit, self.base, cx, command)
    }
}

fn set<T: PartialEq>(option: &mut Option<T>, to: T) -> Result<(), Fault> {
    if option.as_ref().is_some_and(|said| *said != to) {
        return Err(Fault::Syntax);
    }
    *option = Some(to);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_wire::OwnedArgs;

    fn parse(words: &str, side: Side) -> Result<String, Fault> {
        let words: Vec<&str> = ["name", "key"].into_iter().chain(words.split_whitespace()).collect();
        let args = OwnedArgs::from_slices(&words);
        let options = Options::parse(args.as_args(), words.len(), side)?;
        let expiry = match options.expiry {
            Expiry::At(time) => String::from_utf8_lossy(time.amount).into_owned(),
            other => format!("{other:?}"),
        };
        Ok(format!("{:?} {:?} {expiry}", options.key, options.fields))
    }

    #[test]
    fn options_agree_or_are_refused() {
        assert_eq!(parse("", Side::Get).unwrap(), "None None Unsaid");
        assert_eq!(parse("ex 5 EX 6", Side::Get).unwrap(), "None None 6");
        assert_eq!(parse("PERSIST persist", Side::Get).unwrap(), "None None Persist");
        assert_eq!(parse("NX fxx KEEPTTL nx", Side::Set).unwrap(), "Some(false) Some(true) Keep");
        for words in ["NX", "EX", "EX 5 PX 5", "EX 5 PERSIST", "KEEPTTL", "FOO"] {
            assert_eq!(parse(words, Side::Get), Err(Fault::Syntax), "{words}");
        }
        for words in ["NX XX", "FNX FXX", "EX 5 EXAT 5", "EX 5 KEEPTTL", "PERSIST", "PXAT"] {
            assert_eq!(parse(words, Side::Set), Err(Fault::Syntax), "{words}");
        }
    }
}
