//! Client-side caching, as far as one client's session goes: what it has asked for, and which of its reads are remembered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::spec::Spec;
use swell_engine::track::Tracker;

use crate::core::Core;
use crate::session::Session;
use crate::tracking::{Caching, Mode, Options, Tracked};

/// What a session knows of its copies.
#[derive(Debug, Default)]
pub struct Copies {
    tracked: Option<Arc<Tracked>>,
    /// What CLIENT CACHING has said of the next command.
    caching: Option<Caching>,
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

    /// It keeps copies from now on.
    ///
    /// # Errors
    /// This stripe is taken: to be tried again.
    pub fn start_tracking(&mut self, core: &mut Core, options: Options) -> Result<(), usize> {
        self.open_inbox(core);
        let tracked = core.shared.tracking.begin(core.handle.engine(), &self.info, options)?;
        self.info.tracking_broken.store(false, Relaxed);
        self.info.redirect.store(tracked.options().redirect as i64, Relaxed);
        self.info.tracks_prefixes.store(tracked.options().mode == Mode::Broadcast, Relaxed);
        self.copies.tracked = Some(tracked);
        self.set_caching(None);
        self.show();
        Ok(())
    }

    /// It keeps none any more.
    pub fn stop_tracking(&mut self, core: &Core) {
        if self.copies.tracked.take().is_some() {
            core.shared.tracking.end(self.info.id);
            self.info.redirect.store(-1, Relaxed);
            self.info.tracks_prefixes.store(false, Relaxed);
            self.info.tracking_broken.store(false, Relaxed);
            self.set_caching(None);
            self.show();
        }
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
