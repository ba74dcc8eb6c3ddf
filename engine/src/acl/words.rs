//! Rules as people write them, read word by word.

use std::collections::BTreeSet;

use super::names::{self, Named};
use super::password::PasswordHash;
use super::patterns::{Channels, Databases, KeyAccess, Keys};
use super::selector::Selector;
use super::user::User;
use crate::commands::table::tables;
use crate::spec::Body;

/// Why one word cannot be taken, in Valkey's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongRule {
    #[error("Syntax error")]
    Syntax,
    #[error("Unknown command or category name in ACL")]
    Unknown,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    AllKeys,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
         Try 'resetchannels' to start with an empty list of channels"
    )]
    AllChannels,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    #[error("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")]
    Hash,
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgument,
    #[error("The provided database ID is out of range")]
    Database,
}

/// Why a user cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// This word does not fit.
    Word { word: Vec<u8>, why: WrongRule },
    /// A selector that begins with this word does not end.
    Unmatched(Vec<u8>),
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RuleError::Word { word, why } => {
                write!(f, "ERR Error in ACL SETUSER modifier '{}': {why}", String::from_utf8_lossy(word))
            }
            RuleError::Unmatched(first) => {
                let first = String::from_utf8_lossy(first);
                write!(f, "ERR Unmatched parenthesis in acl selector starting at '{first}'.")
            }
        }
    }
}

impl User {
    /// Takes all words over, or none. `all_channels`: what a reset and new selectors begin with.
    ///
    /// # Errors
    /// The first word that does not fit.
    pub fn changed<W: AsRef<[u8]>>(&self, words: &[W], all_channels: bool) -> Result<User, RuleError> {
        let mut user = self.clone();
        for word in join_selectors(words)? {
            user.take_word(&word, all_channels).map_err(|why| RuleError::Word { word, why })?;
        }
        user.compile();
        Ok(user)
    }

    /// Takes one word over; a selector is one word.
    pub(super) fn take_word(&mut self, word: &[u8], all_channels: bool) -> Result<(), WrongRule> {
        match word.to_ascii_lowercase().as_slice() {
            b"" | b"sanitize-payload" | b"skip-sanitize-payload" => {}
            b"on" => self.is_on = true,
            b"off" => self.is_on = false,
            b"nopass" => {
                self.no_password = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.no_password = false;
                self.passwords.clear();
            }
            b"reset" => *self = User::new(&self.name, all_channels),
            b"clearselectors" => self.selectors.clear(),
            _ => return self.take_sign(word, all_channels),
        }
        Ok(())
    }

    /// A word that begins with a sign.
    fn take_sign(&mut self, word: &[u8], all_channels: bool) -> Result<(), WrongRule> {
        match word {
            [b'>', password @ ..] => self.add_password(PasswordHash::of(password)),
            [b'#', digits @ ..] => self.add_password(PasswordHash::parse(digits).ok_or(WrongRule::Hash)?),
            [b'<', password @ ..] => self.remove_password(PasswordHash::of(password))?,
            [b'!', digits @ ..] => self.remove_password(PasswordHash::parse(digits).ok_or(WrongRule::Hash)?)?,
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(all_channels);
                inner
                    .split(u8::is_ascii_whitespace)
                    .filter(|word| !word.is_empty())
                    .try_for_each(|word| selector.take_inner_word(word))?;
                self.selectors.push(selector);
            }
            _ => self.root.take_word(word)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, hash: PasswordHash) -> Result<(), WrongRule> {
        let at = self.passwords.iter().position(|known| *known == hash).ok_or(WrongRule::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }
}

impl Selector {
    /// Takes a word of a selector in parentheses over. One that ends in `)` would close it where it is read again.
    fn take_inner_word(&mut self, word: &[u8]) -> Result<(), WrongRule> {
        if word.ends_with(b")") { Err(WrongRule::Syntax) } else { self.take_word(word) }
    }

    /// Takes one word over.
    fn take_word(&mut self, word: &[u8]) -> Result<(), WrongRule> {
        match word.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"allkeys" | b"~*" => self.keys = Keys::All,
            b"resetkeys" => self.keys = Keys::Some(Vec::new()),
            b"allchannels" | b"&*" => self.channels = Channels::All,
            b"resetchannels" => self.channels = Channels::Some(Vec::new()),
            b"allcommands" | b"+@all" => self.set_all_commands(true),
            b"nocommands" | b"-@all" => self.set_all_commands(false),
            b"alldbs" => self.dbs = Databases::All,
            b"resetdbs" => self.set_dbs(BTreeSet::new()),
            [b'd', b'b', b'=', numbers @ ..] => self.set_dbs(read_dbs(numbers)?),
            _ => return self.take_sign(word),
        }
        Ok(())
    }

