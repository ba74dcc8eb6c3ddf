//! MODULE: there are none, and none can be loaded.

use swell_wire::{Args, Out};

use super::{done, help};
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

const HELP_LINES: &[&str] = &[
    "MODULE <subcommand> [<arg> ...]. Subcommands are:",
    "LIST",
    "    List the modules: none.",
    "LOAD, LOADEX, UNLOAD",
    "    Always an error: there are no modules here.",
    "HELP",
    "    Print these lines.",
];

pub fn list(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.array(0);
    Flow::Done
}

pub fn refuse(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    done(Err(ProxyError::NoModules), out)
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
