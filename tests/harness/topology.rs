//! How many nodes stand behind what is tested, where they run, and whether their slots move meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use swell::nodes::asking::{AskError, Asking};
use swell_node::control::{Answer, Ask, NodeLine};
use swell_node::link::socket::Address;
use swell_ring::placement::GROUP_SLOTS_MAX;
use swell_ring::{NodeId, SLOTS, Slot, SlotSet};

use super::rng::Rng;
use super::{DEADLINE, Server, Swell, wait_for};

/// What the moves of every server begin with; the server's process id is added, and both are printed when a test fails.
const SEED: u64 = 3;

/// Where the data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology {
    /// In the proxy's own process.
    Embedded,
    /// On one node, over a link.
    Remote1,
    /// On three nodes, over links.
    Remote3,
    /// The same, while slots chosen at random move from node to node.
    Moving3,
}

impl Topology {
    /// Those in which requests go over links.
    pub const REMOTE: [Topology; 3] = [Topology::Remote1, Topology::Remote3, Topology::Moving3];

    /// Whether atomic commands over several slots are refused.
    pub fn is_several(self) -> bool {
        matches!(self, Topology::Remote3 | Topology::Moving3)
    }

    /// `swell serve` with its data there, with more `args`.
    ///
    /// # Panics
    /// When it does not become ready, or does not begin to move slots.
    pub fn start(self, args: &[&str]) -> Server {
        let nodes = match self {
            Topology::Embedded => return Swell::start(args),
            Topology::Remote1 => "1",
            Topology::Remote3 | Topology::Moving3 => "3",
        };
        let own = ["--first-node", "process", "--nodes-min", nodes, "--nodes-max", nodes, "--node-workers", "1"];
        let mut server = Swell::start(&[&own, args].concat());
        server.topology = self;
        if self == Topology::Moving3 {
            server.mover = Some(Mover::start(&server));
        }
        server
    }
}

/// Keeps moving slots until its server ends.
pub struct Mover {
    thread: JoinHandle<Result<(), AskError>>,
    stop: Arc<AtomicBool>,
    seed: u64,
}

impl Mover {
    fn start(server: &Server) -> Mover {
        let address: Address = server.link.parse().expect("the ready file tells the link");
        let (stop, moves) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let seed = SEED + u64::from(server.pid());
        let thread = std::thread::spawn({
            let (stop, moves) = (stop.clone(), moves.clone());
            move || roam(&address, &mut Rng::new(seed), &stop, &moves)
        });
        wait_for("slots to move", DEADLINE, || {
            (moves.load(Ordering::Relaxed) > 0 || thread.is_finished()).then_some(())
        });
        Mover { thread, stop, seed }
    }

    /// From now on no error is one: the server is about to end.
    pub fn begin_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the thread, whose server has ended. Errors are those from before [`Mover::begin_to_stop`].
    pub fn stop(self) -> Result<(), String> {
        let moved = self.thread.join().map_err(|_| "the thread that moves slots has panicked".to_owned())?;
        moved.map_err(|error| format!("slots could not be moved (seed {}): {error}", self.seed))
    }
}

/// Nodes of the server whose scaler listens there.
pub fn nodes(link: &str) -> Vec<NodeLine> {
    let address: Address = link.parse().expect("the ready file tells the link");
    let asked = Asking::begin(&address, "").and_then(|mut asking| asking.ask(Ask::Nodes));
    match asked.expect("the scaler answers") {
        Answer::Nodes(nodes) => nodes,
        other => panic!("not what was asked: {other:?}"),
    }
}

fn roam(address: &Address, rng: &mut Rng, stop: &AtomicBool, moves: &AtomicU64) -> Result<(), AskError> {
    let moved = (|| {
        let mut asking = Asking::begin(address, "")?;
        let Answer::Nodes(nodes) = asking.ask(Ask::Nodes)? else { return Err(asking.confused()) };
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        while !stop.load(Ordering::Relaxed) {
            asking.ask(Ask::Move { slots: group(rng), to: ids[rng.below(ids.len())] })?;
            moves.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })();
    if stop.load(Ordering::Relaxed) { Ok(()) } else { moved }
}

/// Some neighbours, from anywhere in the key space.
fn group(rng: &mut Rng) -> SlotSet {
    let (first, count) = (rng.below(SLOTS), 1 + rng.below(GROUP_SLOTS_MAX));
    let mut slots = SlotSet::new();
    for number in first..(first + count).min(SLOTS) {
        slots.insert(Slot::new(u16::try_from(number).expect("a slot's number")).expect("a slot's number"));
    }
    slots
}

/// For each function of a place: one test for each place.
macro_rules! everywhere {
    ($($name:ident)*) => {
        mod embedded {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Embedded); })*
        }

        mod one_remote_node {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Remote1); })*
        }

        mod three_remote_nodes {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Remote3); })*
        }

        mod three_nodes_with_moving_slots {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Moving3); })*
        }
    };
}

pub(crate) use everywhere;

/// The same for what holds where one node has everything.
macro_rules! with_one_node {
    ($($name:ident)*) => {
        mod one_embedded_node {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Embedded); })*
        }

        mod the_one_remote_node {
            $(#[test] fn $name() { super::$name($crate::harness::Topology::Remote1); })*
        }
    };
}

pub(crate) use with_one_node;
