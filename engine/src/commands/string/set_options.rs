//! The options of SET, GETEX and MSETEX: one grammar, of which each command knows a part.

use swell_wire::Args;

use crate::commands::options::{TimeBase, TimeUnit, expire_at, is_word};
use crate::error::Fault;
use crate::exec::Ttl;

/// Whose options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionsOf {
    Set,
    GetEx,
    MSetEx,
}

/// The options of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SetOptions<'a> {
    /// Whether the old value is the answer.
    pub get: bool,
    condition: Option<Word>,
    expiry: Option<Word>,
    /// The argument of the expiry option, where it takes one.
    time: &'a [u8],
    /// What the old value must be.
    expected: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Nx,
    Xx,
    Get,
    Ex,
    Px,
    ExAt,
    PxAt,
    KeepTtl,
    Persist,
    IfEq,
}

impl<'a> SetOptions<'a> {
    /// Reads the arguments from `first` on.
    ///
    /// # Errors
    /// [`Fault::Syntax`] for words that are no options of the command, lack their argument or exclude each other. The
    /// same option twice is legal, but for IFEQ; its last argument counts.
    pub fn parse(args: Args<'a>, first: usize, of: OptionsOf) -> Result<Self, Fault> {
        let mut options = Self::default();
        let mut index = first;
        while index < args.len() {
            let word = Word::find(args.slice(index)).filter(|word| word.belongs_to(of)).ok_or(Fault::Syntax)?;
            index += options.take(word, args.opt(index + 1))?;
        }
        Ok(options)
    }

    /// When the key is to expire, in Unix ms; nothing where no option says so.
    ///
    /// # Errors
    /// As [`expire_at`].
    pub fn expire_at_ms(&self, now_ms: u64, command: &'static str) -> Result<Option<u64>, Fault> {
        let Some((unit, base)) = self.expiry.and_then(Word::time) else { return Ok(None) };
        expire_at(self.time, unit, base, now_ms, command).map(Some)
    }

    /// What SET does with the expiry, given the time it read.
    pub fn ttl(&self, expire_at_ms: Option<u64>) -> Ttl {
        match (expire_at_ms, self.expiry) {
            (Some(at_ms), _) => Ttl::At(at_ms),
            (None, Some(Word::KeepTtl)) => Ttl::Keep,
            (None, _) => Ttl::Clear,
        }
    }

    /// Whether GETEX is to take the expiry away.
    pub fn persists(&self) -> bool {
        self.expiry == Some(Word::Persist)
    }

    /// Whether NX, XX or IFEQ is given.
    pub fn is_conditional(&self) -> bool {
        self.condition.is_some()
    }

    /// Whether NX or XX, if given, admits the write, and IFEQ as far as the key must be there.
    pub fn admits(&self, found: bool) -> bool {
        match self.condition {
            Some(Word::Nx) => !found,
            Some(Word::Xx | Word::IfEq) => found,
            _ => true,
        }
    }

    /// What the old value must be for IFEQ to admit the write.
    pub fn expected(&self) -> Option<&'a [u8]> {
        self.expected
    }

    /// Takes in one option and says how many arguments it used.
    fn take(&mut self, word: Word, next: Option<&'a [u8]>) -> Result<usize, Fault> {
        let chosen = match word {
            Word::Get => {
                self.get = true;
                return Ok(1);
            }
            Word::Nx | Word::Xx | Word::IfEq => &mut self.condition,
            _ => &mut self.expiry,
        };
        if chosen.is_some_and(|other| other != word || word == Word::IfEq) {
            return Err(Fault::Syntax);
        }
        *chosen = Some(word);
        if word == Word::IfEq {
            self.expected = Some(next.ok_or(Fault::Syntax)?);
            return Ok(2);
        }
        if word.time().is_none() {
            return Ok(1);
        }
        self.time = next.ok_or(Fault::Syntax)?;
        Ok(2)
    }
}

