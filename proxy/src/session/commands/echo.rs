//! ECHO.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

pub fn echo(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    out.bulk(args.slice(1));
    Flow::Done
}
