//! SLOWLOG and COMMANDLOG: the commands that were slow, and those that were or answered much. What clients have
//! called, whichever worker of whichever proxy served them.

use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use super::{done, help};
use crate::error::ProxyError;
use crate::observe::{Entry, LogKind};
use crate::others::{self, Question, Told};
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
    match args.opt(2).map_or(Ok(SHOWN), count) {
        Ok(count) => show(cx, args, LogKind::Slow, count, out),
        Err(error) => done(Err(error), out),
    }
}

pub fn slow_len(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    count_entries(cx, args, LogKind::Slow, out)
}

pub fn slow_reset(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    forget(cx, args, LogKind::Slow, out)
}

pub fn slow_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(SLOWLOG_HELP, out)
}

pub fn get(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match count(args.slice(2)).and_then(|count| Ok((count, kind(args.slice(3))?))) {
        Ok((count, kind)) => show(cx, args, kind, count, out),
        Err(error) => done(Err(error), out),
    }
}

pub fn len(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match kind(args.slice(2)) {
        Ok(kind) => count_entries(cx, args, kind, out),
        Err(error) => done(Err(error), out),
    }
}

pub fn reset(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match kind(args.slice(2)) {
        Ok(kind) => forget(cx, args, kind, out),
        Err(error) => done(Err(error), out),
    }
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(COMMANDLOG_HELP, out)
}

fn kind(word: &[u8]) -> Result<LogKind, ProxyError> {
    LogKind::parse(word).ok_or(ProxyError::UnknownLogType)
}

/// How many entries are wanted; -1: all.
fn count(word: &[u8]) -> Result<usize, ProxyError> {
    match parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count) => usize::try_from(count).map_err(|_| ProxyError::BadLogCount),
        None => Err(ProxyError::BadLogCount),
    }
}

fn count_entries(cx: &mut SessionCx<'_>, args: Args<'_>, kind: LogKind, out: &mut Out) -> Flow {
    match others::ask(cx, args, out, || Question::LogLen { kind }) {
        Ok(told) => out.int(cx.core.shared.watch.logs.of(kind).len() as i64 + others::sum(&told)),
        Err(flow) => return flow,
    }
    Flow::Done
}

fn forget(cx: &mut SessionCx<'_>, args: Args<'_>, kind: LogKind, out: &mut Out) -> Flow {
    if let Err(flow) = others::ask(cx, args, out, || Question::LogReset { kind }) {
        return flow;
    }
    cx.core.shared.watch.logs.of(kind).clear();
    out.ok();
    Flow::Done
}

/// The newest of all proxies' entries.
fn show(cx: &mut SessionCx<'_>, args: Args<'_>, kind: LogKind, count: usize, out: &mut Out) -> Flow {
    let told = match others::ask(cx, args, out, || Question::Log { kind, count }) {
        Ok(told) => told,
        Err(flow) => return flow,
    };
    let mut entries = cx.core.shared.watch.logs.of(kind).newest(count);
    for told in told.iter() {
        if let Told::Log(others) = told {
            entries.extend_from_slice(others);
        }
    }
    // Each proxy's are in order already.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.unix_seconds));
    entries.truncate(count);
    out.array(entries.len());
    for Entry { id, unix_seconds, value, argv, addr, name } in &entries {
        out.array(6);
        [*id, *unix_seconds as i64, *value as i64].into_iter().for_each(|number| out.int(number));
        out.array(argv.len());
        argv.iter().for_each(|arg| out.bulk(arg));
        out.bulk(addr.as_bytes());
        out.bulk(name.as_bytes());
    }
    Flow::Done
}

fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
