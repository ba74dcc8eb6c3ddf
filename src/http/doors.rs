//! Who may ask the HTTP side: this machine while no password is set, whoever has the password afterwards.

use std::hint::black_box;
use std::net::IpAddr;

/// What a peer reads that is not local while no password is set.
pub const PROTECTED: &str = "DENIED Swell is in protected mode: no password is set, so only connections from the \
loopback interface are accepted. To let other machines in, start Swell with a password: --requirepass, the variable \
SWELL_REQUIREPASS, or requirepass in the configuration file.\n";

/// Whether `peer` is this machine itself, over IPv4, IPv6 or the one inside the other.
pub fn is_local(peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback()
}

/// Whether an `Authorization` header gives `password`: as Bearer token, or as Basic password of any user.
pub fn password_matches(authorization: Option<&str>, password: &str) -> bool {
    credentials(authorization).is_some_and(|(_, given)| same(&given, password.as_bytes()))
}

/// The user and the password that an `Authorization` header gives; a Bearer token is the password of nobody by name.
pub fn credentials(authorization: Option<&str>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, credentials) = authorization?.trim().split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((Vec::new(), credentials.as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = from_base64(credentials)?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

/// The `Authorization` header that gives `password`, whatever characters it has: Basic, with no user.
pub fn authorization(password: &str) -> String {
    format!("Basic {}", to_base64(format!(":{password}").as_bytes()))
}

/// Equality in a time that depends on the length of `given` only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    for (at, byte) in given.iter().enumerate() {
        let other = expected.get(at % expected.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(black_box(byte ^ other));
    }
    black_box(difference) == 0
}

/// Standard base64 with padding.
fn to_base64(bytes: &[u8]) -> String {
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let sextet = bits >> (18 - 6 * place) & 63;
            text.push(if place <= group.len() { char::from(characters[sextet as usize]) } else { '=' });
        }
    }
    text
}

/// Standard base64, with or without padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for character in group {
            bits = bits << 6 | u32::from(sextet(*character)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, decoded @ ..] = bits.to_be_bytes();
        // A group of one character has only six bits, which is no byte.
        bytes.extend_from_slice(decoded.get(..group.len().checked_sub(1).filter(|count| *count > 0)?)?);
    }
    Some(bytes)
}

fn sextet(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_as_its_standard_shows_it() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE", "fooba")] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(
            (to_base64(b"f"), to_base64(b"fo"), to_base64(b"foo")),
            ("Zg==".into(), "Zm8=".into(), "Zm9v".into())
        );
        for text in ["Z", "Zm9vY", "Zm 9v", "Zm=9"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn basic_with_any_user_and_bearer_are_let_in() {
        // user:se:cret and :se:cret
        for header in ["Basic dXNlcjpzZTpjcmV0", "basic OnNlOmNyZXQ=", "Bearer se:cret", "bearer  se:cret "] {
            assert!(password_matches(Some(header), "se:cret"), "{header}");
        }
    }

    #[test]
    fn what_the_client_sends_is_let_in_whatever_the_password_has() {
        for password in ["secret", "a b\r\nX: 1", "pässwörd", ":", "\u{7f}"] {
            let header = authorization(password);
            assert!(header.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{header}");
            assert!(password_matches(Some(&header), password), "{password:?}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        let headers = [
            "",
            "Bearer",
            "Bearer ",
            "Bearer se:cre",
            "Bearer se:cretse:cret",
            "Basic se:cret",
            "Basic Zm9v",
            "Digest se:cret",
            "se:cret",
        ];
        for header in headers {
            assert!(!password_matches(Some(header), "se:cret"), "{header}");
        }
        assert!(!password_matches(None, "se:cret"));
    }

    #[test]
    fn local_is_loopback_only() {
        for (peer, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(is_local(peer.parse().expect("an address")), local, "{peer}");
        }
    }
}
