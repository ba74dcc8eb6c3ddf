//! memcached: version.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

/// The memcached whose protocol and replies clients may count on.
pub const MEMCACHED_VERSION: &str = "1.6.18";

pub fn version(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.raw(b"VERSION ");
    out.raw(MEMCACHED_VERSION.as_bytes());
    out.raw(b"\r\n");
    Flow::Done
}
