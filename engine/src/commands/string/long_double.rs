//! The x86 `long double`: a 64-bit mantissa, so that INCRBYFLOAT's last digits are those of the real servers.
//!
//! Redis and Valkey add in `long double` and print 17 decimals. A program in `f64` would answer other digits for sums as
//! ordinary as 0.1 + 0.2, so the few operations needed are done here in integers, each correctly rounded (to nearest,
//! ties to even), as the C library and the processor round them. The form's reference is the x87 extended format:
//! <https://en.wikipedia.org/wiki/Extended_precision>.

use std::fmt;

use super::big::Big;

/// Longest text read as a number, in bytes: the servers' own limit.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;
/// Exponent of the last mantissa bit of the smallest number above zero.
const EXPONENT_MIN: i64 = -16445;
/// Exponent of the last mantissa bit of the largest finite number.
const EXPONENT_MAX: i64 = 16320;
/// Decimal exponents beyond this (either way) are beyond the format; keeps the arithmetic on untrusted text small.
const DECIMAL_EXPONENT_MAX: i64 = 5_000;
/// Decimals printed before trailing zeroes are dropped.
const DECIMALS: usize = 17;
const TEN_TO_DECIMALS: u128 = 10u128.pow(DECIMALS as u32);
/// Bits of a quotient that are computed: the mantissa, one to round by, one for a quotient below 1, one to spare.
const QUOTIENT_BITS: u32 = 67;

/// One number; never a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Magnitude {
    /// `mantissa * 2^exponent`; the mantissa's top bit is set, unless it is zero or the exponent the smallest.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Zero.
    pub const ZERO: LongDouble =
        LongDouble { negative: false, magnitude: Magnitude::Finite { mantissa: 0, exponent: EXPONENT_MIN } };

    /// Reads what C's `strtold` reads, but no NaN, nothing around the number and nothing too large or (unless it is
    /// zero) too small for the format: decimal and hexadecimal numbers, `inf`, `infinity`.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
            return Some(LongDouble { negative, magnitude: Magnitude::Infinite });
        }
        let magnitude = match rest {
            [b'0', b'x' | b'X', digits @ ..] => parse_hexadecimal(digits),
            _ => parse_decimal(rest),
        }?;
        Some(LongDouble { negative, magnitude })
    }

    /// The rounded sum; nothing where it is infinite or not a number.
    pub fn add(self, other: LongDouble) -> Option<LongDouble> {
        let (Magnitude::Finite { mantissa: m1, exponent: e1 }, Magnitude::Finite { mantissa: m2, exponent: e2 }) =
            (self.magnitude, other.magnitude)
        else {
            return None;
        };
        let self_is_larger = (e1, m1) >= (e2, m2);
        let (large, small) = if self_is_larger { ((m1, e1), (m2, e2)) } else { ((m2, e2), (m1, e1)) };
        let negative = if self_is_larger { self.negative } else { other.negative };
        // 63 bits to the right of the larger mantissa: more than rounding needs, whatever cancels out.
        let a = u128::from(large.0) << 63;
        let (b, inexact) = shift_right(u128::from(small.0) << 63, large.1 - small.1);
        let sum = if self.negative == other.negative {
            a + b
        } else {
            // What fell off the smaller number is still to be subtracted: one too many, and something is left over.
            a - b - u128::from(inexact)
        };
        let magnitude = Magnitude::rounded(sum, large.1 - 63, inexact);
        (magnitude != Magnitude::Infinite).then_some(LongDouble { negative: negative && sum != 0, magnitude })
    }
}

impl fmt::Display for LongDouble {
    /// In decimal, without exponent, with at most 17 decimals and no trailing zeroes; zero has no sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.magnitude {
            Magnitude::Infinite => "inf".to_owned(),
            Magnitude::Finite { mantissa, exponent: exponent @ 0.. } => {
                let mut integer = Big::from(u128::from(mantissa));
                integer.shift_left(exponent as usize);
                integer.into_decimal()
            }
            Magnitude::Finite { mantissa, exponent } => with_decimals(mantissa, -exponent),
        };
        let sign = if self.negative && digits != "0" { "-" } else { "" };
        write!(f, "{sign}{digits}")
    }
}

impl Magnitude {
    const ZERO: Magnitude = LongDouble::ZERO.magnitude;

