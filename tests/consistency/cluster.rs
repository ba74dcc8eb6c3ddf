//! The processes under test: three nodes, one or more proxies, and what is done to them.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use swell::nodes::asking::{AskError, Asking};
use swell_node::control::{Answer, Ask, Event as Told, NodeLine, Progress};
use swell_node::link::socket::Address;
use swell_ring::{NodeId, SLOTS, Slot, SlotMap, SlotSet};

use super::history::Event;
use super::run;
use crate::harness::{DEADLINE, Rng, Server, Topology, nodes, wait_for};

/// Nodes of the cluster.
pub const NODES: usize = 3;

/// Slots below this belong to one of two movers, the others to the other: a slot has one move at a time.
pub const MIDDLE: usize = SLOTS / 2;

/// Slots of one move, at most.
const MOVED_SLOTS_MAX: usize = 64;

/// A commit that takes longer leaves too little of the 2 s that requests wait.
const COMMIT_US_MAX: u64 = 1_500_000;

/// A `swell serve` with three nodes that are processes of their own.
pub struct Cluster {
    pub server: Server,
    /// These tests have bounds of time and keep seven processes busy: one runs at a time.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

/// What movers have done.
#[derive(Debug, Default)]
pub struct Moves {
    pub count: u64,
    pub slots: u64,
    pub keys: u64,
    pub retries: u64,
    /// Longest from sealed to serving, microseconds, without the store's write.
    pub sealed_us_max: u64,
    /// The store's longest write, microseconds.
    pub commit_us_max: u64,
    /// Moves that did not come to their end, and why.
    pub failures: Vec<String>,
}

impl Cluster {
    pub fn start() -> Cluster {
        // Its log tells then why a link was lost.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Cluster { server: Topology::Remote3.start(&["--log-level", "debug"]), _alone: alone }
    }

    /// A new link to the scaler.
    pub fn asking(&self) -> Asking {
        let address: Address = self.server.link.parse().expect("the ready file tells the link");
        Asking::begin(&address, "").expect("the scaler answers")
    }

    pub fn nodes(&self) -> Vec<NodeLine> {
        nodes(&self.server.link)
    }

    pub fn map(&self) -> SlotMap {
        match self.asking().ask(Ask::Slots) {
            Ok(Answer::Slots(map)) => map,
            other => panic!("no slot map: {other:?}"),
        }
    }

    pub fn events(&self, after: u64) -> Vec<Told> {
        match self.asking().ask(Ask::Events { after }) {
            Ok(Answer::Events(events)) => events,
            other => panic!("no events: {other:?}"),
        }
    }

    /// Waits until there are as many nodes as at the start, and gives each its third of the slots.
    pub fn spread(&self) {
        let nodes =
            wait_for("all nodes to be there", DEADLINE, || Some(self.nodes()).filter(|nodes| nodes.len() == NODES));
        let mut asking = self.asking();
        let third = SLOTS.div_ceil(NODES);
        for (index, node) in nodes.iter().enumerate() {
            let slots = range(index * third, third);
            let done = moved(asking.ask(Ask::Move { slots, to: node.id }));
            assert!(done.as_ref().is_ok_and(|done| done.slots_done == done.slots_total), "{done:?}");
        }
    }
}

/// Moves slots around what `hot` says, each lot to a random node, while `goes_on` says so.
pub fn keep_moving(
    cluster: &Cluster,
    rng: &mut Rng,
    hot: impl Fn(&mut Rng) -> Slot,
    goes_on: impl Fn() -> bool,
) -> Moves {
    let mut asking = cluster.asking();
    let mut moves = Moves::default();
    while goes_on() {
        let ids: Vec<NodeId> = cluster.nodes().iter().map(|node| node.id).collect();
        let (count, around) = (1 + rng.below(MOVED_SLOTS_MAX), hot(rng).index());
        let (from, to) = if around < MIDDLE { (0, MIDDLE) } else { (MIDDLE, SLOTS) };
        let first = around.saturating_sub(rng.below(count)).max(from);
        let slots = range(first, count.min(to - first));
        let ask = Ask::Move { slots: slots.clone(), to: rng.pick(&ids) };
        match moved(asking.ask(ask.clone())) {
            Ok(done) => moves.note(&done),
            Err(why) => moves.failures.push(format!("{ask:?}: {why}")),
        }
    }
    moves
}

impl Moves {
    fn note(&mut self, done: &Progress) {
        self.count += 1;
        self.slots += u64::from(done.slots_done);
        self.keys += done.keys;
        self.retries += u64::from(done.retries);
        for (sealed, commit) in done.sealed_us.iter().zip(&done.commit_us) {
            self.sealed_us_max = self.sealed_us_max.max(sealed.saturating_sub(*commit));
            self.commit_us_max = self.commit_us_max.max(*commit);
        }
        if done.slots_done < done.slots_total {
            self.failures.push(format!("{done:?}"));
        }
    }

    /// Checks that nobody was refused. Where the disk alone has kept a commit for longer than requests may wait, some
    /// had to be: then this is said, and is no fault.
    ///
    /// # Panics
    /// When some were.
    pub fn refuse_nobody(&self, refused: &[&Event]) {
        if self.commit_us_max < COMMIT_US_MAX {
            run::none("refused", refused);
        } else if !refused.is_empty() {
            println!("{} refused: the disk took {} us for a commit", refused.len(), self.commit_us_max);
        }
    }

    /// Both movers' doings.
    pub fn and(mut self, other: Moves) -> Moves {
        self.count += other.count;
        self.slots += other.slots;
        self.keys += other.keys;
        self.retries += other.retries;
        self.sealed_us_max = self.sealed_us_max.max(other.sealed_us_max);
        self.commit_us_max = self.commit_us_max.max(other.commit_us_max);
        self.failures.extend(other.failures);
        self
    }
}

/// Sends SIGKILL.
pub fn kill(pid: u32) {
    let done = Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status().expect("there is a shell");
    assert!(done.success(), "process {pid} cannot be killed");
}

/// Waits until a process has ended, whether its parent has noticed or not.
pub fn await_end(pid: u32) -> Instant {
    wait_for("a killed process to end", DEADLINE, || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let runs = stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'));
        (!runs).then(Instant::now)
    })
}

/// How long after `since` its parent has collected a process.
pub fn await_reaped(pid: u32, since: Instant) -> Duration {
    wait_for("a killed process to be reaped", DEADLINE, || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then(|| since.elapsed())
    })
}

/// That many slots from `first` on, as far as there are.
pub fn range(first: usize, count: usize) -> SlotSet {
    let mut slots = SlotSet::new();
    let numbers = first..(first + count).min(SLOTS);
    numbers.filter_map(|number| Slot::new(number as u16)).for_each(|slot| slots.insert(slot));
    slots
}

fn moved(answer: Result<Answer, AskError>) -> Result<Progress, String> {
    match answer {
        Ok(Answer::Done(done)) => Ok(done),
        other => Err(format!("{other:?}")),
    }
}
