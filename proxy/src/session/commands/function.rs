//! FUNCTION: the libraries of the cache. A change goes by the cache state where there are other proxies or nodes.

use swell_engine::script::library::{Function, Index, Library, Policy};
use swell_engine::script::{payload, state};
use swell_engine::{Fault, glob};
use swell_wire::{Args, Out};

use super::script::{is_flush, kill_running};
use super::{done, help};
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx, remote};

const HELP_LINES: &[&str] = &[
    "FUNCTION <subcommand> [<arg> ...]. Subcommands are:",
    "LOAD [REPLACE] <code>",
    "    Add a library, or put it in the place of the one of its name.",
    "DELETE <library>",
    "    Delete a library.",
    "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
    "    Tell about libraries and their functions.",
    "STATS",
    "    Tell which function runs, and how many libraries and functions there are.",
    "KILL",
    "    End the functions that run and have not written.",
    "FLUSH [ASYNC|SYNC]",
    "    Delete all libraries.",
    "DUMP",
    "    Pack all libraries into one payload.",
    "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
    "    Add the libraries of such a payload.",
    "HELP",
    "    Print these lines.",
];

/// From now on these are the libraries; `reply` is written when everybody has them.
fn put(cx: &mut SessionCx<'_>, next: Index, out: &mut Out, reply: impl FnOnce(&mut Out) + 'static) -> Flow {
    let libraries = &cx.core.handle.engine().scripts().libraries;
    let entries = state::library_entries(&libraries.index(), &next);
    if !cx.core.shared.route.may_move() || entries.is_empty() {
        libraries.set(next);
        reply(out);
        return Flow::Done;
    }
    if cx.session.in_exec {
        return done(Err(ProxyError::NotInMulti(cx.command.spec.name)), out);
    }
    remote::change_state(
        cx.core,
        entries,
        Box::new(move |_, _, answer, out| done(remote::was_changed(answer).map(|()| reply(out)), out)),
    )
}

fn refuse(fault: Fault, out: &mut Out) -> Flow {
    done(Err(fault.into()), out)
}

fn other(words: String) -> Fault {
    Fault::Other(words.into())
}

pub fn load(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let last = args.len() - 1;
    let mut replace = false;
    for at in 2..last {
        if !args.slice(at).eq_ignore_ascii_case(b"replace") {
            let name = String::from_utf8_lossy(args.slice(at));
            return refuse(other(format!("ERR Unknown option given: {name}")), out);
        }
        replace = true;
    }
    match load_into(cx, args.slice(last), replace) {
        Ok((next, name)) => put(cx, next, out, move |out| out.bulk(name.as_bytes())),
        Err(fault) => refuse(fault, out),
    }
}

fn load_into(cx: &SessionCx<'_>, code: &[u8], replace: bool) -> Result<(Index, String), Fault> {
    let engine = cx.core.handle.engine();
    let mut next = (*engine.scripts().libraries.index()).clone();
    let (name, _) = swell_engine::script::library::read_name(code)?;
    if !replace && next.library(&name).is_some() {
        return Err(other(format!("ERR Library '{name}' already exists")));
    }
    next.add(Library::load(engine, code)?, replace)?;
    Ok((next, name))
}

pub fn delete(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let mut next = (*cx.core.handle.engine().scripts().libraries.index()).clone();
    if !next.remove(&String::from_utf8_lossy(args.slice(2))) {
        return refuse(Fault::say("ERR Library not found"), out);
    }
    put(cx, next, out, Out::ok)
}

pub fn flush(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !is_flush(args) {
        return refuse(Fault::say("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"), out);
    }
    put(cx, Index::default(), out, Out::ok)
}

pub fn list(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let (mut pattern, mut with_code, mut at) = (None, false, 2);
    while let Some(word) = args.opt(at) {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            at += 1;
            let Some(given) = args.opt(at) else {
                return refuse(Fault::say("ERR library name argument was not given"), out);
            };
            pattern = Some(given);
        } else {
            let name = String::from_utf8_lossy(word);
            return refuse(other(format!("ERR Unknown argument {name}")), out);
        }
        at += 1;
    }
    let index = cx.core.handle.engine().scripts().libraries.index();
    let fits = |library: &&std::sync::Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches_any_case(pattern, library.name.as_bytes()))
    };
    out.array(index.libraries().filter(fits).count());
    for library in index.libraries().filter(fits) {
        out.map(if with_code { 4 } else { 3 });
        super::pair(out, "library_name", &library.name);
        super::pair(out, "engine", "LUA");
        out.bulk(b"functions");
        out.array(library.functions.len());
        library.functions.iter().for_each(|function| describe(function, out));
        if with_code {
            out.bulk(b"library_code");
            out.bulk(&library.code);
        }
    }
    Flow::Done
}

fn describe(function: &Function, out: &mut Out) {
    out.map(3);
    super::pair(out, "name", &function.name);
    out.bulk(b"description");
    match &function.description {
        Some(description) => out.bulk(description),
        None => out.null(),
    }
    out.bulk(b"flags");
    out.set(function.flags.names().count());
    function.flags.names().for_each(|flag| out.simple(flag));
}

pub fn stats(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let scripts = cx.core.handle.engine().scripts();
    out.map(2);
    out.bulk(b"running_script");
    match scripts.longest() {
        None => out.null(),
        Some(watch) => {
            out.map(3);
            super::pair(out, "name", &watch.name);
            out.bulk(b"command");
            out.array(watch.command.len());
            watch.command.iter().for_each(|word| out.bulk(word));
            out.bulk(b"duration_ms");
            out.int((crate::shared::unix_ms().saturating_sub(watch.started_us / 1_000)) as i64);
        }
    }
    let (libraries, functions) = scripts.libraries.index().counts();
    out.bulk(b"engines");
    out.map(1);
    out.bulk(b"LUA");
    out.map(2);
    out.bulk(b"libraries_count");
    out.int(libraries as i64);
    out.bulk(b"functions_count");
    out.int(functions as i64);
    Flow::Done
}

pub fn dump(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.bulk(&payload::dump(&cx.core.handle.engine().scripts().libraries.index()));
    Flow::Done
}

pub fn restore(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let policy = match args.opt(3).map(<[u8]>::to_ascii_lowercase).as_deref() {
        _ if args.len() > 4 => return refuse(Fault::Syntax, out),
        None | Some(b"append") => Policy::Append,
        Some(b"flush") => Policy::Flush,
        Some(b"replace") => Policy::Replace,
        Some(_) => {
            let words = "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.";
            return refuse(Fault::say(words), out);
        }
    };
    match restored(cx, args.slice(2), policy) {
        Ok(next) => put(cx, next, out, Out::ok),
        Err(fault) => refuse(fault, out),
    }
}

fn restored(cx: &SessionCx<'_>, bytes: &[u8], policy: Policy) -> Result<Index, Fault> {
    let engine = cx.core.handle.engine();
    let codes = payload::read(bytes).map_err(|bad| Fault::say(bad.words()))?;
    let libraries = codes.iter().map(|code| Library::load(engine, code)).collect::<Result<Vec<_>, _>>()?;
    engine.scripts().libraries.index().restored(libraries, policy)
}

pub fn kill(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    kill_running(cx, true, out)
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
