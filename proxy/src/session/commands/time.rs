//! TIME.

use std::time::{SystemTime, UNIX_EPOCH};

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

/// The time as of now, not as of the batch: seconds, and microseconds of the second.
pub fn time(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    out.array(2);
    out.bulk_int(now.as_secs() as i64);
    out.bulk_int(now.subsec_micros().into());
    Flow::Done
}
