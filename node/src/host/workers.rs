//! The threads that serve sessions: started when they are wanted, given each link in turn.

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
    pub fn start(&mut self) -> Option<&NodeWorkers> {
        if self.running.is_none() {
            match NodeWorkers::start(self.count, self.node.clone(), self.view.clone()) {
                Ok(workers) => self.running = Some(workers),
                Err(error) => tracing::error!(%error, "the link workers could not start"),
            }
        }
        self.running.as_ref()
    }

    /// Gives a greeted link to the next worker.
    pub fn give(&mut self, socket: Socket) {
        let detached = match socket.detach() {
            Ok(detached) => detached,
            Err(error) => return tracing::warn!(%error, "a link was lost before it began"),
        };
        if let Some(workers) = self.start() {
            workers.give(detached);
        }
    }
}
