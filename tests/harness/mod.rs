//! What every integration test needs: processes, connections, replies, and waiting for a condition.

mod conn;
mod escape;
mod http;
mod places;
mod reply;
mod rng;
mod server;
mod topology;

use std::time::{Duration, Instant};

pub use conn::{Conn, Heard, encode};
pub use escape::{escape, split_words, unescape};
pub use http::{get, request};
pub use places::{
    app_script, apps_modules, apps_python, client_script, grafana_modules, node_modules, program, python, tests_dir,
};
pub use reply::{Reply, extent, frame_len, protocol_lines};
pub use rng::Rng;
pub use server::{Dir, LISTENERS, Real, Server, Subject, Swell};
pub use topology::{Topology, nodes};
pub(crate) use topology::{everywhere, with_one_node};

/// How long any single thing may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Between two looks at a condition that nothing announces.
const POLL: Duration = Duration::from_millis(2);

/// Looks at a condition until it yields a value.
///
/// # Panics
/// When `limit` has passed without one, naming `what` was awaited.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {limit:?} in vain for {what}");
        std::thread::park_timeout(POLL);
    }
}
