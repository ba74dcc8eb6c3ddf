//! DEBUG ERROR, LOG, PROTOCOL, SLEEP, HELP: what tests of client libraries ask for.

use std::time::Duration;

use swell_engine::number::parse_f64;
use swell_wire::{Args, Out, Proto};

use super::{done, help};
use crate::error::ProxyError;
use crate::session::{Flow, Late, SessionCx};

/// Longest sleep: nobody reads a sleeping client's socket, so it must end some time.
const SLEEP_SECONDS_MAX: f64 = 86_400.0;

/// More digits than 64 bits have.
const BIG_NUMBER: &str = "1234567999999999999999999999999999999";

const HELP_LINES: &[&str] = &[
    "DEBUG <subcommand> [<arg> ...]. Subcommands are:",
    "ERROR <message>",
    "    Answer an error with these words.",
    "LOG <message>",
    "    Write <message> to the server's log.",
    "OBJECT <key> [fast]",
    "    Show how the value of <key> is kept; with fast, without what takes time.",
    "PROTOCOL <type>",
    "    Answer a value of this type: string, integer, double, bignum, null, array, set, map,",
    "    attrib, push, verbatim, true or false.",
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

/// An error in the caller's own words, on one line.
pub fn error(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    out.error_bytes(args.slice(2));
    Flow::Done
}

pub fn log(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    tracing::warn!(message = %String::from_utf8_lossy(args.slice(2)).escape_debug(), "DEBUG LOG");
    out.ok();
    Flow::Done
}

/// The values that Valkey answers.
pub fn protocol(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let is_new = cx.session.proto == Proto::Resp3;
    match args.slice(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        b"double" => out.double("3.141"),
        b"bignum" if is_new => out.raw(format!("({BIG_NUMBER}\r\n").as_bytes()),
        b"bignum" => out.bulk(BIG_NUMBER.as_bytes()),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"map" => {
            out.map(3);
            (0..3).for_each(|number| {
                out.int(number);
                out.bool(number == 1);
            });
        }
        b"attrib" => {
            if is_new {
                out.raw(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" if !is_new => return done(Err(ProxyError::NotInResp2), out),
        b"push" => {
            out.bulk(b"Some real reply following the push reply");
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
        }
        b"verbatim" => out.verbatim(b"This is a verbatim\nstring"),
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        _ => return done(Err(ProxyError::UnknownReplyType), out),
    }
    Flow::Done
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
