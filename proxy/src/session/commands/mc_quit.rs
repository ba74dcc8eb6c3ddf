//! memcached: quit.

use swell_wire::{Args, Out};

use crate::session::{Flow, SessionCx};

/// Closes without a word, whatever stands behind it.
pub fn quit(cx: &mut SessionCx<'_>, _: Args<'_>, _: &mut Out) -> Flow {
    cx.session.closing = true;
    Flow::Done
}
