//! Helper threads: they run what is too much for a worker's turn ([`swell_engine::bulk`]). They come when there is such
//! work, each takes what waits, and they go when nothing does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use swell_engine::bulk::Errand;

use crate::embedded::Node;

/// Threads of one node, as long as they get on. More would take the cores from workers; what waits for one holds its own
/// stripes only.
const HELPERS_MAX: usize = 4;
/// Threads if they do not: scripts without end must not keep other work waiting.
const HELPERS_STUCK_MAX: usize = 32;
/// Work that has waited for so long gets a thread more.
const STUCK: Duration = Duration::from_millis(100);

/// What the helpers of one node have to do.
#[derive(Debug, Default)]
pub(crate) struct Helpers {
    todo: Mutex<Todo>,
}

#[derive(Debug, Default)]
struct Todo {
    threads: usize,
    /// With the time since when.
    waiting: VecDeque<(Instant, Errand)>,
}

/// Lets a node's engine have its bulk work run on threads of their own.
pub(crate) fn attach(node: &Arc<Node>) {
    let helpers = node.helpers().clone();
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
        todo.waiting.push_back((Instant::now(), errand));
        if todo.threads >= HELPERS_MAX || self.spawn(&mut todo, node) || todo.threads > 0 {
            // Somebody will come round to it.
            return Ok(());
        }
        todo.waiting.pop_back().map_or(Ok(()), |(_, errand)| Err(errand))
    }

    /// Gives what has waited for too long a thread of its own. Workers call this at their ticks.
    pub(crate) fn look(self: &Arc<Self>, node: &Arc<Node>) {
        let mut todo = self.lock();
        let is_stuck = todo.waiting.front().is_some_and(|(since, _)| since.elapsed() > STUCK);
        if is_stuck && todo.threads < HELPERS_STUCK_MAX {
            self.spawn(&mut todo, node.clone());
        }
    }

    fn spawn(self: &Arc<Self>, todo: &mut Todo, node: Arc<Node>) -> bool {
        let helpers = self.clone();
        let is_there =
            thread::Builder::new().name("swell-helper".to_owned()).spawn(move || helpers.work(&node)).is_ok();
        todo.threads += usize::from(is_there);
        is_there
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
        let next = todo.waiting.pop_front().map(|(_, errand)| errand);
        todo.threads -= usize::from(next.is_none());
        next
    }

    fn lock(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
