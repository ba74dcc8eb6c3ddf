//! What a client is sent without having asked goes out between two replies, also while an answer is late; one that does
//! not take what it is sent is closed.

use std::task::Context;

use super::Client;
use super::late::LateAnswer;
use crate::push::Class;
use crate::push::limits::Excess;
use crate::upstream::shot::Shot;

impl Client {
    /// Writes what was sent to this client, unless a reply is half out or the socket has not taken what there was before.
    /// False: the client holds more than it may, and ends.
    #[cold]
    pub(super) fn write_pushes(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(inbox) = self.session.inbox.clone() else { return true };
        inbox.listen(cx.waker());
        inbox.set_unsent(self.unsent_bytes());
        inbox.check();
        if inbox.is_over() {
            self.count_over_limit(inbox.held_bytes());
            return false;
        }
        while !inbox.is_empty() && self.unsent.is_none() && !self.is_mid_reply() && !self.session.closing {
            let worker = self.worker.clone();
            let mut core = worker.core.borrow_mut();
            core.out.clear();
            inbox.take(&mut core.out);
            self.send(&mut core);
            core.out.clear();
        }
        true
    }

    /// Whether there is something in the inbox, and the socket has taken what there was before.
    pub(super) fn has_pushes_to_write(&self) -> bool {
        let has_pushes = self.session.inbox.as_ref().is_some_and(|inbox| !inbox.is_empty());
        has_pushes && self.unsent.is_none() && !self.is_mid_reply() && !self.session.closing
    }

    /// Whether a client that is sent nothing but replies holds more than it may. (One without a limit is not read while it
    /// holds much.)
    pub(super) fn is_over_limit(&mut self, held: u64) -> bool {
        if self.session.inbox.is_some() {
            return false;
        }
        let settings = &self.worker.shared.settings;
        if !settings.output_limits.is_over_any(Class::Normal, held) {
            self.excess = Excess::None;
            return false;
        }
        let now_ms = crate::shared::unix_ms();
        self.excess = settings.output_limits.judge(Class::Normal, held, true, self.excess, now_ms);
        if self.excess.is_final() {
            self.count_over_limit(held);
        }
        self.excess.is_final()
    }

    /// Whether the beginning of a reply is out, and the rest is not there yet. Nothing comes before the confirmation of
    /// a subscription, or the reply to a message that the client itself has sent.
    fn is_mid_reply(&self) -> bool {
        let is_late = self.late.as_ref().is_some_and(|late| {
            late.holds_pushes(&self.session) || self.session.tracked().is_some() && self.reads_elsewhere(late)
        });
        is_late || self.is_writing() || self.flights.as_ref().is_some_and(|flights| flights.borrow().is_passing())
    }

    /// Whether the late answer may bring what others are just told to be stale. What waits for others may do so for long.
    fn reads_elsewhere(&self, late: &LateAnswer) -> bool {
        let is_unanswered = || {
            let flights = self.flights.as_ref().map(|flights| flights.borrow());
            flights.is_some_and(|flights| flights.shots.iter().any(Shot::is_sent))
        };
        late.is_remote() && !(self.session.wait.is_some() && is_unanswered())
    }

    fn count_over_limit(&self, bytes: u64) {
        tracing::warn!(client = %self.session.info.addr, bytes, "closed a client that does not take what it is sent");
        self.worker.core.borrow_mut().counts.output_limit_closed += 1;
    }
}
