//! Numbers as Redis reads and writes them.

use crate::double::{DOUBLE_BYTES, format_double};

/// A decimal integer, strictly: no sign but `-`, no leading zero, no space, within 64 bits (Redis: `string2ll`).
#[inline]
pub fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits == b"0" && !negative {
        return Some(0);
    }
    if digits.is_empty() || digits.len() > 19 || digits[0] == b'0' {
        return None;
    }
    let mut magnitude = 0u64;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    match (negative, magnitude) {
        (false, 0..=0x7fff_ffff_ffff_ffff) => Some(magnitude as i64),
        (true, 0..=0x8000_0000_0000_0000) => Some((magnitude as i64).wrapping_neg()),
        _ => None,
    }
}

/// A decimal unsigned integer, digits only.
pub fn parse_u64(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 20 {
        return None;
    }
    bytes.iter().try_fold(0u64, |number, &digit| {
        digit.is_ascii_digit().then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// A double as Valkey accepts it: decimal, `inf` and exponents are fine; no space, no NaN, nothing that is too large for
/// a double or too small to be told from 0.
pub fn parse_f64(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number: f64 = text.parse().ok()?;
    let named = bytes.iter().any(|byte| matches!(byte, b'i' | b'I'));
    let mantissa = bytes.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let vanished = number == 0.0 && mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    (!number.is_nan() && (number.is_finite() || named) && !vanished).then_some(number)
}

/// A double as Valkey prints it; see [`format_double`].
pub fn format_f64(number: f64) -> String {
    format_double(number, &mut [0; DOUBLE_BYTES]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("", None),
            ("-", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn doubles_are_short() {
        assert_eq!(format_f64(3.0), "3");
        assert_eq!(format_f64(-0.5), "-0.5");
        assert_eq!(format_f64(1e20), "1e+20");
        assert_eq!(parse_f64(b"1e3"), Some(1000.0));
        assert_eq!(parse_f64(b" 1"), None);
        assert_eq!(parse_f64(b"nan"), None);
        for (text, expected) in [
            ("inf", Some(f64::INFINITY)),
            ("-INFINITY", Some(f64::NEG_INFINITY)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("+5", Some(5.0)),
            ("5e-324", Some(5e-324)),
            ("0e-400", Some(0.0)),
            ("1e400", None),
            ("1e-400", None),
            ("0x10", None),
            ("1e", None),
            ("", None),
            ("1 ", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), expected, "{text:?}");
        }
    }
}
