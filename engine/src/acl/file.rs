//! Many users at once: the lines of an ACL file, and the same as an entry of the cache state.

use std::collections::BTreeSet;

use super::user::User;
use super::users::Users;
use super::words::WrongRule;

/// What is wrong with the lines of a file, all of it, in Valkey's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}WARNING: ACL errors detected, no change to the previously active ACL rules was performed")]
pub struct FileErrors(String);

impl Users {
    /// Reads a file of lines `user NAME RULE …`. Where it has no default user, that is as in a new server. `file`: what it
    /// is called in errors. `all_channels`: what users begin with.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn read(file: &str, text: &[u8], all_channels: bool) -> Result<Users, FileErrors> {
        let (mut users, mut seen, mut errors) = (Users::default(), BTreeSet::new(), String::new());
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let mut words = line.split(|byte| *byte == b' ');
            let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
                errors += &format!("{file}:{number} should start with user keyword followed by the username. ");
                continue;
            };
            if !seen.insert(name.to_vec()) {
                let name = String::from_utf8_lossy(name);
                errors += &format!("WARNING: Duplicate user '{name}' found on line {number}. ");
                continue;
            }
            match read_line(name, &words.collect::<Vec<_>>(), all_channels) {
                Ok(user) => users.put(user),
                Err(wrong) => wrong.iter().for_each(|wrong| errors += &format!("{file}:{number}{wrong}")),
            }
        }
        if errors.is_empty() { Ok(users) } else { Err(FileErrors(errors)) }
    }

    /// The lines of a file that reads as these users.
    pub fn write(&self) -> Vec<u8> {
        self.iter().flat_map(|user| [user.line(), b"\n".to_vec()]).flatten().collect()
    }

    /// The same as an entry of the cache state: text, whatever bytes there are in names and patterns.
    pub fn to_entry(&self) -> String {
        let mut text = String::new();
        for byte in self.write() {
            match byte {
                b'\n' | b' '..=b'$' | b'&'..=b'~' => text.push(char::from(byte)),
                _ => text += &format!("%{byte:02x}"),
            }
        }
        text
    }

    /// Reads such an entry.
    ///
    /// # Errors
    /// As [`Users::read`]; an entry that was not written here.
    pub fn from_entry(entry: &str) -> Result<Users, FileErrors> {
        let broken = || FileErrors("a broken escape. ".to_owned());
        let (mut bytes, mut rest) = (Vec::with_capacity(entry.len()), entry.as_bytes());
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let (digits, behind) = rest.split_at_checked(2).ok_or_else(broken)?;
            let digits = std::str::from_utf8(digits).map_err(|_| broken())?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
            rest = behind;
        }
        Users::read("users", &bytes, false)
    }
}

/// One line's user; or everything that is wrong with it. Of several faults of one kind the first is told.
fn read_line(name: &[u8], words: &[&[u8]], all_channels: bool) -> Result<User, Vec<String>> {
    let mut user = User::new(name, all_channels);
    let joined = match super::words::join_selectors(words) {
        Ok(joined) => joined,
        Err(_) => return Err(vec![": Unmatched parenthesis in selector definition.".to_owned()]),
    };
    let (mut wrong, mut is_told) = (Vec::new(), false);
    if !Users::is_name(name) {
        wrong.push(": username contains spaces. ".to_owned());
    }
    for word in joined {
        match user.take_word(&word, all_channels) {
            Ok(()) => {}
            Err(why @ WrongRule::Unknown) => {
                let word = String::from_utf8_lossy(&word).into_owned();
                wrong.push(format!(": Error in applying operation '{word}': {why}. "));
            }
            Err(why) if !is_told => {
                is_told = true;
                wrong.push(format!(": {why}. "));
            }
            Err(_) => {}
        }
    }
    user.compile();
    if wrong.is_empty() { Ok(user) } else { Err(wrong) }
}
