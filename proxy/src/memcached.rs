//! What is particular to memcached clients: authentication on a port that has only text, items over the limit, and a
//! flush_all that is to happen later.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use swell_engine::Context;
use swell_engine::admit::{Caller, Denied};
use swell_engine::commands::memcached::stat::McStat;
use swell_engine::spec::Body;
use swell_engine::walk::{Step, WalkState};
use swell_wire::{Args, Out, OwnedArgs};

use crate::catalog;
use crate::core::Core;
use crate::session::{Flow, Session};

/// When a delayed `flush_all` is due. There is one at most: the last one asked for, as in memcached.
#[derive(Debug, Default)]
pub struct DelayedFlush {
    /// Unix milliseconds; 0: none.
    at_ms: AtomicU64,
}

/// A delayed flush on its way through the key space; one worker runs it, some slots at each of its ticks.
#[derive(Debug, Default)]
pub struct Flushing(Option<Box<WalkState>>);

impl DelayedFlush {
    /// Flushes at this time (unix milliseconds) instead of any set before.
    pub fn schedule(&self, at_ms: u64) {
        self.at_ms.store(at_ms, Relaxed);
    }

    /// Forgets what was asked for.
    pub fn cancel(&self) {
        self.at_ms.store(0, Relaxed);
    }

    /// How long until it is due, if one is set.
    pub fn wait(&self, now_ms: u64) -> Option<Duration> {
        let at_ms = self.at_ms.load(Relaxed);
        (at_ms != 0).then(|| Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    /// Whether it is due; says so once.
    pub(crate) fn take_due(&self, now_ms: u64) -> bool {
        let at_ms = self.at_ms.load(Relaxed);
        at_ms != 0 && at_ms <= now_ms && self.at_ms.compare_exchange(at_ms, 0, Relaxed, Relaxed).is_ok()
    }
}

impl Flushing {
    /// Goes on with a flush that has begun, or begins one that is due. Returns whether there is more to do at once.
    pub fn step(&mut self, core: &mut Core, now_ms: u64) -> bool {
        if self.0.is_none() && !core.shared.delayed_flush.take_due(now_ms) {
            return false;
        }
        let Some(flush) = catalog::resp().by_name(b"flushdb") else { return false };
        let Body::Walk(body) = &flush.spec.body else { return false };
        let args = OwnedArgs::from_slices(&["flushdb"]);
        // Whoever sent flush_all was admitted then. In memcached's one key space.
        let Ok(admitted) = Caller::trusted().admit(flush, args.as_args()) else { return false };
        let call = admitted.call(&[], Context { no_touch: true, now_ms, ..Context::default() });
        let state = match self.0.take() {
            Some(state) => Ok(state),
            None => core.handle.walk_begin(body, &call).map(Box::new),
        };
        let mut state = match state {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%error, "a delayed flush_all could not begin");
                return false;
            }
        };
        if core.handle.walk_step(body, &mut state, &call) == Step::Done {
            return false;
        }
        self.0 = Some(state);
        true
    }
}

/// Refuses a request with this line.
pub fn refuse(core: &mut Core, line: &'static [u8], out: &mut Out) -> Flow {
    out.raw(line);
    core.counts.error(line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default());
    Flow::Done
}

/// Refuses what a user has no permission for: in Redis's words, behind memcached's sign for a client's mistake.
pub fn deny(core: &mut Core, denied: &Denied, out: &mut Out) -> Flow {
    let text = denied.to_string();
    let text = text.strip_prefix("NOPERM ").unwrap_or(&text);
    out.raw(format!("CLIENT_ERROR {text}\r\n").as_bytes());
    core.counts.error(b"CLIENT_ERROR");
    Flow::Done
}

/// A verb that there is not. A browser's first line ends the connection without a word.
pub fn unknown(core: &mut Core, session: &mut Session, args: Args<'_>, out: &mut Out) -> Flow {
    if args.iter().last().is_some_and(|word| word.starts_with(b"HTTP/")) {
        session.closing = true;
        return Flow::Done;
    }
    refuse(core, b"ERROR\r\n", out)
}

/// A client that has not authenticated sends `set KEY FLAGS EXPTIME BYTES` with "user password" as its data
/// (memcached's ascii authentication); anything else is refused.
pub fn authenticate(core: &mut Core, session: &mut Session, args: Args<'_>, out: &mut Out) -> Flow {
    if args.slice(0) != b"set" || args.len() != 6 {
        return refuse(core, b"CLIENT_ERROR unauthenticated\r\n", out);
    }
    core.handle.count(McStat::AuthCmds);
    let data = args.slice(5);
    let (name, password) = match data.iter().position(|byte| *byte == b' ') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b""[..]),
    };
    let Some(user) = core.shared.access.let_in(name, password) else {
        core.counts.auth_failures += 1;
        crate::session::note_refused(core, session, "auth", b"set".to_vec(), name.to_vec());
        core.handle.count(McStat::AuthErrors);
        return refuse(core, b"CLIENT_ERROR authentication failure\r\n", out);
    };
    session.log_in(user);
    session.pays(core);
    out.raw(b"STORED\r\n");
    Flow::Done
}

/// An item over the limit: refused, and a `set` removes the old item, lest a client read what it meant to replace.
pub fn too_large(core: &mut Core, session: &mut Session, args: Args<'_>, out: &mut Out) -> Flow {
    if session.authenticated
        && args.slice(0) == b"set"
        && args.len() >= 2
        && let Some(delete) = session.table().by_name(b"delete")
    {
        let delete_args = OwnedArgs::from_slices(&[&b"delete"[..], args.slice(1)]);
        let mut ignored = Out::new(session.proto);
        let flow = crate::session::run_engine(core, session, delete, delete_args.as_args(), None, &mut ignored);
        if matches!(flow, Flow::Late(_)) {
            return flow;
        }
    }
    core.handle.count(McStat::StoreTooLarge);
    refuse(core, b"SERVER_ERROR object too large for cache\r\n", out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_delay_counts_and_comes_once() {
        let flush = DelayedFlush::default();
        assert!(!flush.take_due(u64::MAX) && flush.wait(5).is_none());
        flush.schedule(1_000);
        flush.schedule(2_000);
        assert_eq!(flush.wait(1_500), Some(Duration::from_millis(500)));
        assert_eq!(flush.wait(2_500), Some(Duration::ZERO));
        assert!(!flush.take_due(1_999) && flush.take_due(2_000) && !flush.take_due(2_000));
        flush.schedule(3_000);
        flush.cancel();
        assert!(!flush.take_due(4_000));
    }
}
