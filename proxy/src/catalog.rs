//! Names to commands, and the words for names that lead nowhere.

use swell_engine::Spec;
use swell_engine::commands::table::{Found, Table, tables};
use swell_wire::Args;

/// Bytes of arguments quoted in an unknown command's error (Redis: 128).
const QUOTED_BYTES_MAX: usize = 128;

/// The RESP commands.
#[inline]
pub fn resp() -> &'static Table {
    &tables().resp
}

/// The memcached verbs.
#[inline]
pub fn memcached() -> &'static Table {
    &tables().memcached
}

/// The error line for arguments that name no command.
pub fn unknown(args: Args<'_>) -> Vec<u8> {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(args.slice(0).iter().take(QUOTED_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut quoted = 0;
    for index in 1..args.len() {
        if quoted >= QUOTED_BYTES_MAX {
            break;
        }
        let before = text.len();
        text.push(b'\'');
        text.extend(args.slice(index).iter().take(QUOTED_BYTES_MAX - quoted));
        text.extend_from_slice(b"' ");
        quoted += text.len() - before;
    }
    text
}

/// The error line for an unknown subcommand.
pub fn unknown_subcommand(container: &Spec, args: Args<'_>) -> Vec<u8> {
    if container.name == "debug" {
        return unknown_debug(args);
    }
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend(args.slice(1).iter().take(QUOTED_BYTES_MAX));
    text.extend_from_slice(format!("'. Try {} HELP.", container.name.to_ascii_uppercase()).as_bytes());
    text
}

/// The error line for whatever is wrong with the words of a DEBUG: it has one for everything.
pub fn unknown_debug(args: Args<'_>) -> Vec<u8> {
    let mut text = b"ERR unknown subcommand or wrong number of arguments for '".to_vec();
    text.extend(args.slice(1).iter().take(QUOTED_BYTES_MAX));
    text.extend_from_slice(b"'. Try DEBUG HELP.");
    text
}

/// Whether these arguments are the first line of an HTTP request: a browser or an attacker, not a client.
pub fn is_http(args: Args<'_>) -> bool {
    let name = args.slice(0);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// The command or container these arguments name.
#[inline]
pub fn find(table: &Table, args: Args<'_>) -> Found {
    table.find(args)
}
