//! What options of several commands have in common: comparing words, reading expiry times.

use crate::error::Fault;
use crate::number::parse_i64;

/// The unit of an expiry time in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Seconds,
    Millis,
}

/// What an expiry time in a request counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBase {
    /// A duration: EX, PX, EXPIRE, PEXPIRE.
    Now,
    /// A Unix time: EXAT, PXAT, EXPIREAT, PEXPIREAT.
    Epoch,
}

/// How many elements SRANDMEMBER and its like are to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawCount {
    /// As many, none twice.
    Distinct(usize),
    /// As many, each drawn by itself.
    Repeated(usize),
}

impl DrawCount {
    /// Elements that are drawn by themselves at most in one request: the reply is as long, however small the collection.
    /// The real servers know no bound, and run out of memory.
    const REPEATED_MAX: u64 = 1 << 24;

    /// Reads the argument: negative for repeated draws.
    ///
    /// # Errors
    /// [`Fault::NotInteger`]; out of range.
    pub fn parse(arg: &[u8]) -> Result<DrawCount, Fault> {
        let count = parse_i64(arg).ok_or(Fault::NotInteger)?;
        match count {
            i64::MIN => Err(Fault::say(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            )),
            0.. => Ok(DrawCount::Distinct(usize::try_from(count).unwrap_or(usize::MAX))),
            _ if count.unsigned_abs() > Self::REPEATED_MAX => Err(Self::OUT_OF_RANGE),
            _ => Ok(DrawCount::Repeated(count.unsigned_abs() as usize)),
        }
    }

    /// The same, where each element is answered with its value.
    ///
    /// # Errors
    /// The reply's length would be out of range.
    pub fn with_values(self) -> Result<DrawCount, Fault> {
        match self {
            DrawCount::Distinct(count) if count > i64::MAX as usize / 2 => Err(Self::OUT_OF_RANGE),
            _ => Ok(self),
        }
    }

    const OUT_OF_RANGE: Fault = Fault::say("ERR value is out of range");
}

/// The Unix time in ms that the expiry option of a SET-like command means; always above zero, possibly in the past.
///
/// # Errors
/// [`Fault::NotInteger`]; [`Fault::InvalidExpire`] naming `command` for zero, for less, and for what does not fit into
/// an `i64` of ms.
pub fn expire_at(arg: &[u8], unit: TimeUnit, base: TimeBase, now_ms: u64, command: &'static str) -> Result<u64, Fault> {
    let amount = parse_i64(arg).ok_or(Fault::NotInteger)?;
    let at_ms = absolute_ms(amount, unit, base, now_ms).filter(|_| amount > 0);
    at_ms.and_then(|ms| u64::try_from(ms).ok()).ok_or(Fault::InvalidExpire(command))
}

/// The Unix time in ms that the argument of an EXPIRE-like command means. Zero and less are legal here and lie in the
/// past, as does a time before the epoch.
///
/// # Errors
/// [`Fault::NotInteger`]; [`Fault::InvalidExpire`] naming `command` for what does not fit into an `i64` of ms.
pub fn expire_at_signed(
    arg: &[u8],
    unit: TimeUnit,
    base: TimeBase,
    now_ms: u64,
    command: &'static str,
) -> Result<i64, Fault> {
    let amount = parse_i64(arg).ok_or(Fault::NotInteger)?;
    absolute_ms(amount, unit, base, now_ms).ok_or(Fault::InvalidExpire(command))
}

/// Whether `arg` is the option `word`, in any case. `word` is given in capitals.
#[inline]
pub fn is_word(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

fn absolute_ms(amount: i64, unit: TimeUnit, base: TimeBase, now_ms: u64) -> Option<i64> {
    let ms = match unit {
        TimeUnit::Seconds => amount.checked_mul(1000)?,
        TimeUnit::Millis => amount,
    };
    match base {
        TimeBase::Now => ms.checked_add(i64::try_from(now_ms).ok()?),
        TimeBase::Epoch => Some(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn durations_and_times() {
        let read = |arg: &[u8], unit, base| expire_at(arg, unit, base, NOW_MS, "set");
        assert_eq!(read(b"10", TimeUnit::Seconds, TimeBase::Now), Ok(NOW_MS + 10_000));
        assert_eq!(read(b"10", TimeUnit::Millis, TimeBase::Now), Ok(NOW_MS + 10));
        assert_eq!(read(b"10", TimeUnit::Seconds, TimeBase::Epoch), Ok(10_000));
        assert_eq!(read(b"10", TimeUnit::Millis, TimeBase::Epoch), Ok(10));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let read = |arg: &[u8], unit, base| expire_at(arg, unit, base, NOW_MS, "set");
        let invalid = Err(Fault::InvalidExpire("set"));
        assert_eq!(read(b"0", TimeUnit::Seconds, TimeBase::Epoch), invalid);
        assert_eq!(read(b"-1", TimeUnit::Millis, TimeBase::Now), invalid, "not even where the sum is positive");
        assert_eq!(read(b"9223372036854776", TimeUnit::Seconds, TimeBase::Epoch), invalid);
        assert_eq!(read(b"9223372036854775", TimeUnit::Seconds, TimeBase::Epoch), Ok(9_223_372_036_854_775_000));
        assert_eq!(read(b"9223372036854775807", TimeUnit::Millis, TimeBase::Now), invalid);
        assert_eq!(read(b"9223372036854775807", TimeUnit::Millis, TimeBase::Epoch), Ok(i64::MAX as u64));
        assert_eq!(read(b"1.5", TimeUnit::Seconds, TimeBase::Now), Err(Fault::NotInteger));
    }

    #[test]
    fn signed_times_may_lie_before_the_epoch() {
        let read = |arg: &[u8], unit, base| expire_at_signed(arg, unit, base, NOW_MS, "expire");
        assert_eq!(read(b"-1", TimeUnit::Seconds, TimeBase::Now), Ok(NOW_MS as i64 - 1000));
        assert_eq!(read(b"-9223372036854775808", TimeUnit::Millis, TimeBase::Epoch), Ok(i64::MIN));
        assert_eq!(read(b"-9223372036854776", TimeUnit::Seconds, TimeBase::Now), Err(Fault::InvalidExpire("expire")));
        assert_eq!(read(b"9223372036854775807", TimeUnit::Millis, TimeBase::Now), Err(Fault::InvalidExpire("expire")));
    }
}