    /// `bits * 2^exponent`, plus (if `inexact`) something less than one unit of `bits`, rounded into the format. Where
    /// something is lost, `bits` has at least 65 bits.
    fn rounded(bits: u128, exponent: i64, inexact: bool) -> Magnitude {
        let used = 128 - bits.leading_zeros();
        let surplus = i64::from(used.saturating_sub(64)).max(EXPONENT_MIN - exponent).max(0);
        let (kept, _) = shift_right(bits, surplus);
        let round_up = surplus > 0 && surplus <= 128 && {
            let half = 1u128 << (surplus - 1);
            let lost = if surplus == 128 { bits } else { bits & ((1u128 << surplus) - 1) };
            lost > half || (lost == half && (inexact || kept & 1 == 1))
        };
        let (mut mantissa, mut exponent) = (kept + u128::from(round_up), exponent + surplus);
        if mantissa >> 64 != 0 {
            (mantissa, exponent) = (mantissa >> 1, exponent + 1);
        }
        let mantissa = mantissa as u64;
        if mantissa == 0 {
            return Magnitude::ZERO;
        }
        let up = i64::from(mantissa.leading_zeros()).min(exponent - EXPONENT_MIN);
        let (mantissa, exponent) = (mantissa << up, exponent - up);
        if exponent > EXPONENT_MAX { Magnitude::Infinite } else { Magnitude::Finite { mantissa, exponent } }
    }

    /// The rounded quotient of two integers above zero; nothing where it is too large or too small for the format.
    fn quotient(mut numerator: Big, mut denominator: Big) -> Option<Magnitude> {
        let shift = numerator.bits() as i64 - denominator.bits() as i64;
        if shift > 0 {
            denominator.shift_left(shift as usize);
        } else {
            numerator.shift_left(-shift as usize);
        }
        // Both are equally long now, so the first bit is the integer part and what follows are halves, quarters…
        let mut bits = 0u128;
        for _ in 0..QUOTIENT_BITS {
            let fits = numerator >= denominator;
            if fits {
                numerator.subtract(&denominator);
            }
            bits = bits << 1 | u128::from(fits);
            numerator.shift_left(1);
        }
        Self::rounded(bits, shift - i64::from(QUOTIENT_BITS - 1), !numerator.is_zero()).in_range()
    }

    /// What was rounded from something above zero, unless it became infinite or zero.
    fn in_range(self) -> Option<Magnitude> {
        (self != Magnitude::Infinite && self != Magnitude::ZERO).then_some(self)
    }
}

/// `digits[.digits][e[sign]digits]` with at least one digit.
fn parse_decimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, fraction, exponent) = split_number(text, b'e', u8::is_ascii_digit)?;
    let digits = trim_zeroes(&digits);
    let mut integer = Big::default();
    for chunk in digits.0.chunks(Big::DECIMAL_CHUNK) {
        integer.multiply_add(
            10u32.pow(chunk.len() as u32),
            chunk.iter().fold(0, |sum, &c| sum * 10 + u32::from(c - b'0')),
        );
    }
    if integer.is_zero() {
        return Some(Magnitude::ZERO);
    }
    let exponent = exponent - fraction + digits.1;
    let position = exponent + digits.0.len() as i64;
    if !(-DECIMAL_EXPONENT_MAX..=DECIMAL_EXPONENT_MAX).contains(&position) {
        return None;
    }
    let mut denominator = Big::from(1);
    let scaled = if exponent >= 0 { &mut integer } else { &mut denominator };
    scaled.multiply_by_power_of_ten(exponent.unsigned_abs() as usize);
    Magnitude::quotient(integer, denominator)
}

/// What follows `0x`: `digits[.digits][p[sign]digits]` with at least one digit.
fn parse_hexadecimal(text: &[u8]) -> Option<Magnitude> {
    let (digits, fraction, exponent) = split_number(text, b'p', u8::is_ascii_hexdigit)?;
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    let digits = &digits[leading..];
    if digits.is_empty() {
        return Some(Magnitude::ZERO);
    }
    // 30 digits are 117 bits at least: more than a mantissa; all that the rest can say is "and a little more".
    let (head, tail) = digits.split_at(digits.len().min(30));
    let bits = head.iter().fold(0u128, |sum, &digit| sum << 4 | u128::from((digit as char).to_digit(16).unwrap_or(0)));
    let inexact = tail.iter().any(|&digit| digit != b'0');
    let exponent = exponent - 4 * fraction + 4 * tail.len() as i64;
    Magnitude::rounded(bits, exponent, inexact).in_range()
}

/// Splits a number into its digits (the point taken out), how many of them stood behind the point, and its exponent.
fn split_number(text: &[u8], mark: u8, is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i64, i64)> {
    let is_mark = |byte: &u8| byte.eq_ignore_ascii_case(&mark);
    let (mantissa, exponent) = match text.iter().position(is_mark) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (integer, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &b""[..]),
    };
    let digits = [integer, fraction].concat();
    (!digits.is_empty() && digits.iter().all(is_digit)).then_some((digits, fraction.len() as i64, exponent))
}

