//! Numbers as memcached reads them: lenient like C's `strtol`, and cut to their type's width.

/// Client flags: 32 bits, of which a longer number keeps the low ones. Nothing for a minus or garbage.
pub fn flags(word: &[u8]) -> Option<u32> {
    unsigned(word).map(|value| value as u32)
}

/// An expiry time in seconds: 32 bits with sign, of which a longer number keeps the low ones.
pub fn exptime(word: &[u8]) -> Option<i32> {
    signed(word).map(|value| value as i32)
}

/// A 64 bit number: cas unique, or the delta of incr and decr.
pub fn unsigned(word: &[u8]) -> Option<u64> {
    match parse(word)? {
        (false, value) => Some(value),
        (true, _) => None,
    }
}

/// A signed 64 bit number.
pub fn signed(word: &[u8]) -> Option<i64> {
    match parse(word)? {
        (false, value) => i64::try_from(value).ok(),
        (true, value) => 0i64.checked_sub_unsigned(value),
    }
}

/// Blanks (no space is left inside a word), a sign, digits; whatever follows a further blank is ignored.
#[inline]
fn parse(word: &[u8]) -> Option<(bool, u64)> {
    // Most flags and expiry times are a zero.
    if let [digit @ b'0'..=b'9'] = word {
        return Some((false, u64::from(digit - b'0')));
    }
    let blanks = word.iter().take_while(|&&byte| is_blank(byte)).count();
    let (negative, digits) = match &word[blanks..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value = 0u64;
    for (index, byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        } else {
            return (index > 0 && is_blank(*byte)).then_some((negative, value));
        }
    }
    (!digits.is_empty()).then_some((negative, value))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_memcached_reads_them() {
        assert_eq!(flags(b"4294967295"), Some(u32::MAX));
        assert_eq!(flags(b"4294967301"), Some(5));
        assert_eq!(flags(b"18446744073709551615"), Some(u32::MAX));
        assert_eq!(flags(b"99999999999999999999"), None);
        assert_eq!(flags(b"-1"), None);
        assert_eq!(flags(b"+5"), Some(5));
        assert_eq!(flags(b"5\t9"), Some(5));
        assert_eq!(flags(b"\t5"), Some(5));
        assert_eq!(flags(b"5x"), None);
        assert_eq!(flags(b"-"), None);
        assert_eq!(flags(b""), None);
        assert_eq!(exptime(b"-1"), Some(-1));
        assert_eq!(exptime(b"4294967297"), Some(1));
        assert_eq!(exptime(b"99999999999999999999"), None);
        assert_eq!(exptime(b"-99999999999999999999"), None);
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"18446744073709551616"), None);
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"03\r"), Some(3));
    }
}
