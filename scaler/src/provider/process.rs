//! Nodes as child processes of this one: started, watched, reaped, started again; held to their limits.
//!
//! A child's standard input is a pipe whose other end only this process holds. When this process ends, however it ends,
//! the child reads the end of the file and ends too. Children that are to outlive this process have no such pipe; the next
//! one of its kind takes them over.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use swell_node::link::socket::Address;
use swell_ring::NodeId;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::cgroup::{self, Groups, Limits};
use super::child::Running;
use super::identity::Handle;
use super::machine::{Machine, cores_allowed, memory_used_bytes};
use super::records::{Record, Records};
use crate::policy::view::Free;
use crate::writer::Input;

/// How long a child has from its start until it joins; then it is killed.
pub const JOIN_WAIT: Duration = Duration::from_secs(10);
/// Before a child that ended is started again: from this, doubled each time, ...
pub const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// ... to this.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A child that was a node for so long makes the next wait short again.
pub const STEADY: Duration = Duration::from_secs(10);
/// How long children have to end after the pipe was closed; then they are killed.
pub const STOP_WAIT: Duration = Duration::from_secs(5);
/// The environment variable with the cluster's secret: arguments are for all to see.
pub const TOKEN_VARIABLE: &str = "SWELL_TOKEN";

/// What a node may have to go without.
const LIMITS: &str = "limits of CPU and memory";

/// Child processes that are nodes.
#[derive(Clone, Debug, Default)]
pub struct ProcessConfig {
    /// The program: `BINARY node --join ...`.
    pub binary: PathBuf,
    /// How many there should be.
    pub count: usize,
    /// Where their sockets are, if they have Unix sockets; made if it is not there.
    pub run_dir: PathBuf,
    /// Where they listen instead, so that proxies on other hosts reach them: `HOST:0`, each at a free port.
    pub advertise: Option<String>,
    /// Further arguments of each: zone, workers, settings.
    pub extra_args: Vec<String>,
    /// Cores that each is entitled to: what it is held to, or its workers.
    pub node_cores: f64,
    /// Bytes that each is planned to hold; 0: nobody says.
    pub node_memory_bytes: u64,
    /// What each is held to, where control groups can be written.
    pub limits: Limits,
    /// Give each cores of its own, while there are enough.
    pub pin: bool,
    /// They live on when this process ends, and the next one that says so takes them over.
    pub outlives: bool,
}

/// The children.
#[derive(Debug)]
pub(crate) struct Process {
    config: ProcessConfig,
    join: Address,
    secret: String,
    inputs: mpsc::Sender<Input>,
    machine: Machine,
    records: Records,
    /// None: nobody is limited.
    groups: Option<Groups>,
    seats: Vec<Seat>,
    /// What [`Process::tick`] will tell.
    untold: VecDeque<Did>,
    /// Children started so far: names their sockets.
    started: u64,
}

/// What the provider has done, for the events.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Did {
    Started {
        pid: u32,
        address: String,
    },
    NotStarted {
        why: String,
        again_ms: u128,
    },
    /// It has not joined, or not ended, in time.
    Killed {
        pid: u32,
    },
    /// An earlier scaler has left it.
    Adopted {
        pid: u32,
        node: Option<NodeId>,
    },
    /// From now on nodes are held to these.
    Limited(Limits),
    /// A node is not held to its limits, or all are not; a child is not remembered; it has no cores of its own.
    Without {
        what: &'static str,
        why: String,
    },
}

/// A child that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: u32,
    pub(crate) how: String,
    /// The node it was, if it had joined.
    pub(crate) node: Option<NodeId>,
    /// When another is started in its place, milliseconds from now; not at all if nobody wants it any more.
    pub(crate) again_ms: Option<u128>,
}

/// One of the nodes that were asked for: who is it now?
#[derive(Debug)]
struct Seat {
    running: Option<Running>,
    /// When to start the next, while none runs.
    due: Option<Instant>,
    back_off: Duration,
    /// Its node was drained: do not fill it again.
    is_retired: bool,
}

