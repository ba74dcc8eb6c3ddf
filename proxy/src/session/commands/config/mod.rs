//! CONFIG: options by name, read by pattern and changed all or none.

mod defaults;
mod options;
mod value;

use std::rc::Rc;

use swell_engine::acl::Users;
use swell_engine::{Fault, glob};
use swell_wire::{Args, Out};

use super::{done, help};
use crate::access::change::{self, Reply};
use crate::core::Core;
use crate::error::{ConfigRefusal, ProxyError};
use crate::others::{self, Question};
use crate::session::{Flow, SessionCx, remote};
use options::{Change, ConfigOption, all};

const HELP_LINES: &[&str] = &[
    "CONFIG <subcommand> [<arg> ...]. Subcommands are:",
    "GET <pattern> [<pattern> ...]",
    "    Read the options whose names match any <pattern>.",
    "SET <option> <value> [<option> <value> ...]",
    "    Change options: all that are named, or, if one cannot be, none.",
    "RESETSTAT",
    "    Set the counters that INFO shows to zero. What was metered stays.",
    "REWRITE",
    "    Always an error: the configuration file is for people to write.",
    "HELP",
    "    Print these lines.",
];

/// Every option once, whatever patterns it matches. A name without wildcards comes back as it was spelt.
pub fn get(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let mut found: Vec<(Vec<u8>, &ConfigOption)> = Vec::new();
    for pattern in args.from(2).iter() {
        let is_pattern = pattern.iter().any(|byte| b"[*?".contains(byte));
        for option in all() {
            let name = option.name.as_bytes();
            let matches =
                if is_pattern { glob::matches_any_case(pattern, name) } else { name.eq_ignore_ascii_case(pattern) };
            if matches && !found.iter().any(|(_, known)| std::ptr::eq(*known, option)) {
                found.push((if is_pattern { name } else { pattern }.to_vec(), option));
            }
        }
    }
    out.map(found.len());
    for (name, option) in found {
        out.bulk(&name);
        out.bulk(option.show(cx.core).as_bytes());
    }
    Flow::Done
}

pub fn set(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let changes = match changes(args) {
        Ok(changes) => changes,
        Err(error) => return done(Err(error), out),
    };
    // What is no part of the cache state is told to the other proxies.
    let is_everybodys = !cx.core.shared.others.is_none() && changes.iter().any(|change| change.entry().is_none());
    if is_everybodys
        && let Err(flow) = others::ask(cx, args, out, || Question::Config(args.iter().map(<[u8]>::to_vec).collect()))
    {
        return flow;
    }
    let entries: Vec<_> = changes.iter().filter_map(Change::entry).collect();
    if let Some(password) = changes.iter().find_map(Change::password) {
        let password = password.to_owned();
        return set_password(cx, password, changes, entries, out);
    }
    let is_local = entries.is_empty() || cx.core.shared.route.is_alone();
    if !is_local && cx.session.in_exec {
        // Other processes have to confirm it, and a transaction does not wait for that.
        return done(Err(ProxyError::NotInMulti("config|set")), out);
    }
    if is_local {
        apply(changes, cx.core);
        out.ok();
        return Flow::Done;
    }
    remote::change_state(
        cx.core,
        entries,
        Box::new(move |core, _, answer, out| {
            let result = remote::was_changed(answer).map(|()| {
                apply(changes, core);
                out.ok();
            });
            done(result, out)
        }),
    )
}

/// Makes those changes of another proxy's CONFIG SET that are no part of the cache state.
///
/// # Errors
/// As CONFIG SET has them.
pub fn follow(core: &mut Core, args: Args<'_>) -> Result<(), ProxyError> {
    let changes = changes(args)?;
    apply(changes.into_iter().filter(|change| change.entry().is_none() && change.password().is_none()).collect(), core);
    Ok(())
}

fn apply(changes: Vec<Change>, core: &mut Core) {
    changes.into_iter().for_each(|change| change.apply(core));
    core.shared.watch.changed();
}

/// With `requirepass` among the changes: the default user changes with them.
fn set_password(
    cx: &mut SessionCx<'_>,
    password: String,
    changes: Vec<Change>,
    entries: Vec<(String, String)>,
    out: &mut Out,
) -> Flow {
    let edit = Rc::new(move |users: &Users| {
        let mut users = users.clone();
        users.set_default_password(password.as_bytes());
        Ok((users, Reply::Ok))
    });
    let done = |cx: &mut SessionCx<'_>, result: Result<Reply, ProxyError>, out: &mut Out| {
        let result = result.map(|_| {
            apply(changes, cx.core);
            out.ok();
        });
        done(result, out)
    };
    change::begin(cx, edit, entries, done, out)
}

/// Of what other workers counted in the last tenth of a second, some may still come after it.
pub fn reset_stat(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if let Err(flow) = others::ask(cx, args, out, || Question::StatsReset) {
        return flow;
    }
    if !cx.is_informed() {
        return remote::after_reports(cx, args);
    }
    cx.core.report();
    cx.core.shared.reset_stats(cx.core.now_ms);
    out.ok();
    Flow::Done
}

pub fn rewrite(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    done(Err(ProxyError::NoConfigFile), out)
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}

/// Names are looked at first, all of them, then values: the order decides which error is told.
fn changes(args: Args<'_>) -> Result<Vec<Change>, ProxyError> {
    if !args.len().is_multiple_of(2) {
        return Err(Fault::Syntax.into());
    }
    let pairs = || (2..args.len()).step_by(2).map(|at| (args.slice(at), args.slice(at + 1)));
    let mut named: Vec<(&ConfigOption, &[u8])> = Vec::new();
    for (name, value) in pairs() {
        let spelt = || String::from_utf8_lossy(name).into_owned();
        let option = all()
            .find(|option| option.name.as_bytes().eq_ignore_ascii_case(name))
            .ok_or_else(|| ProxyError::UnknownConfig(spelt()))?;
        if option.is_immutable() {
            return Err(ProxyError::ConfigSet(spelt(), ConfigRefusal::Immutable));
        }
        if named.iter().any(|(known, _)| std::ptr::eq(*known, option)) {
            return Err(ProxyError::ConfigSet(spelt(), ConfigRefusal::Duplicate));
        }
        named.push((option, value));
    }
    let change = |(option, value): (&ConfigOption, &[u8])| {
        option.read(value).map_err(|why| ProxyError::ConfigSet(option.name.to_owned(), why))
    };
    named.into_iter().map(change).collect()
}
