//! Clients that keep copies: what is stale is told behind the replies of what was under way when that was heard, so that no
//! reply brings an old value after it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Flights;
use crate::core::Core;
use crate::push::Message;
use crate::tracking::{Tracked, all_stale};

/// Messages of one client that may wait for replies; over it everything counts as stale.
const WAITING_MAX: usize = 4096;

/// What a client with copies has still to be told.
#[derive(Debug, Default)]
pub(super) struct Copies {
    tracked: Option<Arc<Tracked>>,
    /// Each with the number of the first request that it may stand before.
    waiting: VecDeque<(u64, Message)>,
}

impl Flights {
    /// How the client is told what is stale, if it keeps copies; what it sends from now on is its.
    #[inline]
    pub fn set_tracked(&mut self, tracked: Option<&Arc<Tracked>>) {
        if self.copies.tracked.is_some() || tracked.is_some() {
            self.change_tracked(tracked);
        }
    }

    #[cold]
    fn change_tracked(&mut self, tracked: Option<&Arc<Tracked>>) {
        self.copies.tracked = tracked.cloned();
        match tracked {
            Some(tracked) => tracked.sends_by(self.session),
            None => self.copies.waiting.clear(),
        }
    }

    /// A request of its goes out.
    #[cold]
    pub fn note_read(&self) {
        self.copies.tracked.iter().for_each(|tracked| tracked.reads());
    }

    /// The same as it is.
    pub fn tracked(&self) -> Option<&Arc<Tracked>> {
        self.copies.tracked.as_ref()
    }

    /// Tells its client that copies are stale, once what is under way is answered.
    pub fn tell(&mut self, core: &Core, message: &Message) {
        let Some(tracked) = &self.copies.tracked else { return };
        if self.frames.iter().any(|frame| frame.is_shot) {
            // What that reads may be older than this.
            tracked.reads();
        }
        if self.requests.is_empty() {
            return core.post(tracked, message);
        }
        let after = self.first + self.requests.len() as u64;
        if self.copies.waiting.len() < WAITING_MAX {
            self.copies.waiting.push_back((after, message.clone()));
        } else {
            self.copies.waiting.clear();
            self.copies.waiting.push_back((after, all_stale()));
        }
    }

    /// Tells what does not have to wait any longer.
    #[inline]
    pub(super) fn tell_waiting(&mut self, core: &Core) {
        if !self.copies.waiting.is_empty() {
            self.tell_answered(core);
        }
    }

    #[cold]
    fn tell_answered(&mut self, core: &Core) {
        let first = self.first;
        let Copies { tracked, waiting } = &mut self.copies;
        let due = waiting.iter().take_while(|(after, _)| *after <= first).count();
        for (_, message) in waiting.drain(..due) {
            tracked.iter().for_each(|tracked| core.post(tracked, &message));
        }
    }
}
