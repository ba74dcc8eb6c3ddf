//! What a proxy's client watches at this node. The proxy numbers its client's watches, so that keys of an earlier one do
//! not count for a later one: `WATCH number key [key ...]` watches, `WATCH number` is the condition of a unit.

use swell_engine::gate::Refusal;
use swell_engine::number::parse_u64;
use swell_engine::spec::Spec;
use swell_engine::stripe::Ticket;
use swell_engine::watch::Watching;
use swell_engine::{Context, Outcome};
use swell_wire::Args;

use crate::Handle;
use crate::link::body::Ran;

/// One session's watch.
#[derive(Debug)]
pub(super) struct SessionWatch {
    number: u64,
    watching: Watching,
}

impl SessionWatch {
    /// Whether this is the watch that these arguments name.
    pub fn is_called(&self, args: Args<'_>) -> bool {
        parse_u64(args.slice(1)) == Some(self.number)
    }

    /// Its keys.
    pub fn watching(&self) -> &Watching {
        &self.watching
    }
}

/// Whether the command is WATCH.
pub(super) fn is_watch(spec: &Spec) -> bool {
    spec.name == "watch"
}

/// Whether there are keys behind the number.
pub(super) fn names_keys(args: Args<'_>) -> bool {
    args.len() > 2
}

/// Watches the keys that are named, beside those of the same number.
pub(super) fn begin(
    handle: &Handle,
    watch: &mut Option<SessionWatch>,
    args: Args<'_>,
    context: Context,
    ticket: Option<Ticket>,
) -> Result<(), Ran> {
    if watch.as_ref().is_some_and(|watch| !watch.is_called(args)) {
        end(handle, watch);
    }
    let engine = handle.engine();
    let watch = watch.get_or_insert_with(|| SessionWatch {
        number: parse_u64(args.slice(1)).unwrap_or_default(),
        watching: engine.watching(),
    });
    for arg in 2..args.len() {
        let at = engine.hasher().key_hash(args.slice(arg), arg);
        let watched = engine.watch(&mut watch.watching, context.db, args.slice(arg), at, context.now_ms, ticket);
        watched.map_err(|outcome| match outcome {
            Outcome::Busy(stripe) => Ran::Busy(stripe),
            Outcome::NotExecuted(Refusal::Paused, stripe) => Ran::Closed(stripe),
            _ => Ran::Moved,
        })?;
    }
    Ok(())
}

/// The session watches nothing any longer.
pub(super) fn end(handle: &Handle, watch: &mut Option<SessionWatch>) {
    if let Some(watch) = watch.take() {
        handle.engine().unwatch(watch.watching);
    }
}
