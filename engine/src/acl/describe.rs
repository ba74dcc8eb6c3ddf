//! Users written as rules: what ACL LIST shows, and what ACL GETUSER tells in parts.

use super::patterns::{Channels, Databases, KeyAccess, Keys};
use super::selector::Selector;
use super::user::User;

/// A selector in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub commands: Vec<u8>,
    pub keys: Vec<u8>,
    pub channels: Vec<u8>,
    pub databases: Vec<u8>,
}

impl User {
    /// All of it as a line that can be read again: `user NAME` and its rules, passwords as hashes.
    pub fn line(&self) -> Vec<u8> {
        let mut line = b"user ".to_vec();
        line.extend_from_slice(&self.name);
        line.extend_from_slice(if self.is_on { b" on" } else { b" off" });
        if self.no_password {
            line.extend_from_slice(b" nopass");
        }
        for hash in self.hashes() {
            line.extend_from_slice(b" #");
            line.extend_from_slice(hash.as_bytes());
        }
        line.push(b' ');
        line.extend(self.root.line());
        for selector in &self.selectors {
            line.extend_from_slice(b" (");
            line.extend(selector.line());
            line.push(b')');
        }
        line
    }

    /// The hashes of its passwords, in hexadecimal digits.
    pub fn hashes(&self) -> impl Iterator<Item = String> {
        self.passwords.iter().map(ToString::to_string)
    }

    /// Its selectors in words, the one that every user has first.
    pub fn descriptions(&self) -> impl Iterator<Item = Description> {
        self.each_selector().map(Selector::describe)
    }
}

impl Selector {
    fn describe(&self) -> Description {
        Description {
            commands: self.commands(),
            keys: self.keys(),
            channels: self.channels(),
            databases: match &self.dbs {
                Databases::All => b"alldbs".to_vec(),
                Databases::Some(numbers) if numbers.is_empty() => Vec::new(),
                Databases::Some(_) => self.databases(),
            },
        }
    }

    /// As part of a line: what is left out is what a new selector begins with, channels excepted.
    fn line(&self) -> Vec<u8> {
        let mut parts = vec![self.keys()];
        if self.channels != Channels::All {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.channels());
        parts.push(self.databases());
        parts.push(self.commands());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }

    fn commands(&self) -> Vec<u8> {
        let (base, rules) = self.rules();
        let mut text = if base { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in rules {
            text.extend_from_slice(if rule.allow { b" +" } else { b" -" });
            text.extend_from_slice(&rule.name);
        }
        text
    }

    fn keys(&self) -> Vec<u8> {
        let Keys::Some(patterns) = &self.keys else { return b"~*".to_vec() };
        let words: Vec<Vec<u8>> = patterns
            .iter()
            .map(|known| {
                let sign: &[u8] = match known.access {
                    KeyAccess { read: true, write: false } => b"%R~",
                    KeyAccess { read: false, write: true } => b"%W~",
                    _ => b"~",
                };
                [sign, &known.pattern].concat()
            })
            .collect();
        words.join(&b' ')
    }

    fn channels(&self) -> Vec<u8> {
        let Channels::Some(patterns) = &self.channels else { return b"&*".to_vec() };
        let words: Vec<Vec<u8>> = patterns.iter().map(|known| [b"&", &known[..]].concat()).collect();
        words.join(&b' ')
    }

    /// Nothing where all are allowed, as in lines that were written before there were such rules.
    fn databases(&self) -> Vec<u8> {
        match &self.dbs {
            Databases::All => Vec::new(),
            Databases::Some(numbers) if numbers.is_empty() => b"resetdbs".to_vec(),
            Databases::Some(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                format!("db={}", numbers.join(",")).into_bytes()
            }
        }
    }
}
