//! CLIENT: what a connection says of itself, and what it may know of and do to others.

mod filter;
mod kill;
mod list;
mod modes;
mod names;
mod pause;
mod tracking;
mod unblock;

use swell_wire::{Args, Out};

use super::help;
use crate::session::{Flow, SessionCx};

pub use filter::Filter;
pub use kill::kill;
pub use list::{info, line, list};
pub use modes::{no_evict, no_touch, reply};
pub use names::{ClientName, get_name, set_info, set_name};
pub use pause::{capa, import_source, pause, unpause};
pub use tracking::{caching, get_redir, tracking, tracking_info};
pub use unblock::unblock;

const HELP_LINES: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "    Say whether copies of what the next command reads are kept, in OPTIN or OPTOUT mode.",
    "CAPA <capability> [<capability> ...]",
    "    Say what this client is capable of: REDIRECT.",
    "GETNAME",
    "    Read the name of this connection.",
    "GETREDIR",
    "    Read the number of the connection that is told what is stale in this one's place.",
    "ID",
    "    Read the number of this connection.",
    "IMPORT-SOURCE (ON|OFF)",
    "    There is no import mode: ON is refused.",
    "INFO",
    "    Describe this connection in one line.",
    "KILL <ip:port>",
    "    End the connection that comes from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    End the connections that all options fit. Options are:",
    "    * [NOT-]ADDR, [NOT-]LADDR <ip:port>; [NOT-]IP <ip>",
    "      Those that come from, or have dialled, this address.",
    "    * [NOT-]TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB)",
    "      Those of this type.",
    "    * [NOT-]USER <username>, [NOT-]NAME, [NOT-]LIB-NAME, [NOT-]LIB-VER <text>",
    "      Those of this user, with this name, or with this library or version of it.",
    "    * [NOT-]FLAGS <letters>, [NOT-]CAPA <letters>",
    "      Those that CLIENT LIST shows with all of these letters.",
    "    * [NOT-]DB <number>",
    "      Those that use this database.",
    "    * [NOT-]ID <client-id> [<client-id>...]",
    "      Those with these numbers.",
    "    * MAXAGE <seconds>, IDLE <seconds>",
    "      Those that are open, or have been idle, for so long or longer.",
    "    * SKIPME (YES|NO)",
    "      Whether to spare this connection (default: yes).",
    "LIST [options ...]",
    "    Describe the connections that all options fit, a line each. Options are those",
    "    of KILL; this connection is shown unless SKIPME says otherwise.",
    "NO-EVICT (ON|OFF)",
    "    Say whether this connection is safe from being closed to save memory.",
    "NO-TOUCH (ON|OFF)",
    "    Say whether commands of this connection leave the LRU and LFU clocks alone.",
    "PAUSE <milliseconds> [WRITE|ALL]",
    "    Hold back all commands (default), or those that may write, of all clients for so long.",
    "REPLY (ON|OFF|SKIP)",
    "    Turn replies to this connection on or off, or skip the next.",
    "SETINFO <option> <value>",
    "    Note about the client library behind this connection. Options are:",
    "    * LIB-NAME",
    "      What it is called.",
    "    * LIB-VER",
    "      Its version.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN|OPTOUT] [NOLOOP]",
    "    Have this connection told when keys change of which it keeps copies.",
    "TRACKINGINFO",
    "    Show how this connection is told.",
    "UNBLOCK <client-id> [TIMEOUT|ERROR]",
    "    End the wait of a connection, as if its time were up or with an error.",
    "UNPAUSE",
    "    End a pause.",
    "HELP",
    "    Show these lines.",
];

pub fn id(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.int(cx.session.info.id as i64);
    Flow::Done
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}

/// The bytes as error replies quote an argument: up to a NUL byte, as C has it.
pub fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}
