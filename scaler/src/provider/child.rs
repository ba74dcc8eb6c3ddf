//! One process that is a node: started here, or left by an earlier scaler and taken over; watched until it has ended.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use swell_node::link::socket::Address;
use swell_ring::NodeId;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::identity::{Handle, Identity};
use super::records::Record;
use crate::writer::Input;

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    /// None where the system does not tell: then no later scaler will find it.
    pub(crate) process: Option<Identity>,
    pub(crate) address: Address,
    pub(crate) joined: Option<(NodeId, Instant)>,
    /// Until when it has to have joined, or ended: then it is killed.
    pub(crate) bound: Option<Instant>,
    /// Closed, the child ends; none, and it lives on without this process.
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) groups: Vec<PathBuf>,
    pub(crate) kill: Rc<Notify>,
    pub(crate) watch: JoinHandle<()>,
}

impl Running {
    /// Starts a program that is to join by `bound`. With `outlives` it lives on when this process ends; else the end of
    /// its standard input tells it.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn start(
        mut command: Command,
        address: Address,
        outlives: bool,
        bound: Instant,
        inputs: mpsc::Sender<Input>,
    ) -> io::Result<Running> {
        // A group of its own: an interrupt from the terminal is for this process, which sees to its children itself.
        command.process_group(0).kill_on_drop(!outlives);
        command.stdin(if outlives { Stdio::null() } else { Stdio::piped() });
        command.stdout(io::stderr().as_fd().try_clone_to_owned()?).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let (stdin, kill) = (child.stdin.take(), Rc::new(Notify::new()));
        let watch = spawn_local(watch(child, pid, kill.clone(), inputs));
        let (process, groups) = (Identity::of(pid), Vec::new());
        Ok(Running { pid, process, address, joined: None, bound: Some(bound), stdin, groups, kill, watch })
    }

    /// Takes over what an earlier scaler has started. If it is no node yet it has to be by `bound`.
    pub(crate) fn adopt(
        record: Record,
        handle: Handle,
        now: Instant,
        bound: Instant,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Running, String> {
        let Record { process, address, node, groups, .. } = record;
        let address = address.parse().map_err(|_| format!("'{address}' is no address"))?;
        let (pid, kill) = (process.pid, Rc::new(Notify::new()));
        let watch = spawn_local(watch_adopted(handle, pid, kill.clone(), inputs));
        let joined = node.map(|node| (node, now));
        let bound = node.is_none().then_some(bound);
        Ok(Running { pid, process: Some(process), address, joined, bound, stdin: None, groups, kill, watch })
    }

    /// As it is remembered for the next scaler.
    pub(crate) fn record(&self, outlives: bool) -> Option<Record> {
        Some(Record {
            process: self.process.clone()?,
            address: self.address.to_string(),
            node: self.joined.map(|(node, _)| node),
            outlives,
            groups: self.groups.clone(),
        })
    }

    /// Lets it run on these cores only. Called before it has started threads, which are then held to the same.
    pub(crate) fn pin(&self, cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cores.iter().filter(|core| **core < CpuSet::MAX_CPU).for_each(|core| set.set(*core));
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        Ok(sched_setaffinity(Some(pid.ok_or(io::ErrorKind::NotFound)?), &set)?)
    }
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

/// Waits for the end of a process that is not ours to reap. How it ended is not told.
async fn watch_adopted(process: Handle, pid: u32, kill: Rc<Notify>, inputs: mpsc::Sender<Input>) {
    loop {
        tokio::select! {
            () = process.ended() => break,
            () = kill.notified() => if let Err(why) = process.kill() {
                tracing::debug!(%why, pid, "it has ended already");
            },
        }
    }
    // As above.
    let _ = inputs.send(Input::ChildEnded { pid, how: "has ended".to_owned() }).await;
}

fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
