//! SLOWLOG and COMMANDLOG: the commands that were slow, and those that were or answered much. What this proxy's clients
//! have called, whichever worker served them.

use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use super::{done, help};
use crate::error::ProxyError;
use crate::observe::{Entry, Log, LogKind};
use crate::session::{Flow, SessionCx};

/// Entries that SLOWLOG GET shows unless told otherwise.
const SHOWN: usize = 10;

const SLOWLOG_HELP: &[&str] = &[
    "SLOWLOG <subcommand> [<arg> ...]. Subcommands are:",
    "GET [<count>]",
    "    Show the newest <count> slow commands (default: 10; -1: all of them): number, time,",
    "    microseconds it took, arguments, address and name of the client.",
    "LEN",
    "    Count them.",
    "RESET",
    "    Forget them.",
    "HELP",
    "    Print these lines.",
];

const COMMANDLOG_HELP: &[&str] = &[
    "COMMANDLOG <subcommand> [<arg> ...]. Subcommands are:",
    "GET <count> <type>",
    "    Show the newest <count> commands (-1: all of them) of a <type>: number, time, then",
    "    microseconds it took (slow) or bytes (large-request, large-reply), arguments, address",
    "    and name of the client.",
    "LEN <type>",
    "    Count them.",
    "RESET <type>",
    "    Forget them.",
    "HELP",
    "    Print these lines.",
];

pub fn slow_get(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if args.len() > 3 {
        return done(
            Err(ProxyError::BadSubcommandArguments { given: quoted(args.slice(1)), container: "SLOWLOG" }),
            out,
        );
    }
    let count = args.opt(2).map_or(Ok(SHOWN), count);
    done(count.map(|count| show(cx.core.shared.watch.logs.of(LogKind::Slow), count, out)), out)
}

pub fn slow_len(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.int(cx.core.shared.watch.logs.of(LogKind::Slow).len() as i64);
    Flow::Done
}

pub fn slow_reset(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    cx.core.shared.watch.logs.of(LogKind::Slow).clear();
    out.ok();
    Flow::Done
}

pub fn slow_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(SLOWLOG_HELP, out)
}

pub fn get(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let asked = count(args.slice(2)).and_then(|count| Ok((count, log(cx, args.slice(3))?)));
    done(asked.map(|(count, log)| show(log, count, out)), out)
}

pub fn len(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    done(log(cx, args.slice(2)).map(|log| out.int(log.len() as i64)), out)
}

pub fn reset(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = log(cx, args.slice(2)).map(|log| {
        log.clear();
        out.ok();
    });
    done(result, out)
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(COMMANDLOG_HELP, out)
}

fn log<'a>(cx: &'a SessionCx<'_>, word: &[u8]) -> Result<&'a Log, ProxyError> {
    let kind = LogKind::parse(word).ok_or(ProxyError::UnknownLogType)?;
    Ok(cx.core.shared.watch.logs.of(kind))
}

/// How many entries are wanted; -1: all.
fn count(word: &[u8]) -> Result<usize, ProxyError> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count) => usize::try_from(count).map_err(|_| ProxyError::BadLogCount),
        None => Err(ProxyError::BadLogCount),
    }
}

fn show(log: &Log, count: usize, out: &mut Out) {
    let entries = log.newest(count);
    out.array(entries.len());
    for Entry { id, unix_seconds, value, argv, addr, name } in &entries {
        out.array(6);
        [*id, *unix_seconds as i64, *value as i64].into_iter().for_each(|number| out.int(number));
        out.array(argv.len());
        argv.iter().for_each(|arg| out.bulk(arg));
        out.bulk(addr.as_bytes());
        out.bulk(name.as_bytes());
    }
}

fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
