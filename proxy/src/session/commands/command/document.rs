//! One command as COMMAND DOCS tells it: its name and a map.

use swell_engine::Spec;
use swell_engine::spec::{ArgDoc, ArgKind};
use swell_wire::Out;

use super::describe::status;
use super::listed_subcommands;
use crate::session::commands::pair;

/// Writes a command's name and its documentation, with its subcommands.
pub fn command(spec: &'static Spec, out: &mut Out) {
    let subcommands = listed_subcommands(spec);
    let count = subcommands.clone().count();
    out.bulk(spec.name.as_bytes());
    out.map(4 + usize::from(!spec.arguments.is_empty()) + usize::from(count > 0));
    pair(out, "summary", spec.summary);
    pair(out, "since", spec.since);
    pair(out, "group", spec.group.name());
    pair(out, "complexity", spec.complexity);
    if !spec.arguments.is_empty() {
        arguments(spec.arguments, out);
    }
    if count > 0 {
        out.bulk(b"subcommands");
        out.map(count);
        subcommands.for_each(|subcommand| command(subcommand.spec, out));
    }
}

fn arguments(arguments: &[ArgDoc], out: &mut Out) {
    out.bulk(b"arguments");
    out.array(arguments.len());
    arguments.iter().for_each(|arg| argument(arg, out));
}

fn argument(arg: &ArgDoc, out: &mut Out) {
    let is_group = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let flags = flags(arg);
    let fields = [
        !is_group,
        arg.key_spec_index.is_some(),
        !arg.token.is_empty(),
        !arg.since.is_empty(),
        !arg.deprecated_since.is_empty(),
        !flags.is_empty(),
        is_group,
    ];
    out.map(2 + fields.into_iter().filter(|is_there| *is_there).count());
    pair(out, "name", arg.name);
    pair(out, "type", arg.kind.name());
    if !is_group {
        pair(out, "display_text", display_text(arg));
    }
    if let Some(index) = arg.key_spec_index {
        out.bulk(b"key_spec_index");
        out.int(index.into());
    }
    if !arg.token.is_empty() {
        pair(out, "token", arg.token);
    }
    if !arg.since.is_empty() {
        pair(out, "since", arg.since);
    }
    if !arg.deprecated_since.is_empty() {
        pair(out, "deprecated_since", arg.deprecated_since);
    }
    if !flags.is_empty() {
        out.bulk(b"flags");
        status(flags.into_iter(), out);
    }
    if is_group {
        arguments(arg.arguments, out);
    }
}

fn flags(arg: &ArgDoc) -> Vec<String> {
    let flags = [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
    flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name.to_owned()).collect()
}

/// What stands in a syntax line: the argument's name, but for addresses.
fn display_text(arg: &ArgDoc) -> &'static str {
    match arg.name {
        "addr" | "laddr" | "old-format" => "ip:port",
        name => name,
    }
}
