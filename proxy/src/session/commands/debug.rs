//! DEBUG SLEEP, DEBUG HELP.

use std::time::Duration;

use swell_engine::number::parse_f64;
use swell_wire::{Args, Out};

use super::help;
use crate::session::{Flow, Late, SessionCx};

/// Longest sleep: nobody reads a sleeping client's socket, so it must end some time.
const SLEEP_SECONDS_MAX: f64 = 86_400.0;

const HELP_LINES: &[&str] = &[
    "DEBUG <subcommand> [<arg> ...]. Subcommands are:",
    "OBJECT <key> [fast]",
    "    Show how the value of <key> is kept; with fast, without what takes time.",
    "SLEEP <seconds>",
    "    Answer after <seconds>, which may be a fraction. Other clients do not wait.",
    "HELP",
    "    Print these lines.",
];

/// What is no number sleeps as long as zero does, as in Redis.
pub fn sleep(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let seconds = parse_f64(args.slice(2)).unwrap_or(0.0).clamp(0.0, SLEEP_SECONDS_MAX);
    let mut answer = Out::new(cx.session.proto);
    answer.ok();
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Flow::Late(Late::Sleep(duration, answer)),
        _ => {
            out.append(&mut answer);
            Flow::Done
        }
    }
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
