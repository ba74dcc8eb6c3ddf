//! Long replies of commands that ran in this process: they go to the client a slice at a time, others running in between.

use std::sync::Arc;
use std::task::Waker;

use swell_engine::Deferred;
use swell_engine::commands::table::Command;
use swell_engine::waiters::Waiter;
use swell_meter::Prefix;
use swell_wire::Out;

use crate::core::Core;
use crate::session::{Flow, Late, Session, count_error_at};

/// A long reply between two slices, and what is known of its price.
#[derive(Debug)]
pub struct Answering {
    command: Command,
    prefix: Prefix,
    bytes_in: u64,
    /// Data bytes so far.
    bytes_out: u64,
    rest: Box<Deferred>,
}

/// The command has run, and the rest of its reply is still with the worker's handle.
#[cold]
pub fn begin(core: &mut Core, command: Command, prefix: Prefix, bytes_in: u64, bytes_out: u64) -> Flow {
    match core.handle.take_deferred() {
        Some(rest) => {
            let waits = rest.waiter().is_some();
            let answering = Box::new(Answering { command, prefix, bytes_in, bytes_out, rest });
            Flow::Late(if waits { Late::Blocked(answering) } else { Late::Slices(answering) })
        }
        None => Flow::Done,
    }
}

impl Answering {
    /// Whether there is something to write; if not, this is woken when there is.
    pub fn is_ready(&mut self, waker: &Waker) -> bool {
        if !self.rest.is_ready() {
            // Registered before it is asked again, lest the end come in between.
            self.rest.wait(waker);
        }
        self.rest.is_ready()
    }

    /// The same, for one that waits: its waker may be changed by whoever looks at it.
    pub fn is_ready_or_wakes(&self, waker: &Waker) -> bool {
        let is_ready = self.rest.is_ready();
        if !is_ready && let Some(waiter) = self.rest.waiter() {
            waiter.wake_later(waker);
        }
        is_ready || self.rest.is_ready()
    }

    /// The request, if it waits for what is not there.
    pub fn waiter(&self) -> Option<&Arc<Waiter>> {
        self.rest.waiter()
    }

    /// Whether the request has to run anew: then the stripe at whose gates it has to wait.
    pub fn refused(&self) -> Option<usize> {
        self.rest.refused().map(|(_, stripe)| stripe)
    }
}

/// Writes the next slice; with the last one the command is charged for.
pub fn go_on(core: &mut Core, session: &mut Session, mut answering: Box<Answering>, out: &mut Out) -> Flow {
    let (mark, at, data_before) = (out.mark(), out.len(), out.data_bytes());
    let more = answering.rest.step(out);
    answering.bytes_out += out.data_bytes() - data_before;
    if more {
        session.settle_part(mark, out);
        return Flow::Late(Late::Slices(answering));
    }
    let Answering { command, prefix, bytes_in, bytes_out, rest } = &*answering;
    core.charge_on(*prefix, *command, *bytes_in, *bytes_out, rest.work(), rest.failed());
    if rest.failed() {
        count_error_at(core, out, at);
    }
    Flow::Done
}
