//! COMMAND: the table of commands, told to clients. Everything is read from the one table.

mod describe;
mod document;

use swell_engine::commands::table::{Command, Found};
use swell_engine::spec::{Access, Acl, Body, KeySpec};
use swell_engine::{Fault, Spec, glob};
use swell_wire::{Args, Out};

use super::{done, help};
use crate::catalog;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

const HELP_LINES: &[&str] = &[
    "COMMAND [<subcommand> [<arg> ...]]. Subcommands are:",
    "(none)",
    "    Describe every command.",
    "COUNT",
    "    Say how many commands there are.",
    "DOCS [<name> ...]",
    "    Document the named commands, or all.",
    "GETKEYS <command> [<arg> ...]",
    "    Say which arguments of a command line are keys.",
    "GETKEYSANDFLAGS <command> [<arg> ...]",
    "    The same, with what the command would do with each key.",
    "INFO [<name> ...]",
    "    Describe the named commands, or all.",
    "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <pattern>]",
    "    Name all commands and subcommands, or those that a filter lets pass.",
    "HELP",
    "    Print these lines.",
];

/// COMMAND by itself.
pub fn all(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    describe_all(out)
}

pub fn count(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.int(top_level().count() as i64);
    Flow::Done
}

/// What is unknown is left out.
pub fn docs(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let commands: Vec<Command> = match args.len() {
        2 => top_level().collect(),
        _ => args.from(2).iter().filter_map(named).collect(),
    };
    out.map(commands.len());
    commands.into_iter().for_each(|command| document::command(command.spec, out));
    Flow::Done
}

/// What is unknown is null.
pub fn info(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if args.len() == 2 {
        return describe_all(out);
    }
    out.array(args.len() - 2);
    for name in args.from(2).iter() {
        match named(name) {
            Some(command) => describe::command(command.spec, out),
            None => out.null(),
        }
    }
    Flow::Done
}

pub fn get_keys(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let call = args.from(2);
    let result = keys_of(call).map(|keys| {
        out.array(keys.len());
        keys.into_iter().for_each(|(arg, _)| out.bulk(call.slice(arg)));
    });
    done(result, out)
}

pub fn get_keys_and_flags(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let call = args.from(2);
    let result = keys_of(call).map(|keys| {
        out.array(keys.len());
        for (arg, flags) in keys {
            out.array(2);
            out.bulk(call.slice(arg));
            out.set(flags.len());
            flags.iter().for_each(|flag| out.simple(flag));
        }
    });
    done(result, out)
}

pub fn list(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = match (args.len(), args.opt(2), args.opt(3), args.opt(4)) {
        (2, ..) => Ok(catalog::resp().iter().collect()),
        (5, Some(by), Some(kind), Some(word)) if by.eq_ignore_ascii_case(b"FILTERBY") => filtered(kind, word),
        _ => Err(Fault::Syntax.into()),
    };
    let result = result.map(|commands| {
        out.array(commands.len());
        commands.iter().for_each(|command| out.bulk(command.spec.name.as_bytes()));
    });
    done(result, out)
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}

/// Subcommands that clients are told of. DEBUG's are not commands of their own in Redis.
fn listed_subcommands(container: &'static Spec) -> impl Iterator<Item = Command> + Clone {
    let is_listed = container.name != "debug" && matches!(container.body, Body::Container);
    let all = is_listed.then(|| catalog::resp().subcommands(container).collect::<Vec<_>>());
    all.unwrap_or_default().into_iter()
}

fn describe_all(out: &mut Out) -> Flow {
    out.array(top_level().count());
    top_level().for_each(|command| describe::command(command.spec, out));
    Flow::Done
}

fn top_level() -> impl Iterator<Item = Command> {
    catalog::resp().iter().filter(|command| command.spec.container().is_none())
}

/// A command by name; a subcommand as "container|subcommand".
fn named(name: &[u8]) -> Option<Command> {
    catalog::resp().by_name(name).filter(|command| command.spec.container() != Some("debug"))
}

/// The keys in a command line, by argument index, each with what is done with it.
fn keys_of(call: Args<'_>) -> Result<Vec<(usize, &'static [&'static str])>, ProxyError> {
    let Found::Command(command) = catalog::resp().find(call) else { return Err(ProxyError::InvalidCommand) };
    let spec = command.spec;
    let has_keys = spec.keys.iter().any(|keys| keys.access != Access::Channel);
    if !has_keys || spec.container() == Some("debug") {
        return Err(ProxyError::NoKeyArguments);
    }
    if !spec.arity_fits(call.len()) {
        return Err(ProxyError::InvalidArgumentCount);
    }
    let mut found = Vec::new();
    for keys in spec.keys {
        let flags = flags_of(keys, call);
        keys.each(call, |arg| found.push((arg, flags))).map_err(|_| ProxyError::InvalidArguments)?;
    }
    if found.is_empty() { Err(ProxyError::InvalidArguments) } else { Ok(found) }
}

/// What is done with a group of keys; where that depends on the options (SET), what these options say.
fn flags_of(keys: &'static KeySpec, call: Args<'_>) -> &'static [&'static str] {
    if !keys.flags.contains(&"variable_flags") {
        return keys.flags;
    }
    match call.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"GET")) {
        true => &["RW", "access", "update"],
        false => &["OW", "update"],
    }
}

/// There are no modules, and a category that is unknown has no commands.
fn filtered(kind: &[u8], word: &[u8]) -> Result<Vec<Command>, ProxyError> {
    let commands = catalog::resp().iter().filter(|command| command.spec.container() != Some("debug"));
    if kind.eq_ignore_ascii_case(b"MODULE") {
        Ok(Vec::new())
    } else if kind.eq_ignore_ascii_case(b"ACLCAT") {
        let category = Acl::NAMES.iter().find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(word));
        Ok(category.map_or_else(Vec::new, |(acl, _)| commands.filter(|command| command.spec.acl.has(*acl)).collect()))
    } else if kind.eq_ignore_ascii_case(b"PATTERN") {
        Ok(commands.filter(|command| glob::matches_any_case(word, command.spec.name.as_bytes())).collect())
    } else {
        Err(Fault::Syntax.into())
    }
}
