//! SCRIPT: bodies that are kept, and the script that runs.

use swell_engine::Fault;
use swell_engine::script::state;
use swell_node::link::frame::Kind;
use swell_wire::{Args, Out};

use super::{done, help};
use crate::core::Core;
use crate::error::ProxyError;
use crate::session::remote::Remote;
use crate::session::{Flow, SessionCx, remote, scripts};
use crate::upstream::encode;
use crate::upstream::job::{Job, JobAnswer};
use crate::upstream::shot::{Payload, Shot, ShotAnswer, Target};

const HELP_LINES: &[&str] = &[
    "SCRIPT <subcommand> [<arg> ...]. Subcommands are:",
    "DEBUG (YES|SYNC|NO) [<engine>]",
    "    Accepted; no script is debugged.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Tell for each script whether it is known.",
    "FLUSH [ASYNC|SYNC]",
    "    Forget all scripts.",
    "KILL",
    "    End the scripts that run and have not written.",
    "LOAD <script>",
    "    Keep a script without running it; the answer is its SHA-1.",
    "SHOW <sha1>",
    "    Tell the body of a script.",
    "HELP",
    "    Print these lines.",
];

pub fn load(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let script = match cx.core.handle.engine().scripts().load(args.slice(2)) {
        Ok(script) => script,
        Err(fault) => return done(Err(fault.into()), out),
    };
    let route = &cx.core.shared.route;
    let entry = state::script_entry(&route.state().entries, &script.sha, &script.body);
    match entry.filter(|_| route.may_move() && !cx.session.in_exec) {
        None => {
            out.bulk(&script.sha);
            Flow::Done
        }
        // Every proxy has it before the client hears that it is there.
        Some(entry) => remote::change_state(
            cx.core,
            vec![entry],
            Box::new(move |_, _, answer, out| done(remote::was_changed(answer).map(|()| out.bulk(&script.sha)), out)),
        ),
    }
}

pub fn exists(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    wherever(cx, args, out, |core, args, out| {
        let store = &core.handle.engine().scripts().store;
        out.array(args.len() - 2);
        args.from(2).iter().for_each(|sha| out.int(i64::from(store.find(sha).is_some())));
        Flow::Done
    })
}

pub fn show(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    wherever(cx, args, out, show_here)
}

/// Answers what is asked of these scripts, the nodes having told what is not known here.
fn wherever(
    cx: &mut SessionCx<'_>,
    args: Args<'_>,
    out: &mut Out,
    tell: fn(&Core, Args<'_>, &mut Out) -> Flow,
) -> Flow {
    let store = &cx.core.handle.engine().scripts().store;
    let unknown: Vec<_> = args.from(2).iter().filter(|sha| store.find(sha).is_none()).map(<[u8]>::to_vec).collect();
    if unknown.is_empty() || cx.core.shared.route.is_direct() || cx.session.in_exec {
        return tell(cx.core, args, out);
    }
    let args = args.to_owned(false);
    scripts::fetch(cx.core, &unknown, Box::new(move |core, _, out| tell(core, args.as_args(), out)))
}

fn show_here(core: &Core, args: Args<'_>, out: &mut Out) -> Flow {
    match core.handle.engine().scripts().store.find(args.slice(2)) {
        Some(script) => out.bulk(&script.body),
        None => out.error("NOSCRIPT No matching script."),
    }
    Flow::Done
}

/// Whether the arguments from `at` on are none, ASYNC or SYNC.
pub fn is_flush(args: Args<'_>) -> bool {
    let is_mode = |word: &[u8]| word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync");
    args.len() == 2 || args.len() == 3 && is_mode(args.slice(2))
}

pub fn flush(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if !is_flush(args) {
        return done(Err(Fault::say("ERR SCRIPT FLUSH only support SYNC|ASYNC option").into()), out);
    }
    let route = &cx.core.shared.route;
    if !route.may_move() {
        cx.core.handle.engine().scripts().store.flush();
        out.ok();
        return Flow::Done;
    }
    if cx.session.in_exec {
        return done(Err(ProxyError::NotInMulti("script|flush")), out);
    }
    let entries = state::flush_entries(&route.state().entries);
    remote::change_state(
        cx.core,
        entries,
        Box::new(|_, _, answer, out| done(remote::was_changed(answer).map(|()| out.ok()), out)),
    )
}

/// SCRIPT KILL and FUNCTION KILL: on every node. One that has ended something outdoes those that have not.
pub fn kill_running(cx: &mut SessionCx<'_>, functions: bool, out: &mut Out) -> Flow {
    if cx.core.shared.route.is_direct() || cx.session.in_exec {
        cx.core.handle.engine().scripts().kill(functions).write(out);
        return Flow::Done;
    }
    let container = if functions { &b"function"[..] } else { b"script" };
    let map = cx.core.shared.route.map();
    let shots = map.nodes().iter().map(|member| {
        let mut bytes = Vec::new();
        encode::request([container, b"kill"].into_iter(), &mut bytes);
        Shot::new(Kind::Exec, Target::Node(member.id), 1, true, Payload::Bytes(bytes))
    });
    Remote::late(
        Job::Shots(shots.collect()),
        Box::new(|_, _, answer, out| {
            let answers = match answer {
                Ok(JobAnswer::Shots(answers)) => answers,
                other => return done(Err(other.err().unwrap_or(ProxyError::Internal)), out),
            };
            let replies: Vec<_> = answers.iter().flat_map(ShotAnswer::replies).map(|(_, reply)| reply).collect();
            let best = [&b"+"[..], b"-UNKILLABLE", b"-"]
                .iter()
                .find_map(|begin| replies.iter().find(|reply| reply.starts_with(begin)));
            out.raw(best.copied().unwrap_or(b"-NOTBUSY No scripts in execution right now.\r\n"));
            Flow::Done
        }),
    )
}

pub fn kill(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    kill_running(cx, false, out)
}

pub fn debug(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let is_mode = [&b"no"[..], b"yes", b"sync"].iter().any(|mode| args.slice(2).eq_ignore_ascii_case(mode));
    if !is_mode || args.len() > 4 {
        return done(Err(Fault::say("ERR Use SCRIPT DEBUG YES/SYNC/NO").into()), out);
    }
    if let Some(engine) = args.opt(3).filter(|engine| !engine.eq_ignore_ascii_case(b"lua")) {
        let name = String::from_utf8_lossy(engine);
        let words = format!("ERR No scripting engine found with name '{name}' to enable debug");
        return done(Err(Fault::Other(words.into()).into()), out);
    }
    out.ok();
    Flow::Done
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