impl Process {
    /// Takes over those children that an earlier scaler has left. No other runs yet; [`Process::tick`] starts them. `join`
    /// is where they find the scaler.
    pub(crate) fn new(
        config: ProcessConfig,
        join: Address,
        secret: String,
        inputs: mpsc::Sender<Input>,
        records: Records,
        left: Vec<(Record, Handle)>,
    ) -> Process {
        let (machine, seats, untold, count) = (Machine::here(), Vec::new(), VecDeque::new(), config.count);
        let mut process =
            Process { config, join, secret, inputs, machine, records, groups: None, seats, untold, started: 0 };
        process.prepare_groups();
        left.into_iter().for_each(|(record, handle)| process.adopt(record, handle, Instant::now()));
        process.add(count.saturating_sub(process.count()));
        process
    }

    /// Whether nodes are held to the limits that were asked for. None: none were.
    pub(crate) fn limits_enforced(&self) -> Option<bool> {
        (self.config.limits != Limits::default()).then_some(self.groups.is_some())
    }

    /// The children that are nodes, with their process ids.
    pub(crate) fn nodes(&self) -> Vec<(NodeId, u32)> {
        let running = self.seats.iter().filter_map(|seat| seat.running.as_ref());
        running.filter_map(|running| Some((running.joined?.0, running.pid))).collect()
    }

    /// So many more nodes are wanted: [`Process::tick`] starts them.
    pub(crate) fn add(&mut self, count: usize) {
        self.seats.retain(|seat| !seat.is_retired || seat.running.is_some());
        self.seats.extend((0..count).map(|_| Seat::new(Instant::now())));
    }

    /// How many nodes are wanted.
    pub(crate) fn count(&self) -> usize {
        self.seats.iter().filter(|seat| !seat.is_retired).count()
    }

    /// What this machine has beyond what the nodes that are wanted, or still run, are entitled to. Reads some files of
    /// the system for each node.
    pub(crate) fn free(&self) -> Free {
        let there = self.seats.iter().filter(|seat| !seat.is_retired || seat.running.is_some());
        let (mut cores, mut growth_bytes) = (self.machine.cores(), 0_u64);
        for seat in there {
            let used = seat.running.as_ref().map_or(0, |running| memory_used_bytes(running.pid));
            cores -= self.config.node_cores;
            growth_bytes += self.config.node_memory_bytes.saturating_sub(used);
        }
        let memory_bytes = self.machine.memory_free_bytes().saturating_sub(growth_bytes);
        Free { cores: cores.max(0.0), memory_bytes }
    }

