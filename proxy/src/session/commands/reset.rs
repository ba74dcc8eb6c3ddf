//! RESET.

use swell_wire::{Args, Out};

use crate::pubsub;
use crate::session::{Flow, ReplyMode, SessionCx};

/// A reply that CLIENT REPLY SKIP has skipped already stays skipped.
pub fn reset(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let is_skipped = cx.session.reply == ReplyMode::Skip;
    pubsub::unsubscribe_all(cx.core, cx.session);
    cx.session.stop_monitoring(&cx.core.shared);
    cx.session.stop_tracking(cx.core);
    cx.session.reset(&cx.core.shared.access);
    if is_skipped {
        cx.session.reply = ReplyMode::Skip;
    }
    out.set_proto(cx.session.proto);
    out.simple("RESET");
    Flow::Done
}
