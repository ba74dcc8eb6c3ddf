//! The threads that serve sessions: started when they are wanted, given each link in turn.

use std::io;
use std::sync::Arc;

use crate::embedded::Node;
use crate::link::socket::Socket;
use crate::view::View;
use crate::worker::NodeWorkers;

/// The link workers of a process.
pub struct Workers {
    count: usize,
    node: Arc<Node>,
    view: Arc<View>,
    running: Option<NodeWorkers>,
}

impl Workers {
    /// None yet.
    pub fn new(count: usize, node: Arc<Node>, view: Arc<View>) -> Workers {
        Workers { count, node, view, running: None }
    }

    /// Starts them, if they do not run.
    ///
    /// # Errors
    /// As the system says when it makes threads.
    pub fn start(&mut self) -> io::Result<&NodeWorkers> {
        match &mut self.running {
            Some(running) => Ok(running),
            none => Ok(none.insert(NodeWorkers::start(self.count, &self.node, &self.view)?)),
        }
    }

    /// Gives a greeted link to the next worker.
    pub fn give(&mut self, socket: Socket) {
        let detached = match socket.detach() {
            Ok(detached) => detached,
            Err(error) => return tracing::warn!(%error, "a link was lost before it began"),
        };
        match self.start() {
            Ok(workers) => workers.give(detached),
            Err(error) => tracing::error!(%error, "a link was closed: the link workers could not start"),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}
