//! The ID of a stream's entry: milliseconds and a sequence number, as clients write it and as it is ordered.

use swell_wire::out::format_u64;

use crate::error::Fault;

/// What every malformed ID in a command is answered with.
pub const INVALID_ID: Fault = Fault::say("ERR Invalid stream ID specified as stream command argument");

/// Most bytes that the form `<ms>-<seq>` has.
pub const ID_TEXT_BYTES_MAX: usize = 41;

/// Longer arguments are no IDs, whatever they say (Valkey reads them through a buffer of 128 bytes).
const ID_ARGUMENT_BYTES_MAX: usize = 127;

/// An entry's ID. IDs of a stream only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Usually the Unix time in milliseconds at which it was added.
    pub ms: u64,
    pub seq: u64,
}

/// The ID that a client asks a new entry to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedId {
    /// `*`: the time now.
    Auto,
    /// `<ms>-*`: the next one of this millisecond.
    Ms(u64),
    /// All of it.
    Given(StreamId),
}

impl StreamId {
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// An ID of these numbers.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The ID after this one; nothing after the last.
    pub fn next(self) -> Option<StreamId> {
        match (self.ms, self.seq) {
            (u64::MAX, u64::MAX) => None,
            (ms, u64::MAX) => Some(StreamId::new(ms + 1, 0)),
            (ms, seq) => Some(StreamId::new(ms, seq + 1)),
        }
    }

    /// The ID before this one; nothing before the first.
    pub fn previous(self) -> Option<StreamId> {
        match (self.ms, self.seq) {
            (0, 0) => None,
            (ms, 0) => Some(StreamId::new(ms - 1, u64::MAX)),
            (ms, seq) => Some(StreamId::new(ms, seq - 1)),
        }
    }

    /// Reads `<ms>` or `<ms>-<seq>`; `missing_seq` stands for a sequence number that is not there.
    ///
    /// # Errors
    /// [`INVALID_ID`].
    pub fn parse(arg: &[u8], missing_seq: u64) -> Result<StreamId, Fault> {
        match split(arg)? {
            (ms, None) => Ok(StreamId::new(ms, missing_seq)),
            (ms, Some(seq)) => Ok(StreamId::new(ms, number(seq).ok_or(INVALID_ID)?)),
        }
    }

    /// As [`StreamId::parse`], but `-` and `+` are the lowest and the highest ID.
    ///
    /// # Errors
    /// [`INVALID_ID`].
    pub fn parse_open(arg: &[u8], missing_seq: u64) -> Result<StreamId, Fault> {
        match arg {
            b"-" => Ok(StreamId::MIN),
            b"+" => Ok(StreamId::MAX),
            _ => StreamId::parse(arg, missing_seq),
        }
    }

    /// The first ID of an interval: `(` before it leaves it out.
    ///
    /// # Errors
    /// [`INVALID_ID`]; an interval that begins after the highest ID.
    pub fn parse_start(arg: &[u8]) -> Result<StreamId, Fault> {
        match excluded(arg) {
            None => StreamId::parse_open(arg, 0),
            Some(id) => {
                let after = StreamId::parse(id, 0)?.next();
                after.ok_or(Fault::say("ERR invalid start ID for the interval"))
            }
        }
    }

    /// The last ID of an interval: `(` before it leaves it out.
    ///
    /// # Errors
    /// [`INVALID_ID`]; an interval that ends before the lowest ID.
    pub fn parse_end(arg: &[u8]) -> Result<StreamId, Fault> {
        match excluded(arg) {
            None => StreamId::parse_open(arg, u64::MAX),
            Some(id) => {
                let before = StreamId::parse(id, u64::MAX)?.previous();
                before.ok_or(Fault::say("ERR invalid end ID for the interval"))
            }
        }
    }

    /// Its form `<ms>-<seq>`, written into `text`.
    #[inline]
    pub fn format(self, text: &mut [u8; ID_TEXT_BYTES_MAX]) -> &[u8] {
        let mut digits = [0; 20];
        let ms = format_u64(self.ms, &mut digits);
        let at = ms.len();
        text[..at].copy_from_slice(ms);
        text[at] = b'-';
        let seq = format_u64(self.seq, &mut digits);
        let end = at + 1 + seq.len();
        text[at + 1..end].copy_from_slice(seq);
        &text[..end]
    }

