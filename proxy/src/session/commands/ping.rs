//! PING.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

pub fn ping(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match args.len() {
        1 => out.simple("PONG"),
        2 => out.bulk(args.slice(1)),
        _ => out.error(&swell_engine::Fault::WrongArity("ping").to_string()),
    }
    Flow::Done
}
