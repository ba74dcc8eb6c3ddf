//! Frames of small requests that run together, straight from the read buffer: decoded, looked up and hashed one after
//! the other, their memory asked for at once.

use swell_engine::Db;
use swell_engine::key::KeyHash;
use swell_engine::spec::Spec;
use swell_wire::{Limits, Requests};

use crate::embedded::Handle;
use crate::link::body;
use crate::link::frame::{BadFrame, Flags, RequestHead};
use crate::link::outbox::OpenReply;

/// Requests whose memory is asked for before the first of them runs.
pub(super) const GROUP: usize = 32;

/// Requests that run together, in the order they came.
#[derive(Debug)]
pub(super) struct Group {
    pub limits: Limits,
    pub requests: Requests,
    pub frames: Vec<Open>,
    pub planned: Vec<Planned>,
    pub keys: Vec<KeyHash>,
}

/// A frame of the group.
#[derive(Debug)]
pub(super) struct Open {
    pub head: RequestHead,
    /// Its body in the buffer.
    pub from: usize,
    pub to: usize,
    /// Its first request in the group's table.
    pub first: usize,
    /// Requests that ran.
    pub done: usize,
    pub reply: Option<OpenReply>,
    /// It has to wait, and is kept by its session.
    pub is_kept: bool,
}

/// One request of the group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub spec: &'static Spec,
    pub frame: u32,
    pub item: u32,
    pub keys_from: u32,
    pub keys_to: u32,
}

impl Group {
    pub fn new() -> Group {
        Group {
            limits: body::limits(),
            requests: Requests::new(),
            frames: Vec::with_capacity(GROUP),
            planned: Vec::with_capacity(GROUP),
            keys: Vec::with_capacity(GROUP),
        }
    }

    /// Looks a request's command up and hashes its keys.
    #[inline]
    pub fn plan(
        &mut self,
        handle: &Handle,
        frame: usize,
        item: usize,
        body: &[u8],
        flags: Flags,
    ) -> Result<(), BadFrame> {
        let Some(args) = self.requests.get(item, body) else { return Ok(()) };
        let spec = body::command(flags, args)?;
        if !spec.body.runs_in_one_go() {
            return Err(BadFrame::OutOfPlace("a command that nodes do not run in such a frame"));
        }
        let keys_from = self.keys.len();
        spec.hash_keys(handle.engine(), args, &mut self.keys);
        self.planned.push(Planned {
            spec,
            frame: frame as u32,
            item: item as u32,
            keys_from: keys_from as u32,
            keys_to: self.keys.len() as u32,
        });
        Ok(())
    }

    /// Asks the memory for what is planned.
    #[inline]
    pub fn prefetch(&self, handle: &Handle) {
        if self.planned.len() < 2 {
            return;
        }
        let db_of = |planned: &Planned| self.frames[planned.frame as usize].head.db;
        let same_db = self.planned.chunk_by(|one, other| db_of(one) == db_of(other));
        for run in same_db {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let db = Db::new(db_of(first).into()).unwrap_or_default();
            handle.prefetch(db, &self.keys[first.keys_from as usize..last.keys_to as usize]);
        }
    }
}
