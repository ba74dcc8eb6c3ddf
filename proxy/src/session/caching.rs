//! Client-side caching, as far as one client's session goes: what it has asked for, and which of its reads are remembered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::spec::Spec;
use swell_engine::track::Tracker;
use swell_node::link::frame::Flags;

use crate::core::Core;
use crate::pubsub;
use crate::session::{Session, remote};
use crate::tracking::{Caching, Mode, Options, Tracked, all_stale};

/// What a session knows of its copies.
#[derive(Debug, Default)]
pub struct Copies {
    tracked: Option<Arc<Tracked>>,
    /// What CLIENT CACHING has said of the next command.
    caching: Option<Caching>,
    /// See [`Session::note_job_flags`].
    job_flags: Option<Flags>,
}

impl Copies {
    /// Whether the next command is a matter of its own.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.caching.is_some()
    }
}

impl Session {
    /// How it is told what is stale, if it keeps copies.
    pub fn tracked(&self) -> Option<&Arc<Tracked>> {
        self.copies.tracked.as_ref()
    }

    /// What CLIENT CACHING has said of the next command.
    pub fn caching(&self) -> Option<Caching> {
        self.copies.caching
    }

    /// It keeps copies from now on. True: nodes have to be told of its prefixes.
    pub fn start_tracking(&mut self, core: &mut Core, options: Options) -> bool {
        let inbox = self.open_inbox(core).clone();
        if let Some(before) = &self.copies.tracked {
            tell_owed(core, before);
        }
        let tracked = core.shared.tracking.begin(&self.info, options);
        let options = tracked.options();
        self.info.tracking_broken.store(false, Relaxed);
        self.info.redirect.store(options.redirect as i64, Relaxed);
        let has_prefixes = options.mode == Mode::Broadcast;
        self.info.tracks_prefixes.store(has_prefixes, Relaxed);
        options.prefixes.iter().for_each(|prefix| pubsub::follow_prefix(core, &inbox, prefix));
        self.copies.tracked = Some(tracked);
        self.set_caching(None);
        self.show();
        has_prefixes
    }

    /// It keeps none any more.
    pub fn stop_tracking(&mut self, core: &mut Core) {
        if let Some(tracked) = self.copies.tracked.take() {
            tell_owed(core, &tracked);
            core.shared.tracking.end(self.info.id);
            let prefixes = &tracked.options().prefixes;
            prefixes.iter().for_each(|prefix| pubsub::leave_prefix(core, self.info.id, prefix));
            self.info.redirect.store(-1, Relaxed);
            self.info.tracks_prefixes.store(false, Relaxed);
            self.info.tracking_broken.store(false, Relaxed);
            self.set_caching(None);
            self.show();
        }
    }

    /// What the frames of the job that it waits for are flagged with, as long as CLIENT CACHING holds for it.
    pub fn note_job_flags(&mut self) {
        if self.copies.tracked.is_some() {
            self.copies.job_flags = Some(remote::flags(self));
        }
    }

    /// What the frames of the job that begins now are flagged with.
    pub fn take_job_flags(&mut self) -> Flags {
        self.copies.job_flags.take().unwrap_or_else(|| remote::flags(self))
    }

    /// What CLIENT CACHING says of the next command.
    pub fn set_caching(&mut self, caching: Option<Caching>) {
        self.copies.caching = caching;
        let id = self.info.id;
        let tracker = self.copies.tracked.as_ref().map(|tracked| tracked.options().tracker(id, caching));
        self.tracker = tracker.unwrap_or_default();
    }

    /// A command has run: what CLIENT CACHING has said was for it, unless it was one of CLIENT's own, or a transaction is
    /// open.
    pub fn after_command(&mut self, spec: &Spec) {
        if self.copies.is_pending() && self.multi.is_none() && spec.container() != Some("client") {
            self.set_caching(None);
        }
    }

    /// What the node has to know of it.
    #[inline]
    pub fn tracker(&self) -> Tracker {
        self.tracker
    }
}

/// Before it stops, or begins anew: a flush within the same transaction is news to it, though its worker has not heard yet.
fn tell_owed(core: &Core, tracked: &Tracked) {
    if core.shared.tracking.owes_flush(tracked) {
        core.post(tracked, &all_stale());
    }
}