    /// Its form `<ms>-<seq>`.
    pub fn to_vec(self) -> Vec<u8> {
        self.format(&mut [0; ID_TEXT_BYTES_MAX]).to_vec()
    }
}

impl AskedId {
    /// Reads XADD's argument.
    ///
    /// # Errors
    /// [`INVALID_ID`].
    pub fn parse(arg: &[u8]) -> Result<AskedId, Fault> {
        if arg == b"*" {
            return Ok(AskedId::Auto);
        }
        match split(arg)? {
            (ms, Some(b"*")) => Ok(AskedId::Ms(ms)),
            _ => StreamId::parse(arg, 0).map(AskedId::Given),
        }
    }
}

/// The milliseconds, and the text after the first `-` if there is one.
fn split(arg: &[u8]) -> Result<(u64, Option<&[u8]>), Fault> {
    if arg.len() > ID_ARGUMENT_BYTES_MAX {
        return Err(INVALID_ID);
    }
    let (ms, seq) = match arg.iter().position(|&byte| byte == b'-') {
        Some(dash) => (&arg[..dash], Some(&arg[dash + 1..])),
        None => (arg, None),
    };
    Ok((number(ms).ok_or(INVALID_ID)?, seq))
}

/// A number as C's `strtoull` reads it, which is what clients have come to rely on: leading zeros, a plus sign and
/// space before it are fine. Nothing negative.
fn number(text: &[u8]) -> Option<u64> {
    let begin = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'))?;
    let text = &text[begin..];
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        digit.is_ascii_digit().then_some(())?;
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// What stands behind the `(` of an excluded bound. A single `(` is an ID like any other, hence malformed.
fn excluded(arg: &[u8]) -> Option<&[u8]> {
    arg.strip_prefix(b"(").filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        let id = |text: &[u8]| StreamId::parse(text, 7).ok();
        assert_eq!(id(b"5"), Some(StreamId::new(5, 7)));
        assert_eq!(id(b"5-6"), Some(StreamId::new(5, 6)));
        assert_eq!(id(b"18446744073709551615-18446744073709551615"), Some(StreamId::MAX));
        for bad in [
            &b""[..],
            b"-",
            b"+",
            b"5-",
            b"-5",
            b"5-6-7",
            b"5-*",
            b"a",
            b"18446744073709551616",
            b"5 ",
            b"$",
            b"5-+",
            b" ",
        ] {
            assert_eq!(id(bad), None, "{bad:?}");
        }
        assert_eq!((id(&[b'0'; 128]), id(&[b'0'; 127])), (None, Some(StreamId::new(0, 7))));
        assert_eq!(id(b"+05- 06"), Some(StreamId::new(5, 6)));
        for id in [StreamId::MIN, StreamId::MAX, StreamId::new(1, 20)] {
            assert_eq!(StreamId::parse(&id.to_vec(), 0), Ok(id));
        }
    }

    #[test]
    fn bounds_of_intervals() {
        assert_eq!(StreamId::parse_start(b"-"), Ok(StreamId::MIN));
        assert_eq!(StreamId::parse_start(b"5"), Ok(StreamId::new(5, 0)));
        assert_eq!(StreamId::parse_start(b"(5"), Ok(StreamId::new(5, 1)));
        assert_eq!(StreamId::parse_end(b"+"), Ok(StreamId::MAX));
        assert_eq!(StreamId::parse_end(b"5"), Ok(StreamId::new(5, u64::MAX)));
        assert_eq!(StreamId::parse_end(b"(5-0"), Ok(StreamId::new(4, u64::MAX)));
        assert!(StreamId::parse_end(b"(0-0").is_err() && StreamId::parse_start(b"(+").is_err());
        assert!(StreamId::parse_start(b"(").is_err());
    }

    #[test]
    fn asked_ids() {
        assert_eq!(AskedId::parse(b"*"), Ok(AskedId::Auto));
        assert_eq!(AskedId::parse(b"5-*"), Ok(AskedId::Ms(5)));
        assert_eq!(AskedId::parse(b"5"), Ok(AskedId::Given(StreamId::new(5, 0))));
        assert!(AskedId::parse(b"*-5").is_err() && AskedId::parse(b"5-**").is_err());
    }
}