    fn take_sign(&mut self, word: &[u8]) -> Result<(), WrongRule> {
        match word {
            [b'~', pattern @ ..] => self.add_keys(KeyAccess::BOTH, pattern),
            [b'%', rest @ ..] => {
                // Without a `~` all of it are letters, and the pattern is empty.
                let letters = rest.iter().position(|byte| *byte == b'~').unwrap_or(rest.len());
                let pattern = rest.get(letters + 1..).unwrap_or_default();
                match self.keys {
                    Keys::All => Err(WrongRule::AllKeys),
                    Keys::Some(_) => self.add_keys(read_access(&rest[..letters])?, pattern),
                }
            }
            [b'&', pattern @ ..] => match self.channels {
                Channels::All => Err(WrongRule::AllChannels),
                Channels::Some(_) if has_spaces(pattern) => Err(WrongRule::Syntax),
                Channels::Some(_) => {
                    self.channels.add(pattern);
                    Ok(())
                }
            },
            [sign @ (b'+' | b'-'), name @ ..] => self.take_command(name, *sign == b'+'),
            _ => Err(WrongRule::Syntax),
        }
    }

    fn add_keys(&mut self, access: KeyAccess, pattern: &[u8]) -> Result<(), WrongRule> {
        match self.keys {
            Keys::All => Err(WrongRule::AllKeys),
            Keys::Some(_) if has_spaces(pattern) => Err(WrongRule::Syntax),
            Keys::Some(_) => {
                self.keys.add(access, pattern);
                Ok(())
            }
        }
    }

    /// What stands behind `+` or `-`.
    fn take_command(&mut self, name: &[u8], on: bool) -> Result<(), WrongRule> {
        if has_spaces(name) {
            // It would not be one word where it is written. Valkey knows no such command either.
            return Err(WrongRule::Unknown);
        }
        if let [b'@', category @ ..] = name {
            let acl = names::category(category).ok_or(WrongRule::Unknown)?;
            self.set_category(acl, name, on);
            return Ok(());
        }
        match name.iter().rposition(|byte| *byte == b'|') {
            Some(at) if on => self.take_subcommand(name, &name[..at], &name[at + 1..]),
            _ => {
                match names::named(name).ok_or(WrongRule::Unknown)? {
                    Named::Command(command) => self.set_command(command, on),
                    Named::Absent => self.set_absent(name, on),
                }
                Ok(())
            }
        }
    }

    /// `+config|get`, or `+select|0`: a command that has no subcommands, with this first argument only.
    fn take_subcommand(&mut self, name: &[u8], parent: &[u8], sub: &[u8]) -> Result<(), WrongRule> {
        let parent = match names::named(parent).ok_or(WrongRule::Unknown)? {
            Named::Command(parent) => parent,
            Named::Absent => {
                self.set_absent(name, true);
                return Ok(());
            }
        };
        if parent.spec.container().is_some() {
            return Err(WrongRule::FirstArgument);
        }
        if sub.is_empty() {
            return Err(WrongRule::Syntax);
        }
        let known = tables().resp.subcommand(parent.spec, sub);
        // Valkey's DEBUG has arguments, not subcommands, so any word may follow it.
        let takes_any = !matches!(parent.spec.body, Body::Container) || parent.spec.name == "debug";
        match known {
            Some(command) => self.set_command(command, true),
            None if takes_any => self.allow_first(parent, sub, name),
            None => return Err(WrongRule::Unknown),
        }
        Ok(())
    }
}

/// Joins the words of each selector to one: `(+get`, `~x)` becomes `(+get ~x)`.
pub(super) fn join_selectors<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, RuleError> {
    let mut joined: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for word in words.iter().map(AsRef::as_ref) {
        match open.take() {
            None if word.first() == Some(&b'(') && word.last() != Some(&b')') => {
                open = Some((word.to_vec(), word.to_vec()));
            }
            None => joined.push(word.to_vec()),
            Some((first, mut whole)) => {
                whole.push(b' ');
                whole.extend_from_slice(word);
                if word.last() == Some(&b')') {
                    joined.push(whole);
                } else {
                    open = Some((first, whole));
                }
            }
        }
    }
    match open {
        Some((first, _)) => Err(RuleError::Unmatched(first)),
        None => Ok(joined),
    }
}

/// The letters between `%` and `~`, each once.
fn read_access(letters: &[u8]) -> Result<KeyAccess, WrongRule> {
    let mut access = KeyAccess::default();
    for letter in letters {
        let flag = match letter.to_ascii_uppercase() {
            b'R' => &mut access.read,
            b'W' => &mut access.write,
            _ => return Err(WrongRule::Syntax),
        };
        if std::mem::replace(flag, true) {
            return Err(WrongRule::Syntax);
        }
    }
    if access == KeyAccess::default() { Err(WrongRule::Syntax) } else { Ok(access) }
}

/// Numbers with commas between them.
fn read_dbs(text: &[u8]) -> Result<BTreeSet<u32>, WrongRule> {
    text.split(|byte| *byte == b',')
        .map(|number| {
            let digits = number.strip_prefix(b"-").unwrap_or(number);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(WrongRule::Syntax);
            }
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<i32>().ok());
            number.and_then(|number| u32::try_from(number).ok()).ok_or(WrongRule::Database)
        })
        .collect()
}

/// What may not be in patterns and names: white space and NUL, which would break a line of rules.
pub(super) fn has_spaces(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}
