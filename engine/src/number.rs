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
#[inline]
pub fn parse_f64(bytes: &[u8]) -> Option<f64> {
    parse_short_f64(bytes).or_else(|| parse_long_f64(bytes))
}

/// Digits with or without a point, few enough that number and divisor are exact, so that dividing rounds once and right.
/// Nothing: it is something else.
#[inline]
fn parse_short_f64(bytes: &[u8]) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
    let (negative, text) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if text.len() > DIGITS_MAX {
        return None;
    }
    let (mut digits, mut point) = (0i64, None);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = digits * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let number = match point {
        None if text.is_empty() => return None,
        None => digits as f64,
        Some(_) if text.len() == 1 => return None,
        Some(at) => digits as f64 / POWERS[text.len() - at - 1],
    };
    Some(if negative { -number } else { number })
}

fn parse_long_f64(bytes: &[u8]) -> Option<f64> {
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
        assert_eq!(parse_f64(b"-0").map(f64::is_sign_negative), Some(true));
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
            ("-", None),
            (".", None),
            ("-.", None),
            ("1.2.3", None),
            ("--1", None),
            ("-1.", Some(-1.0)),
            ("007.250", Some(7.25)),
            ("0.00000000000001", Some(1e-14)),
            ("123456789.12345", Some(123_456_789.123_45)),
            ("999999999999999", Some(999_999_999_999_999.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn short_doubles_are_read_as_long_ones() {
        arbtest::arbtest(|bytes| {
            let len = bytes.int_in_range(0..=17)?;
            let text: Vec<u8> =
                (0..len).map(|_| bytes.choose(b"0123456789999000..-").copied()).collect::<Result<_, _>>()?;
            let (short, long) = (parse_short_f64(&text), parse_long_f64(&text));
            assert!(short.is_none() || short.map(f64::to_bits) == long.map(f64::to_bits), "{text:?}");
            Ok(())
        });
    }
}
