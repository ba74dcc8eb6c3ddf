//! READONLY, READWRITE, ASKING: cluster clients say them, and every endpoint serves everything anyway.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

pub fn accept(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.ok();
    Flow::Done
}
