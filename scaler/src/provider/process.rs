//! Nodes as child processes of this one: started, watched, reaped, started again.
//!
//! A child's standard input is a pipe whose other end only this process holds. When this process ends, however it ends,
//! the child reads the end of the file and ends too.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use swell_node::link::socket::Address;
use swell_ring::NodeId;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use super::machine::{Machine, memory_used_bytes};
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
}

/// The children.
#[derive(Debug)]
pub(crate) struct Process {
    config: ProcessConfig,
    join: Address,
    secret: String,
    inputs: mpsc::Sender<Input>,
    machine: Machine,
    seats: Vec<Seat>,
    /// Children started so far: names their sockets.
    started: u64,
}

/// What the provider has done, for the events.
#[derive(Clone, Debug, PartialEq, Eq)]
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

#[derive(Debug)]
struct Running {
    pid: u32,
    address: Address,
    joined: Option<(NodeId, Instant)>,
    /// Until when it has to have joined, or ended: then it is killed.
    bound: Option<Instant>,
    /// Closed, the child ends.
    stdin: Option<ChildStdin>,
    kill: Rc<Notify>,
    watch: JoinHandle<()>,
}

impl Process {
    /// No child runs yet; [`Process::tick`] starts them. `join` is where they find the scaler.
    pub(crate) fn new(config: ProcessConfig, join: Address, secret: String, inputs: mpsc::Sender<Input>) -> Process {
        let count = config.count;
        let (machine, seats) = (Machine::here(), Vec::new());
        let mut process = Process { config, join, secret, inputs, machine, seats, started: 0 };
        process.add(count);
        process
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
        self.seats.iter().filter_map(Seat::next_due).min()
    }

    /// Starts whom it is time to start, kills who has not joined in time.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Did> {
        (0..self.seats.len()).filter_map(|seat| self.tick_seat(seat, now)).collect()
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
        let running = self.seats.iter_mut().filter_map(|seat| seat.running.as_mut());
        running.filter(|running| running.pid == pid).for_each(|running| {
            running.joined.get_or_insert((node, now));
            running.bound = None;
        });
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

    /// A child was reaped. None: it was none of ours.
    pub(crate) fn ended(&mut self, pid: u32, how: String, now: Instant) -> Option<Ended> {
        let is_it = |seat: &&mut Seat| seat.running.as_ref().is_some_and(|running| running.pid == pid);
        let seat = self.seats.iter_mut().find(is_it)?;
        let node = seat.node();
        let running = seat.running.take()?;
        remove_socket(&running.address);
        if running.joined.is_some_and(|(_, since)| now.duration_since(since) >= STEADY) {
            seat.back_off = BACK_OFF_MIN;
        }
        let again_ms = (!seat.is_retired).then(|| seat.wait(now).as_millis());
        Some(Ended { pid, how, node, again_ms })
    }

    /// Ends all children: asks, then kills.
    pub(crate) async fn stop(&mut self) {
        let running: Vec<Running> = self.seats.iter_mut().filter_map(|seat| seat.running.take()).collect();
        let (mut watches, mut kills) = (Vec::new(), Vec::new());
        for running in running {
            drop(running.stdin);
            watches.push((running.watch, running.address));
            kills.push((running.pid, running.kill));
        }
        let until = Instant::now() + STOP_WAIT;
        for (watch, address) in &mut watches {
            if timeout(until.saturating_duration_since(Instant::now()), &mut *watch).await.is_err() {
                kills.iter().for_each(|(_, kill)| kill.notify_one());
                // Nothing outlives SIGKILL; the watch ends when the child was reaped.
                let _ = watch.await;
            }
            remove_socket(address);
        }
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
        self.started += 1;
        match self.start(now) {
            Ok(running) => {
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

    fn start(&self, now: Instant) -> io::Result<Running> {
        let address = self.next_address()?;
        let mut command = Command::new(&self.config.binary);
        command.arg("node").args(["--join", &self.join.to_string(), "--advertise", &address.to_string()]);
        command.arg("--leave-with-stdin").args(&self.config.extra_args).env(TOKEN_VARIABLE, &self.secret);
        // A group of its own: an interrupt from the terminal is for this process, which ends its children itself.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(io::stderr().as_fd().try_clone_to_owned()?).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let (stdin, kill) = (child.stdin.take(), Rc::new(Notify::new()));
        let watch = spawn_local(watch(child, pid, kill.clone(), self.inputs.clone()));
        Ok(Running { pid, address, joined: None, bound: Some(now + JOIN_WAIT), stdin, kill, watch })
    }

    /// Where the next child listens.
    fn next_address(&self) -> io::Result<Address> {
        if let Some(advertise) = &self.config.advertise {
            return Ok(Address::Tcp(advertise.clone()));
        }
        fs::create_dir_all(&self.config.run_dir)?;
        // Our process id keeps the children of two starts apart, where the earlier ones are just ending.
        let name = format!("node-{}-{}.sock", std::process::id(), self.started);
        Ok(Address::Unix(self.config.run_dir.join(name)))
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

/// Whether the process with this id is certainly gone. When in doubt, it is not.
pub(crate) fn has_ended(pid: u32) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    Path::new("/proc/self").exists() && (!proc.exists() || is_zombie(&proc))
}

/// Whether it has ended and nobody has reaped it: its last thread has.
fn is_zombie(proc: &Path) -> bool {
    let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    // The name in front of the state is in brackets, and may contain any character.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
    let threads = fs::read_dir(proc.join("task")).map(Iterator::count).unwrap_or(0);
    state == Some(true) && threads <= 1
}

/// Waits for the child's end and reaps it.
async fn watch(mut child: Child, pid: u32, kill: Rc<Notify>, inputs: mpsc::Sender<Input>) {
    let ended = loop {
        tokio::select! {
            ended = child.wait() => break ended,
            () = kill.notified() => if let Err(why) = child.start_kill() {
                tracing::debug!(%why, pid, "it has ended already");
            },
        }
    };
    let how = ended.map_or_else(|why| why.to_string(), how_it_ended);
    // A closed inbox means that the scaler ends; it waits for this task itself.
    let _ = inputs.send(Input::ChildEnded { pid, how }).await;
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// A killed child leaves its socket's file behind.
fn remove_socket(address: &Address) {
    if let Address::Unix(path) = address {
        let _ = fs::remove_file(path);
    }
}
