//! Passwords: only their SHA-256 is kept.

use std::hint::black_box;

use sha2::{Digest, Sha256};

/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// The hash of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// The hash of this password.
    pub fn of(password: &[u8]) -> PasswordHash {
        PasswordHash(Sha256::digest(password).into())
    }

    /// Reads 64 hexadecimal digits in lower case.
    pub fn parse(digits: &[u8]) -> Option<PasswordHash> {
        if digits.len() != DIGITS {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(PasswordHash(hash))
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub fn is(&self, other: &PasswordHash) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |sum, (one, other)| sum | black_box(one ^ other));
        black_box(difference) == 0
    }
}

impl std::fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
