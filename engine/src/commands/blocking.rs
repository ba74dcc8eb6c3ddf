//! What commands that wait have in common: how long, and that they may.

use crate::error::Fault;
use crate::exec::Exec;
use crate::number::{parse_f64, parse_i64};
use crate::spec::{Flags, Spec};
use crate::value::Kind;
use crate::waiters::Wait;
use swell_wire::Args;

/// For how long a command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Until something comes.
    Never,
    /// Until then, unix milliseconds.
    At(u64),
}

impl Timeout {
    /// Seconds, with a fraction of which any part counts as a millisecond; 0: for ever.
    ///
    /// # Errors
    /// No number; one that is negative, or so large that the time cannot be told.
    pub fn seconds(arg: &[u8], now_ms: u64) -> Result<Timeout, Fault> {
        let seconds = parse_f64(arg).ok_or(Fault::say("ERR timeout is not a float or out of range"))?;
        // Also larger than what is left of the range from now on: an f64 has no nearer neighbours there.
        if seconds * 1000.0 >= i64::MAX as f64 {
            return Err(OUT_OF_RANGE);
        }
        Timeout::after((seconds * 1000.0).ceil() as i64, seconds < 0.0, now_ms)
    }

    /// Milliseconds; 0: for ever.
    ///
    /// # Errors
    /// As [`Timeout::seconds`].
    pub fn millis(arg: &[u8], now_ms: u64) -> Result<Timeout, Fault> {
        let millis = parse_i64(arg).ok_or(Fault::say("ERR timeout is not an integer or out of range"))?;
        Timeout::after(millis, millis < 0, now_ms)
    }

    /// When it is over, unix milliseconds; nothing: never.
    pub fn deadline_ms(self) -> Option<u64> {
        match self {
            Timeout::Never => None,
            Timeout::At(at_ms) => Some(at_ms),
        }
    }

    fn after(millis: i64, is_negative: bool, now_ms: u64) -> Result<Timeout, Fault> {
        if is_negative {
            return Err(Fault::say("ERR timeout is negative"));
        }
        match millis.checked_add(i64::try_from(now_ms).unwrap_or(0)) {
            None => Err(OUT_OF_RANGE),
            Some(_) if millis == 0 => Ok(Timeout::Never),
            Some(at_ms) => Ok(Timeout::At(at_ms as u64)),
        }
    }
}

const OUT_OF_RANGE: Fault = Fault::say("ERR timeout is out of range");

/// For how long a call may wait, if it is of a command that waits and says so in a way that makes sense.
pub fn timeout_of(spec: &Spec, args: Args<'_>, now_ms: u64) -> Option<Timeout> {
    if !spec.flags.has(Flags::BLOCKING) {
        return None;
    }
    match spec.name {
        "xread" | "xreadgroup" => {
            let streams = (1..args.len()).find(|at| args.slice(*at).eq_ignore_ascii_case(b"streams"))?;
            let block = (1..streams).rfind(|at| args.slice(*at).eq_ignore_ascii_case(b"block"))?;
            Timeout::millis(args.opt(block + 1)?, now_ms).ok()
        }
        "blmpop" | "bzmpop" => Timeout::seconds(args.opt(1)?, now_ms).ok(),
        "blpop" | "brpop" | "bzpopmin" | "bzpopmax" | "blmove" | "brpoplpush" => {
            Timeout::seconds(args.opt(args.len() - 1)?, now_ms).ok()
        }
        _ => None,
    }
}

/// Waits until one of the first `keys` keys of the command has a value of this type, if that is allowed.
pub(super) fn wait(cx: &mut Exec<'_>, kind: Kind, keys: usize, timeout: Timeout) -> bool {
    cx.block(Wait { kind, keys, on_missing: false, args: None, deadline_ms: timeout.deadline_ms() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table::{Found, tables};
    use swell_wire::OwnedArgs;

    /// What valkey-server 9.1 says of these.
    #[test]
    fn seconds_are_read_as_the_real_server_does() {
        let not_float = "ERR timeout is not a float or out of range";
        for (text, said) in [
            ("x", not_float),
            ("nan", not_float),
            ("", not_float),
            ("-1", "ERR timeout is negative"),
            ("-0.1", "ERR timeout is negative"),
            ("inf", "ERR timeout is out of range"),
            ("1e18", "ERR timeout is out of range"),
            ("9223372036854775", "ERR timeout is out of range"),
        ] {
            let fault = Timeout::seconds(text.as_bytes(), 1_700_000_000_000).unwrap_err();
            assert_eq!(fault.to_string(), said, "{text}");
        }
        for (text, at_ms) in [("0.001", 1_001), ("1e-10", 1_001), ("+1e-3", 1_001), ("2", 3_000), ("0.0015", 1_002)] {
            assert_eq!(Timeout::seconds(text.as_bytes(), 1_000), Ok(Timeout::At(at_ms)), "{text}");
        }
        assert_eq!(Timeout::seconds(b"0", 1_000), Ok(Timeout::Never));
        assert_eq!(Timeout::millis(b"0", 1_000), Ok(Timeout::Never));
        assert_eq!(Timeout::millis(b"7", 1_000), Ok(Timeout::At(1_007)));
        assert_eq!(Timeout::millis(b"9223372036854775807", 1).unwrap_err(), OUT_OF_RANGE);
    }

    #[test]
    fn the_time_is_found_in_every_form() {
        for (text, expected) in [
            ("BLPOP a b 1", Some(Timeout::At(1_000))),
            ("BLMOVE a b LEFT RIGHT 2", Some(Timeout::At(2_000))),
            ("BLMPOP 3 1 k LEFT", Some(Timeout::At(3_000))),
            ("XREAD BLOCK 5 COUNT 1 STREAMS block $", Some(Timeout::At(5))),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", Some(Timeout::Never)),
            ("XREAD STREAMS block 5", None),
            ("BLPOP a x", None),
            ("LPOP a 1", None),
        ] {
            let args = OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>());
            let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
            assert_eq!(timeout_of(command.spec, args.as_args(), 0), expected, "{text}");
        }
    }
}
