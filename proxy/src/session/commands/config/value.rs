//! Option values as CONFIG SET reads them.

use swell_engine::number::parse_i64;

use crate::error::ConfigRefusal;

/// Sizes with their units, in bytes: without `b` they are of thousands.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1 << 30),
];

/// Most percentiles that INFO shows of a command.
const PERCENTILES_MAX: usize = 100;

/// A size in bytes in Redis's notation: digits and a unit in any case.
///
/// # Errors
/// [`ConfigRefusal::NotMemory`], also for what does not fit into 64 bits.
pub fn memory(text: &[u8]) -> Result<u64, ConfigRefusal> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = text.split_at(digits);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    let unit = UNITS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(unit));
    let (Some(number), Some((_, bytes))) = (number, unit) else { return Err(ConfigRefusal::NotMemory) };
    number.checked_mul(*bytes).ok_or(ConfigRefusal::NotMemory)
}

/// A whole number.
///
/// # Errors
/// [`ConfigRefusal::NotInteger`].
pub fn integer(text: &[u8]) -> Result<i64, ConfigRefusal> {
    parse_i64(text).ok_or(ConfigRefusal::NotInteger)
}

/// A number within its bounds, both of them allowed.
///
/// # Errors
/// [`ConfigRefusal::OutOfRange`].
pub fn within(number: i64, min: i64, max: i64) -> Result<u64, ConfigRefusal> {
    match u64::try_from(number) {
        Ok(unsigned) if (min..=max).contains(&number) => Ok(unsigned),
        _ => Err(ConfigRefusal::OutOfRange(min, max)),
    }
}

/// "yes" or "no", in any case.
///
/// # Errors
/// [`ConfigRefusal::NotSwitch`].
pub fn switch(text: &[u8]) -> Result<bool, ConfigRefusal> {
    match text.to_ascii_lowercase().as_slice() {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err(ConfigRefusal::NotSwitch),
    }
}

/// The same the other way round.
pub fn switch_name(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

/// Percentages with spaces between them, up to [`PERCENTILES_MAX`].
///
/// # Errors
/// [`ConfigRefusal::NotPercentiles`], [`ConfigRefusal::PercentilesOutOfRange`].
pub fn percentiles(text: &[u8]) -> Result<Vec<f64>, ConfigRefusal> {
    let text = std::str::from_utf8(text).map_err(|_| ConfigRefusal::NotPercentiles)?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.len() > PERCENTILES_MAX {
        return Err(ConfigRefusal::NotPercentiles);
    }
    let percent = |word: &&str| match word.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) => Err(ConfigRefusal::PercentilesOutOfRange),
        Err(_) => Err(ConfigRefusal::NotPercentiles),
    };
    words.iter().map(percent).collect()
}

/// A number within bounds, which may be below zero.
pub fn between(number: i64, min: i64, max: i64) -> Result<i64, ConfigRefusal> {
    if (min..=max).contains(&number) { Ok(number) } else { Err(ConfigRefusal::OutOfRange(min, max)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5b", Some(5)),
            ("200m", Some(200_000_000)),
            ("512mb", Some(512 << 20)),
            ("1GB", Some(1 << 30)),
            ("2g", Some(2_000_000_000)),
            ("7k", Some(7_000)),
            ("7Kb", Some(7_168)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999gb", None),
            ("", None),
            ("kb", None),
            ("-1", None),
            ("+1", None),
            ("1.5gb", None),
            ("1tb", None),
            ("10%", None),
            ("5gib", None),
        ] {
            assert_eq!(memory(text.as_bytes()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_within_bounds() {
        assert_eq!(integer(b"12").and_then(|number| within(number, 0, 12)), Ok(12));
        assert_eq!(within(-1, 0, 12), Err(ConfigRefusal::OutOfRange(0, 12)));
        assert_eq!(within(13, 0, 12), Err(ConfigRefusal::OutOfRange(0, 12)));
        assert_eq!(integer(b"0x"), Err(ConfigRefusal::NotInteger));
    }
}
