//! ACL: users, what they may do, and what was refused.

mod ask;
mod file;
mod genpass;
mod log;
mod users;

use swell_wire::{Args, Out};

use super::help;
use crate::session::{Flow, SessionCx};

pub use ask::{cat, dry_run, who_am_i};
pub use file::{load, save};
pub use genpass::gen_pass;
pub use log::log;
pub use users::{del_user, get_user, list, set_user, users};

const HELP_LINES: &[&str] = &[
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAT [<category>]",
    "    Name the categories of commands, or the commands of <category>.",
    "DELUSER <username> [<username> ...]",
    "    Delete users and end their connections.",
    "DRYRUN <username> <command> [<arg> ...]",
    "    Say whether the user may make this call; it is not made.",
    "GENPASS [<bits>]",
    "    Make up a password of so many bits, 256 if none are asked for.",
    "GETUSER <username>",
    "    Describe a user in parts.",
    "LIST",
    "    Write every user as a line of rules.",
    "LOAD",
    "    Read the users from the ACL file.",
    "LOG [<count> | RESET]",
    "    Show what was refused lately, or forget it.",
    "SAVE",
    "    Write the users to the ACL file.",
    "SETUSER <username> <rule> [<rule> ...]",
    "    Make a user, or change one, rule by rule.",
    "USERS",
    "    Name every user.",
    "WHOAMI",
    "    Name the user of this connection.",
    "HELP",
    "    Print these lines.",
];

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}
