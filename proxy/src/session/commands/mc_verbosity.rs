//! memcached: verbosity.

use swell_wire::memcached::number;
use swell_wire::{Args, Out};

use crate::memcached::refuse;
use crate::session::{Flow, SessionCx};

/// Words of the longest line that memcached takes.
const WORDS_MAX: usize = 3;

/// Checked and without effect: what is logged is set where the server is started.
pub fn verbosity(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if args.len() > WORDS_MAX {
        return refuse(cx.core, b"ERROR\r\n", out);
    }
    if number::unsigned(args.slice(1)).is_none() {
        return refuse(cx.core, b"CLIENT_ERROR bad command line format\r\n", out);
    }
    out.raw(b"OK\r\n");
    Flow::Done
}