/// `[sign]digits`; what would not fit is as good as any number far beyond the format.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    const FAR: i64 = 1_000_000_000;
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits.iter().fold(0, |sum: i64, &digit| (sum * 10 + i64::from(digit - b'0')).min(FAR));
    Some(if negative { -exponent } else { exponent })
}

/// The digits without zeroes at either end, and how many were dropped at the right.
fn trim_zeroes(digits: &[u8]) -> (&[u8], i64) {
    let left = digits.iter().take_while(|&&digit| digit == b'0').count();
    let right = digits[left..].iter().rev().take_while(|&&digit| digit == b'0').count();
    (&digits[left..digits.len() - right], right as i64)
}

/// `mantissa / 2^shift` (shift above zero) with its decimals.
fn with_decimals(mantissa: u64, shift: i64) -> String {
    let scaled = u128::from(mantissa) * TEN_TO_DECIMALS;
    let (mut units, _) = shift_right(scaled, shift);
    // `scaled` has fewer than 122 bits: from there on it is below one half.
    if shift < 122 {
        let (lost, half) = (scaled & ((1u128 << shift) - 1), 1u128 << (shift - 1));
        units += u128::from(lost > half || (lost == half && units & 1 == 1));
    }
    let decimals = format!("{:0width$}", units % TEN_TO_DECIMALS, width = DECIMALS);
    let text = format!("{}.{}", units / TEN_TO_DECIMALS, decimals);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Shifts right by any distance from 0; says whether ones fell off.
fn shift_right(bits: u128, by: i64) -> (u128, bool) {
    match u32::try_from(by) {
        Ok(by @ 0..128) => (bits >> by, by > 0 && bits << (128 - by) != 0),
        _ => (0, bits != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (LongDouble::parse(a.as_bytes()).unwrap(), LongDouble::parse(b.as_bytes()).unwrap());
        a.add(b).map(|sum| sum.to_string())
    }

    #[test]
    fn sums_as_the_real_servers_answer_them() {
        for (a, b, expected) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "1.1", "4.1"),
            ("4.1", "-4.1", "0"),
            ("3.0", "1.000000000000000005", "4.00000000000000001"),
            ("0", "1e-17", "0.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("100000000000000000000", "1", "100000000000000000000"),
            ("0", "1e30", "1000000000000000000024696061952"),
            ("0.3", "123456789.987654321", "123456790.28765432100044563"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("1.2345678901234567890123456789", "0", "1.23456789012345679"),
            ("0x10", "0x1.8p1", "19"),
            ("-0.0", "-0.0", "0"),
            ("19.99", "0.01", "20"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Some(expected), "{b} + {a}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in
            ["", ".", "-", "+-1", "1e", "1e+", "e1", "1,5", " 1", "1 ", "0x", "0x.p1", "0x1p", "nan", "infinit", "1\0"]
        {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(LongDouble::parse(&[b'1'; TEXT_BYTES_MAX + 1]), None);
    }

    #[test]
    fn the_edges_of_the_format() {
        let finite = |text: &str| LongDouble::parse(text.as_bytes());
        assert_eq!(finite("1.18973149535723176502e4932").map(|n| n.to_string().len()), Some(4933));
        assert_eq!(finite("1.1897314953572317652e4932"), None, "rounds to infinity");
        assert_eq!(finite("1e99999999999999999999"), None);
        assert_eq!(finite("0e99999999999999999999"), Some(LongDouble::ZERO));
        assert_eq!(finite("1e-4951"), None, "rounds to zero");
        assert_eq!(finite("2e-4951"), finite("3.6e-4951"), "the smallest number above zero");
        assert_eq!(finite("0x1p-16445"), finite("3.6e-4951"));
        assert_eq!(finite("0x1p-16446"), None, "a tie goes to the even one, zero");
        assert_eq!(finite("0x1.8p-16446"), finite("0x1p-16445"));
        assert_eq!(finite("0x1p16384"), None);
        assert_eq!(sum("1e4932", "1e4932"), None);
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("inf", "-inf"), None);
    }

    #[test]
    fn long_texts_are_read_in_full() {
        let third = format!("0.{}", "3".repeat(TEXT_BYTES_MAX - 2));
        assert_eq!(sum(&third, "0").unwrap(), "0.33333333333333333");
        let above_half = format!("18446744073709551616.5{}1", "0".repeat(4000));
        assert_eq!(sum(&above_half, "0").unwrap(), "18446744073709551616");
        let tie = format!("9223372036854775808.5{}", "0".repeat(4000));
        assert_eq!(sum(&tie, "0").unwrap(), "9223372036854775808", "ties to even");
        let above_tie = format!("{tie}1");
        assert_eq!(sum(&above_tie, "0").unwrap(), "9223372036854775809");
    }
}
