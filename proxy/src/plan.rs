//! From a parsed request to a call: look it up, admit it, hash its keys. What cannot run with its neighbours cuts the
//! batch and goes through `session::run`.

use swell_engine::commands::table::Found;
use swell_engine::spec::{Body, Long, Spec};
use swell_wire::Args;
use swell_wire::requests::{Kind, Requests};

use crate::core::{Core, Planned};
use crate::session::Session;

/// The requests of a batch: as they lie in the read buffer, or owned because they had to wait.
pub trait Source {
    /// Number of requests.
    fn count(&self) -> usize;
    /// The arguments, unless the decoder has refused the request.
    fn args(&self, index: usize) -> Option<Args<'_>>;
    /// What the decoder says of the request.
    fn kind(&self, index: usize) -> Kind;
    /// Whether the client wants no reply (memcached).
    fn noreply(&self, index: usize) -> bool;
    /// The request's bytes as RESP, where they lie in one piece.
    fn verbatim(&self, index: usize) -> Option<&[u8]>;
}

/// Requests in the read buffer.
pub struct InPlace<'a> {
    pub requests: &'a Requests,
    pub buf: &'a [u8],
    /// Whether they are RESP.
    pub is_resp: bool,
}

impl Source for InPlace<'_> {
    #[inline]
    fn count(&self) -> usize {
        self.requests.len()
    }

    #[inline]
    fn args(&self, index: usize) -> Option<Args<'_>> {
        self.requests.get(index, self.buf)
    }

    fn kind(&self, index: usize) -> Kind {
        self.requests.item(index).kind
    }

    #[inline]
    fn noreply(&self, index: usize) -> bool {
        self.requests.item(index).noreply
    }

    #[inline]
    fn verbatim(&self, index: usize) -> Option<&[u8]> {
        let item = self.requests.item(index);
        if !self.is_resp || !matches!(item.kind, Kind::Plain { .. }) {
            return None;
        }
        let from = if index == 0 { 0 } else { self.requests.item(index - 1).end as usize };
        self.buf.get(from..item.end as usize)
    }
}

/// Plans request `index` for the node. False: it cuts the batch.
#[inline]
pub fn plan(core: &mut Core, session: &Session, source: &impl Source, index: usize) -> bool {
    let Some(args) = source.args(index) else { return false };
    let Found::Command(command) = session.table().find(args) else { return false };
    if !matches!(command.spec.body, Body::Keys(_)) || session.cuts() || args.has_long() {
        return false;
    }
    if matches!(source.kind(index), Kind::TooLarge(_)) || session.caller().admit(command.spec, args).is_err() {
        return false;
    }
    let keys_from = core.keys.len() as u32;
    if command.spec.hash_keys(core.handle.engine(), args, &mut core.keys).is_err() {
        core.keys.truncate(keys_from as usize);
        return false;
    }
    core.planned.push(Planned { command, keys_from, keys_to: core.keys.len() as u32 });
    true
}

/// Bytes of the values in a request: what the meter counts of what came in. Keys, options and framing are not counted.
#[inline]
pub fn value_bytes(spec: &Spec, args: Args<'_>) -> u64 {
    match spec.long {
        Long::Never => 0,
        Long::At(at) if at < args.len() => args.get(at).len() as u64,
        Long::At(_) => 0,
        Long::EverySecond(from) => (from..args.len()).step_by(2).map(|at| args.get(at).len() as u64).sum(),
        Long::From(from) => (from..args.len()).map(|at| args.get(at).len() as u64).sum(),
    }
}