    /// When [`Process::tick`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let untold = (!self.untold.is_empty()).then(Instant::now);
        self.seats.iter().filter_map(Seat::next_due).chain(untold).min()
    }

    /// Starts whom it is time to start, kills who has not joined in time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Did> {
        let did: Vec<Did> = (0..self.seats.len()).filter_map(|seat| self.tick_seat(seat, now)).collect();
        self.untold.drain(..).chain(did).collect()
    }

    /// The child that listens at this address, if it is one: its process id, and the node that it is already. `pid` is
    /// what it says of itself, and tells those apart that chose their ports.
    pub(crate) fn child_at(&self, address: &str, pid: u32) -> Option<(u32, Option<NodeId>)> {
        let running = self.seats.iter().filter_map(|seat| seat.running.as_ref());
        let mut there = running.filter(|running| match &running.address {
            Address::Unix(_) => running.address.to_string() == address,
            Address::Tcp(asked) => running.pid == pid && host(asked) == host(address),
        });
        there.next().map(|running| (running.pid, running.joined.map(|(node, _)| node)))
    }

    /// The child with this process id has joined as this node.
    pub(crate) fn joined(&mut self, pid: u32, node: NodeId, now: Instant) {
        let mut running = self.seats.iter_mut().filter_map(|seat| seat.running.as_mut());
        let Some(running) = running.find(|running| running.pid == pid) else { return };
        running.bound = None;
        if running.joined.is_none() {
            running.joined = Some((node, now));
            let record = running.record(self.config.outlives);
            self.remember(record);
        }
    }

    /// How many children there should be, and how many of them are nodes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let wanted = self.seats.iter().filter(|seat| !seat.is_retired);
        let joined = wanted.filter(|seat| seat.running.as_ref().is_some_and(|it| it.joined.is_some()));
        (self.count(), joined.count())
    }

    /// This node is not wanted any more: its process is told to end, and has no successor. False: it is no child.
    pub(crate) fn retire(&mut self, node: NodeId, now: Instant) -> bool {
        let mut seats = self.seats.iter_mut();
        let Some(seat) = seats.find(|seat| seat.node() == Some(node)) else { return false };
        seat.is_retired = true;
        if let Some(running) = &mut seat.running {
            running.stdin = None;
            running.bound = Some(now + STOP_WAIT);
        }
        true
    }

    /// Kills the child that is this node; [`Input::ChildEnded`] tells when it was reaped. Its process id, if it is one.
    pub(crate) fn kill(&mut self, node: NodeId) -> Option<u32> {
        let seat = self.seats.iter().find(|seat| seat.node() == Some(node))?;
        let running = seat.running.as_ref()?;
        running.kill.notify_one();
        Some(running.pid)
    }

    /// A child was reaped. None: it was none of ours.
    pub(crate) fn ended(&mut self, pid: u32, how: String, now: Instant) -> Option<Ended> {
        let is_it = |seat: &&mut Seat| seat.running.as_ref().is_some_and(|running| running.pid == pid);
        let seat = self.seats.iter_mut().find(is_it)?;
        let node = seat.node();
        let running = seat.running.take()?;
        remove_socket(&running.address);
        let how = match cgroup::was_out_of_memory(&running.groups) {
            true => format!("{how}: it had more memory than it may have"),
            false => how,
        };
        cgroup::remove(&running.groups);
        self.records.remove(pid);
        if running.joined.is_some_and(|(_, since)| now.duration_since(since) >= STEADY) {
            seat.back_off = BACK_OFF_MIN;
        }
        let again_ms = (!seat.is_retired).then(|| seat.wait(now).as_millis());
        Some(Ended { pid, how, node, again_ms })
    }

    /// Ends all children: asks, then kills. Those that outlive this process are left alone.
    pub(crate) async fn stop(&mut self) {
        let running: Vec<Running> = self.seats.iter_mut().filter_map(|seat| seat.running.take()).collect();
        if self.config.outlives {
            return running.iter().for_each(|running| running.watch.abort());
        }
        let (mut ending, mut kills) = (Vec::new(), Vec::new());
        for Running { pid, address, stdin, groups, kill, watch, .. } in running {
            drop(stdin);
            ending.push((pid, address, groups, watch));
            kills.push(kill);
        }
        let until = Instant::now() + STOP_WAIT;
        for (pid, address, groups, watch) in &mut ending {
            if timeout(until.saturating_duration_since(Instant::now()), &mut *watch).await.is_err() {
                kills.iter().for_each(|kill| kill.notify_one());
                // Nothing outlives SIGKILL; the watch ends when the child was reaped.
                let _ = watch.await;
            }
            remove_socket(address);
            cgroup::remove(groups);
            self.records.remove(*pid);
        }
    }

    fn prepare_groups(&mut self) {
        let limits = self.config.limits;
        if limits == Limits::default() {
            return;
        }
        match Groups::prepare(limits) {
            Ok(groups) => {
                self.groups = Some(groups);
                self.untold.push_back(Did::Limited(limits));
            }
            Err(why) => self.untold.push_back(Did::Without { what: LIMITS, why: why.to_string() }),
        }
    }

    fn adopt(&mut self, record: Record, handle: Handle, now: Instant) {
        let pid = record.process.pid;
        match Running::adopt(record, handle, now, now + JOIN_WAIT, self.inputs.clone()) {
            Ok(running) => {
                self.untold.push_back(Did::Adopted { pid, node: running.joined.map(|(node, _)| node) });
                self.seats.push(Seat { running: Some(running), due: None, ..Seat::new(now) });
            }
            Err(why) => self.untold.push_back(Did::Without { what: "a node that is left", why }),
        }
    }

    /// For the next scaler.
    fn remember(&mut self, record: Option<Record>) {
        let written = match &record {
            Some(record) => self.records.write(record),
            None => Err(io::Error::other("the system does not tell when it started")),
        };
        if let Err(why) = written {
            self.untold.push_back(Did::Without { what: "a note for the next start", why: why.to_string() });
        }
    }

    /// Limits and cores of its own for what was just started.
    fn settle_in(&mut self, seat: usize, running: &mut Running) {
        if let Some(groups) = &mut self.groups {
            let limited = groups.make().and_then(|made| {
                running.groups = made;
                cgroup::put(&running.groups, running.pid)
            });
            if let Err(why) = limited {
                self.untold.push_back(Did::Without { what: LIMITS, why: why.to_string() });
            }
        }
        let cores = if self.config.pin { self.cores_of(seat) } else { Vec::new() };
        if !cores.is_empty()
            && let Err(why) = running.pin(&cores)
        {
            self.untold.push_back(Did::Without { what: "cores of its own", why: why.to_string() });
        }
    }

    /// A seat's own cores, in turn; none if there are not enough for all.
    fn cores_of(&self, seat: usize) -> Vec<usize> {
        own_cores(&cores_allowed(), seat, self.seats.len(), self.config.node_cores)
    }

    fn tick_seat(&mut self, at: usize, now: Instant) -> Option<Did> {
        let seat = &mut self.seats[at];
        if seat.next_due().is_none_or(|due| due > now) {
            return None;
        }
        if let Some(running) = &mut seat.running {
            running.bound = Some(now + JOIN_WAIT);
            running.kill.notify_one();
            return Some(Did::Killed { pid: running.pid });
        }
        match self.start(now) {
            Ok(mut running) => {
                self.settle_in(at, &mut running);
                self.remember(running.record(self.config.outlives));
                let did = Did::Started { pid: running.pid, address: running.address.to_string() };
                self.seats[at].running = Some(running);
                self.seats[at].due = None;
                Some(did)
            }
            Err(why) => {
                let again_ms = self.seats[at].wait(now).as_millis();
                Some(Did::NotStarted { why: format!("{}: {why}", self.config.binary.display()), again_ms })
            }
        }
    }

    fn start(&mut self, now: Instant) -> io::Result<Running> {
        let address = self.next_address()?;
        let mut command = Command::new(&self.config.binary);
        command.arg("node").args(["--join", &self.join.to_string(), "--advertise", &address.to_string()]);
        if !self.config.outlives {
            command.arg("--leave-with-stdin");
        }
        command.args(&self.config.extra_args).env(TOKEN_VARIABLE, &self.secret);
        Running::start(command, address, self.config.outlives, now + JOIN_WAIT, self.inputs.clone())
    }

    /// Where the next child listens.
    fn next_address(&mut self) -> io::Result<Address> {
        if let Some(advertise) = &self.config.advertise {
            return Ok(Address::Tcp(advertise.clone()));
        }
        fs::create_dir_all(&self.config.run_dir)?;
        loop {
            self.started += 1;
            // Our process id keeps the children of two starts apart, where the earlier ones are just ending. It may be the
            // same one, as in a container, so that a child that was taken over has such a name.
            let name = format!("node-{}-{}.sock", std::process::id(), self.started);
            let address = Address::Unix(self.config.run_dir.join(name));
            let running = self.seats.iter().filter_map(|seat| seat.running.as_ref());
            if !running.clone().any(|running| running.address == address) {
                return Ok(address);
            }
        }
    }
}

