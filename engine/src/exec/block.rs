//! A body that has found nothing and waits for it.

use std::sync::Arc;

use super::Exec;
use crate::slices::Deferred;
use crate::spec::{Body, Bulk};
use crate::waiters::{Wait, Waiter, Waiting};

/// Whether a command may wait for what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocks {
    /// It answers at once, as if its time were up: in transactions and scripts.
    #[default]
    Never,
    /// It waits.
    May,
    /// It is waiting, and runs again because something has changed.
    Again,
}

impl Exec<'_> {
    /// Has the command wait, if it may: nothing is written then. Called when it has changed nothing, as the last that a
    /// body does.
    pub(crate) fn block(&mut self, wait: Wait) -> bool {
        let Some(call) = self.call else { return false };
        match call.context.blocks {
            Blocks::Never => return false,
            Blocks::Again => {
                self.still_waits = true;
                return true;
            }
            Blocks::May => {}
        }
        let (Body::Keys(body) | Body::Bulk(Bulk { body, .. })) = call.spec.body else { return false };
        let common = self.engine.waiters().clone();
        let order = common.place(std::mem::take(&mut self.local.waits_since_us), self.now_ms);
        let waiter = Arc::new(Waiter::new(call, body, wait, order));
        for n in 0..waiter.watched() {
            let key = self.key(call.args, n);
            let queues = self.stripe_data(key.slot).queues_or_new(&common);
            queues.add(key, &waiter);
        }
        let waiting = Box::new(Waiting::new(waiter, common));
        self.deferred = Some(Box::new(Deferred::new(waiting, self.engine.leftovers().clone())));
        true
    }
}
