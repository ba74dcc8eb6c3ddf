//! PING.

use swell_wire::{Args, Out, Proto};

use crate::session::{Flow, SessionCx};

/// A RESP2 subscriber reads it as it reads messages.
pub fn ping(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let is_subscriber = cx.session.subscriptions.is_some() && out.proto() == Proto::Resp2;
    match args.len() {
        1 | 2 if is_subscriber => {
            out.array(2);
            out.bulk(b"pong");
            out.bulk(args.opt(1).unwrap_or_default());
        }
        1 => out.simple("PONG"),
        2 => out.bulk(args.slice(1)),
        _ => out.error(&swell_engine::Fault::WrongArity("ping").to_string()),
    }
    Flow::Done
}