impl Seat {
    /// To be filled at once.
    fn new(now: Instant) -> Seat {
        Seat { running: None, due: Some(now), back_off: BACK_OFF_MIN, is_retired: false }
    }

    fn node(&self) -> Option<NodeId> {
        self.running.as_ref()?.joined.map(|(node, _)| node)
    }

    fn next_due(&self) -> Option<Instant> {
        match &self.running {
            Some(running) => running.bound,
            None => self.due.filter(|_| !self.is_retired),
        }
    }

    /// Puts the next start off; says for how long.
    fn wait(&mut self, now: Instant) -> Duration {
        let wait = self.back_off;
        self.due = Some(now + wait);
        self.back_off = (wait * 2).min(BACK_OFF_MAX);
        wait
    }
}

/// Of `HOST:PORT`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Round and round, as many for each as it is entitled to; none if there are not enough for all.
fn own_cores(allowed: &[usize], seat: usize, seats: usize, cores: f64) -> Vec<usize> {
    let each = (cores.ceil() as usize).max(1);
    if each.saturating_mul(seats) > allowed.len() {
        return Vec::new();
    }
    allowed.iter().skip(seat * each).take(each).copied().collect()
}

/// A killed child leaves its socket's file behind.
fn remove_socket(address: &Address) {
    if let Address::Unix(path) = address {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_given_in_turn_while_there_are_enough() {
        let allowed = [0, 1, 4, 5, 6];
        assert_eq!(own_cores(&allowed, 2, 5, 0.1), [4]);
        assert_eq!(own_cores(&allowed, 1, 2, 1.5), [4, 5]);
        assert!(own_cores(&allowed, 0, 3, 2.0).is_empty());
        assert!(own_cores(&allowed, 0, 6, 1.0).is_empty());
    }
}
