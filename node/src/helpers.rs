//! Helper threads: they run what is too much for a worker's turn ([`swell_engine::bulk`]). They come when there is such
//! work, each takes what waits, and they go when nothing does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use swell_engine::bulk::Errand;

use crate::embedded::Node;

/// Threads of one node. More would take the cores from workers; what waits for one holds its own stripes only.
const HELPERS_MAX: usize = 4;

/// What the helpers of one node have to do.
#[derive(Debug, Default)]
struct Helpers {
    todo: Mutex<Todo>,
}

#[derive(Debug, Default)]
struct Todo {
    threads: usize,
    waiting: VecDeque<Errand>,
}

/// Lets a node's engine have its bulk work run on threads of their own.
pub(crate) fn attach(node: &Arc<Node>) {
    let helpers = Arc::<Helpers>::default();
    let weak = Arc::downgrade(node);
    node.engine().scripts().use_clock(unix_us);
    node.engine().use_helpers(Box::new(move |errand| helpers.take(&weak, errand)));
}

/// The time in microseconds since 1970.
fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

impl Helpers {
    /// Takes work, or gives it back if there is nobody to do it.
    fn take(self: &Arc<Self>, node: &Weak<Node>, errand: Errand) -> Result<(), Errand> {
        let Some(node) = node.upgrade() else { return Err(errand) };
        let mut todo = self.lock();
        todo.waiting.push_back(errand);
        if todo.threads == HELPERS_MAX {
            return Ok(());
        }
        let helpers = self.clone();
        match thread::Builder::new().name("swell-helper".to_owned()).spawn(move || helpers.work(&node)) {
            Ok(_) => todo.threads += 1,
            // Somebody else will come round to it.
            Err(_) if todo.threads > 0 => {}
            Err(_) => return todo.waiting.pop_back().map_or(Ok(()), Err),
        }
        Ok(())
    }

    /// Does what there is to do.
    fn work(&self, node: &Arc<Node>) {
        while let Some(errand) = self.next() {
            let mut handle = node.handle(errand.seed());
            // A panic fails the one command; its locks are given back, and its client is told.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handle.run_errand(errand)));
            while handle.free_garbage() {}
        }
    }

    /// What is to be done next; with nothing the thread counts as gone.
    fn next(&self) -> Option<Errand> {
        let mut todo = self.lock();
        let next = todo.waiting.pop_front();
        todo.threads -= usize::from(next.is_none());
        next
    }

    fn lock(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
