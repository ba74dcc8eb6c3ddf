//! QUIT.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

pub fn quit(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    cx.session.closing = true;
    out.ok();
    Flow::Done
}
