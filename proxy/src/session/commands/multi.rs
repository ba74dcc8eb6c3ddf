//! MULTI, EXEC, DISCARD: see `session::multi`.

use swell_wire::{Args, Out};

use super::done;
use crate::session::{Flow, SessionCx, multi};

pub fn multi(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    multi::begin(cx.core, cx.session, out)
}

pub fn exec(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    multi::exec(cx.core, cx.session, cx.command, cx.ticket, out)
}

pub fn discard(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    done(multi::discard(cx.core, cx.session, out), out)
}