impl Word {
    const ALL: [(&'static str, Word); 10] = [
        ("EX", Word::Ex),
        ("PX", Word::Px),
        ("NX", Word::Nx),
        ("XX", Word::Xx),
        ("GET", Word::Get),
        ("KEEPTTL", Word::KeepTtl),
        ("EXAT", Word::ExAt),
        ("PXAT", Word::PxAt),
        ("PERSIST", Word::Persist),
        ("IFEQ", Word::IfEq),
    ];

    fn find(arg: &[u8]) -> Option<Word> {
        Self::ALL.iter().find(|(name, _)| is_word(arg, name)).map(|&(_, word)| word)
    }

    fn belongs_to(self, of: OptionsOf) -> bool {
        match self {
            Word::Ex | Word::Px | Word::ExAt | Word::PxAt => true,
            Word::Get | Word::IfEq => of == OptionsOf::Set,
            Word::Nx | Word::Xx | Word::KeepTtl => of != OptionsOf::GetEx,
            Word::Persist => of == OptionsOf::GetEx,
        }
    }

    /// How the word's argument is to be read, where it takes one.
    fn time(self) -> Option<(TimeUnit, TimeBase)> {
        match self {
            Word::Ex => Some((TimeUnit::Seconds, TimeBase::Now)),
            Word::Px => Some((TimeUnit::Millis, TimeBase::Now)),
            Word::ExAt => Some((TimeUnit::Seconds, TimeBase::Epoch)),
            Word::PxAt => Some((TimeUnit::Millis, TimeBase::Epoch)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_wire::OwnedArgs;

    use super::*;

    const NOW_MS: u64 = 1_000_000;

    fn with<T>(words: &[&str], of: OptionsOf, check: impl FnOnce(Result<SetOptions<'_>, Fault>) -> T) -> T {
        let owned = OwnedArgs::from_slices(words);
        check(SetOptions::parse(owned.as_args(), 0, of))
    }

    #[test]
    fn the_last_of_the_same_option_counts() {
        with(&["ex", "1", "GET", "Ex", "2", "nx"], OptionsOf::Set, |options| {
            let options = options.unwrap();
            assert_eq!(options.expire_at_ms(NOW_MS, "set"), Ok(Some(NOW_MS + 2000)));
            assert!(options.get);
            assert!(options.admits(false) && !options.admits(true));
        });
    }

    #[test]
    fn any_two_expiry_words_exclude_each_other() {
        let words: [&[&str]; 5] = [&["EX", "1"], &["PX", "1"], &["EXAT", "1"], &["PXAT", "1"], &["KEEPTTL"]];
        for (i, one) in words.iter().enumerate() {
            for (j, other) in words.iter().enumerate() {
                let both = [*one, *other].concat();
                with(&both, OptionsOf::Set, |options| assert_eq!(options.is_ok(), i == j, "{both:?}"));
            }
        }
    }

    #[test]
    fn each_command_knows_its_own_words() {
        for (word, set, getex, msetex) in [
            ("NX", true, false, true),
            ("GET", true, false, false),
            ("PERSIST", false, true, false),
            ("EX", false, false, false),
            ("IFEQ", false, false, false),
        ] {
            with(&[word], OptionsOf::Set, |options| assert_eq!(options.is_ok(), set, "{word}"));
            with(&[word], OptionsOf::GetEx, |options| assert_eq!(options.is_ok(), getex, "{word}"));
            with(&[word], OptionsOf::MSetEx, |options| assert_eq!(options.is_ok(), msetex, "{word}"));
        }
        with(&["ifeq", "v", "get"], OptionsOf::Set, |options| {
            assert_eq!(options.map(|options| options.expected()), Ok(Some(&b"v"[..])));
        });
        for words in [&["IFEQ", "v", "NX"], &["XX", "IFEQ", "v"]] {
            with(words, OptionsOf::Set, |options| assert!(options.is_err()));
        }
        with(&["IFEQ", "v", "IFEQ", "v"], OptionsOf::Set, |options| assert!(options.is_err()));
    }
}
