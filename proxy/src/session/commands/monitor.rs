//! MONITOR: from now on this client is shown every command that a client of this proxy calls, on whichever worker.

use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

/// A second one is not answered, as in Valkey.
pub fn monitor(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    if cx.session.in_exec {
        return done(Err(ProxyError::MonitorInMulti), out);
    }
    if !cx.session.monitors {
        cx.session.monitors = true;
        cx.session.open_inbox(cx.core);
        cx.core.shared.watch.monitors.add(&cx.session.info);
        cx.core.shared.watch.changed();
        out.ok();
    }
    Flow::Done
}
