//! Which process is meant: process ids are used again, so the time of its start and of the machine's belong to it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// How often a process is looked at that is no child.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The fields of /proc/PID/stat between the state and the time of the start.
const START_AFTER_STATE: usize = 19;

/// One process among all that ever had its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    /// Clock ticks from the machine's start to its own.
    start_ticks: u64,
    /// Differs from start to start of the machine.
    machine_boot: String,
}

/// A process that is no child, held so that its number cannot come to mean another.
#[derive(Debug)]
pub(crate) struct Handle {
    identity: Identity,
    /// None where the system has no such thing.
    pidfd: Option<OwnedFd>,
}

impl Identity {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Identity> {
        let start_ticks = start_ticks(&fs::read_to_string(folder(pid).join("stat")).ok()?)?;
        Some(Identity { pid, start_ticks, machine_boot: machine_boot() })
    }

    /// Whether it still runs. A process that has ended and was not reaped does not.
    pub(crate) fn lives(&self) -> bool {
        Identity::of(self.pid).as_ref() == Some(self) && !is_zombie(&folder(self.pid))
    }
}

impl Handle {
    /// None: it does not run any more.
    pub(crate) fn open(identity: &Identity) -> Option<Handle> {
        let pidfd = pid(identity).and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
        // Looked at afterwards: so it is this process that the descriptor holds.
        identity.lives().then(|| Handle { identity: identity.clone(), pidfd })
    }

    /// Kills it.
    ///
    /// # Errors
    /// It has ended, or is not ours to kill.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match (&self.pidfd, pid(&self.identity)) {
            (Some(pidfd), _) => Ok(pidfd_send_signal(pidfd, Signal::KILL)?),
            (None, Some(pid)) if self.identity.lives() => Ok(kill_process(pid, Signal::KILL)?),
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns when it has ended: it is looked at now and then, as it is not ours to reap.
    pub(crate) async fn ended(&self) {
        while self.identity.lives() {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Whether the process with this id is certainly gone. When in doubt, it is not.
pub(crate) fn has_ended(pid: u32) -> bool {
    let proc = folder(pid);
    Path::new("/proc/self").exists() && (!proc.exists() || is_zombie(&proc))
}

/// Whether it has ended and nobody has reaped it: its last thread has.
fn is_zombie(proc: &Path) -> bool {
    let stat = fs::read_to_string(proc.join("stat")).unwrap_or_default();
    let threads = fs::read_dir(proc.join("task")).map(Iterator::count).unwrap_or(0);
    from_state(&stat).is_some_and(|state| state.starts_with('Z')) && threads <= 1
}

fn start_ticks(stat: &str) -> Option<u64> {
    from_state(stat)?.split_whitespace().nth(START_AFTER_STATE)?.parse().ok()
}

/// What follows the name in /proc/PID/stat, which is in brackets and may contain any character.
fn from_state(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, rest)| rest)
}

/// Empty where the system does not say: then processes of one number and time are the same.
fn machine_boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn folder(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn pid(identity: &Identity) -> Option<Pid> {
    // Numbers below 1 would mean whole groups of processes.
    i32::try_from(identity.pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(&format!("9 (a) b) Z (c) {rest}")), Some(4711));
        for wrong in ["", "9 (a", "9 (a) S", "9 (a) S 1 2", ") "] {
            assert_eq!(start_ticks(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn another_process_of_the_same_number_is_another() {
        let own = Identity::of(std::process::id()).expect("it runs");
        assert!(own.lives());
        assert!(!Identity { start_ticks: own.start_ticks + 1, ..own.clone() }.lives());
        assert!(!Identity { machine_boot: "another".to_owned(), ..own.clone() }.lives());
        assert!(Handle::open(&Identity { pid: u32::MAX, ..own.clone() }).is_none());
        assert!(Handle::open(&Identity { pid: 0, ..own }).is_none());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_end_of_a_process_is_heard() {
        let mut child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().expect("it runs");
        let identity = Identity::of(child.id()).expect("it runs");
        let handle = Handle::open(&identity).expect("it runs");
        handle.kill().expect("it is ours");
        handle.ended().await;
        assert!(!identity.lives(), "it has ended, reaped or not");
        assert!(has_ended(child.id()));
        child.wait().expect("it is ours");
        assert!(Handle::open(&identity).is_none());
    }
}
