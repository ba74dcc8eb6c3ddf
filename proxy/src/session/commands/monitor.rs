//! MONITOR: from now on this client is shown every command that a client calls, on whichever worker of whichever proxy.

use swell_wire::{Args, Out};

use super::done;
use crate::error::ProxyError;
use crate::others::{self, Question};
use crate::session::{Flow, SessionCx};

/// A second one is not answered, as in Valkey.
pub fn monitor(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if cx.session.in_exec {
        return done(Err(ProxyError::MonitorInMulti), out);
    }
    if !cx.session.monitors {
        // Once they have answered, other proxies show what their clients call.
        if let Err(flow) = others::ask_with(cx, args, out, Some(true), || Question::Nothing) {
            return flow;
        }
        cx.session.monitors = true;
        cx.session.open_inbox(cx.core);
        cx.core.shared.watch.monitors.add(&cx.session.info);
        cx.core.shared.watch.changed();
        out.ok();
    }
    Flow::Done
}
