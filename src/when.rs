//! Times as people type and read them: RFC 3339 in UTC, a date, or so long ago.

use std::time::{Duration, UNIX_EPOCH};

/// What to type, for error messages.
pub const FORMS: &str = "a time like 2026-11-23T10:00:00Z, a date, `now`, or so long ago: -90s, -15min, -1h, -7d";

/// The last second of the year 9999: there is no notation for later ones.
const TIME_MAX_MS: u64 = 253_402_300_799_000;

/// Unix milliseconds of what was typed. `now_ms`: Unix milliseconds.
///
/// # Errors
/// It is no time: what would be.
pub fn parse(text: &str, now_ms: u64) -> Result<u64, String> {
    let refused = || format!("'{text}' is not {FORMS}");
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = humantime::parse_duration(ago).map_err(|_| refused())?;
        return Ok(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)));
    }
    let time = if text.contains(['T', 't', ' ']) {
        humantime::parse_rfc3339_weak(text)
    } else {
        humantime::parse_rfc3339(&format!("{text}T00:00:00Z"))
    };
    let since = time.map_err(|_| refused())?.duration_since(UNIX_EPOCH).map_err(|_| refused())?;
    u64::try_from(since.as_millis()).map_err(|_| refused())
}

/// Unix milliseconds as RFC 3339 in UTC, to the second.
pub fn show(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms.min(TIME_MAX_MS))).to_string()
}

/// The same to the millisecond.
pub fn show_ms(ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms.min(TIME_MAX_MS))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_428_000_123;

    #[test]
    fn times_are_read_and_shown() {
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("2026-11-23T10:00:00Z", 1_795_428_000_000),
            ("2026-11-23 10:00:00", 1_795_428_000_000),
            ("2026-11-23", 1_795_392_000_000),
            ("now", NOW),
            ("-90s", NOW - 90_000),
            ("-15min", NOW - 900_000),
            ("-1h", NOW - 3_600_000),
            ("-7d", NOW - 604_800_000),
            ("-100000years", 0),
        ] {
            assert_eq!(parse(text, NOW), Ok(ms), "{text}");
        }
        assert_eq!(show(1_795_428_000_999), "2026-11-23T10:00:00Z");
        assert_eq!(show(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_time_is_refused_with_what_would_be() {
        for text in ["", "-", "1h", "-h", "yesterday", "2026-13-01", "2026-11-23T25:00:00Z", "1960-01-01"] {
            let refused = parse(text, NOW).expect_err(text);
            assert!(refused.starts_with(&format!("'{text}' is not a time like")), "{refused}");
        }
    }
}
