//! Control groups for nodes: made below this process's own, one for each node, removed when the node was reaped.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Controller, Own, Version};
use crate::provider::identity::has_ended;

/// What names of groups begin with; the scaler's process id and a number follow.
const PREFIX: &str = "swell-";
/// A node that may use a tenth of a core gets 1 ms in every 10: a hand-over is not frozen for longer.
const PERIOD_US: f64 = 10_000.0;
/// The kernel takes no smaller quota; smaller shares get a longer period.
const QUOTA_US_MIN: f64 = 1000.0;
/// Nor a longer period.
const PERIOD_US_MAX: f64 = 1_000_000.0;

/// What a node's process is held to; none: not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Cores, such as 0.1.
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// Where groups for nodes are made.
#[derive(Debug)]
pub(crate) struct Groups {
    limits: Limits,
    /// The groups that they are made in, with what they are to limit.
    parents: Vec<Parent>,
    made: u64,
}

#[derive(Debug)]
struct Parent {
    version: Version,
    dir: PathBuf,
    controllers: Vec<Controller>,
}

/// Why nodes cannot be limited. Each says all there is to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("no control group with the {} controller is to be seen", .0.name())]
    None(Controller),
    #[error("the control group {} cannot be used: {why}", dir.display())]
    Io { dir: PathBuf, why: io::Error },
    #[error("other processes are in the control group {}, too, so it gets no groups of its own", .0.display())]
    Shared(PathBuf),
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cores) = self.cores {
            let (quota_us, period_us) = quota(cores);
            write!(f, "{cores} cores ({quota_us} us in every {period_us})")?;
        }
        if let Some(bytes) = self.memory_bytes {
            write!(f, "{}{bytes} bytes of memory", if self.cores.is_some() { " and " } else { "" })?;
        }
        Ok(())
    }
}

impl Limits {
    fn controllers(&self) -> impl Iterator<Item = Controller> {
        let (cores, memory) = (self.cores.map(|_| Controller::Cpu), self.memory_bytes.map(|_| Controller::Memory));
        cores.into_iter().chain(memory)
    }
}

impl Groups {
    /// Finds out whether nodes can be limited, and removes what is left of scalers that have ended. For the second version
    /// this process moves into a group of its own, if it is alone where it is: a group has either processes or groups.
    pub(crate) fn prepare(limits: Limits) -> Result<Groups, GroupError> {
        let mut groups = Groups { limits, parents: Vec::new(), made: 0 };
        for controller in limits.controllers() {
            let own = Own::here(controller).ok_or(GroupError::None(controller))?;
            match groups.parents.iter_mut().find(|parent| own.dir == parent.dir) {
                Some(parent) => parent.controllers.push(controller),
                None => {
                    let Own { version, dir, .. } = own;
                    groups.parents.push(Parent { version, dir, controllers: vec![controller] });
                }
            }
        }
        for parent in &groups.parents {
            sweep(&parent.dir);
            if parent.version == Version::Two {
                parent.enable()?;
            }
        }
        // Better known before the first node is there.
        let tried = groups.make()?;
        remove(&tried);
        Ok(groups)
    }

    /// Makes a group for one node, in each hierarchy concerned.
    pub(crate) fn make(&mut self) -> Result<Vec<PathBuf>, GroupError> {
        self.made += 1;
        let name = format!("{PREFIX}{}-{}", std::process::id(), self.made);
        let mut made = Vec::new();
        for parent in &self.parents {
            let dir = parent.dir.join(&name);
            let limited = fs::create_dir(&dir).map_err(|why| failed(&dir, why)).and_then(|()| {
                made.push(dir.clone());
                parent.limit(&dir, &self.limits)
            });
            if let Err(why) = limited {
                remove(&made);
                return Err(why);
            }
        }
        Ok(made)
    }
}

impl Parent {
    fn limit(&self, dir: &Path, limits: &Limits) -> Result<(), GroupError> {
        let write = |name: &str, text: String| fs::write(dir.join(name), text).map_err(|why| failed(dir, why));
        for controller in &self.controllers {
            match (controller, self.version) {
                (Controller::Cpu, version) => {
                    let (quota_us, period_us) = quota(limits.cores.unwrap_or(1.0));
                    match version {
                        Version::One => {
                            write("cpu.cfs_period_us", period_us.to_string())?;
                            write("cpu.cfs_quota_us", quota_us.to_string())?;
                        }
                        Version::Two => write("cpu.max", format!("{quota_us} {period_us}"))?,
                    }
                }
                (Controller::Memory, version) => {
                    let name = if version == Version::One { "memory.limit_in_bytes" } else { "memory.max" };
                    write(name, limits.memory_bytes.unwrap_or(u64::MAX).to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Lets the groups below have the controllers.
    fn enable(&self) -> Result<(), GroupError> {
        let file = self.dir.join("cgroup.subtree_control");
        let wanted: Vec<String> = self.controllers.iter().map(|controller| format!("+{}", controller.name())).collect();
        let wanted = wanted.join(" ");
        match fs::write(&file, &wanted) {
            Ok(()) => return Ok(()),
            Err(why) if why.kind() != io::ErrorKind::ResourceBusy => return Err(failed(&self.dir, why)),
            // There are processes in it: this one at least.
            Err(_) => {}
        }
        let own = self.dir.join(format!("{PREFIX}{}-0", std::process::id()));
        let moved = fs::create_dir(&own).and_then(|()| enter(&own, std::process::id()));
        moved.map_err(|why| failed(&own, why))?;
        fs::write(&file, &wanted).map_err(|why| {
            // Back to where it was: others are there, and they are none of ours to move.
            let back = enter(&self.dir, std::process::id());
            remove(&[own]);
            match (why.kind(), back) {
                (io::ErrorKind::ResourceBusy, Ok(())) => GroupError::Shared(self.dir.clone()),
                (_, Ok(())) => failed(&self.dir, why),
                (_, Err(why)) => failed(&self.dir, why),
            }
        })
    }
}

/// Puts a process, with all its threads, into these groups.
pub(crate) fn put(groups: &[PathBuf], pid: u32) -> Result<(), GroupError> {
    groups.iter().try_for_each(|group| enter(group, pid).map_err(|why| failed(group, why)))
}

/// Removes groups whose processes have ended.
pub(crate) fn remove(groups: &[PathBuf]) {
    for group in groups {
        if let Err(why) = fs::remove_dir(group) {
            // The next scaler tries again.
            tracing::debug!(%why, group = %group.display(), "a control group stays");
        }
    }
}

/// Whether the kernel has killed somebody in these groups for want of memory.
pub(crate) fn was_out_of_memory(groups: &[PathBuf]) -> bool {
    let files = groups.iter().flat_map(|group| ["memory.events", "memory.oom_control"].map(|name| group.join(name)));
    let mut texts = files.filter_map(|file| fs::read_to_string(file).ok());
    let is_kill = |line: &str| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0");
    texts.any(|text| text.lines().any(is_kill))
}

/// Removes the groups of scalers that have ended, as far as nobody is in them.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_left = entry.file_name().to_str().and_then(maker).is_some_and(|pid| {
            // Of this number may have been an earlier one, as in a container.
            pid == std::process::id() || has_ended(pid)
        });
        if is_left {
            // Somebody is in it: a node that lives on.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The process id in a group's name.
fn maker(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix(PREFIX)?.split_once('-')?;
    number.parse::<u64>().ok()?;
    pid.parse().ok()
}

/// Quota and period in microseconds.
fn quota(cores: f64) -> (u64, u64) {
    let period = (QUOTA_US_MIN / cores).clamp(PERIOD_US, PERIOD_US_MAX);
    ((cores * period).round().max(QUOTA_US_MIN) as u64, period.round() as u64)
}

fn enter(group: &Path, pid: u32) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

fn failed(dir: &Path, why: io::Error) -> GroupError {
    GroupError::Io { dir: dir.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tenth_of_a_core_is_a_millisecond_in_ten() {
        assert_eq!(quota(0.1), (1000, 10_000));
        assert_eq!(quota(2.5), (25_000, 10_000));
        assert_eq!(quota(0.01), (1000, 100_000), "the kernel takes no smaller quota");
        assert_eq!(quota(0.0), (1000, 1_000_000));
    }

    #[test]
    fn names_tell_who_made_a_group() {
        assert_eq!(maker("swell-17-3"), Some(17));
        for other in ["swell-17", "swell-x-1", "swell-1-x", "swell--1-1", "other-1-1", "swell-99999999999-1"] {
            assert_eq!(maker(other), None, "{other}");
        }
    }

    #[test]
    fn limits_are_written_as_each_version_wants_them() {
        let dir = std::env::temp_dir().join(format!("swell-group-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("it can be made");
        let limits = Limits { cores: Some(0.1), memory_bytes: Some(1 << 20) };
        let written = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        for version in [Version::One, Version::Two] {
            let parent = Parent { version, dir: dir.clone(), controllers: limits.controllers().collect() };
            parent.limit(&dir, &limits).expect("it can be written");
        }
        assert_eq!((written("cpu.cfs_quota_us"), written("cpu.cfs_period_us")), ("1000".into(), "10000".into()));
        assert_eq!((written("cpu.max"), written("memory.max")), ("1000 10000".into(), "1048576".into()));
        assert_eq!(written("memory.limit_in_bytes"), "1048576");
        assert_eq!(limits.to_string(), "0.1 cores (1000 us in every 10000) and 1048576 bytes of memory");
        fs::remove_dir_all(dir).expect("it is ours");
    }

    #[test]
    fn what_the_kernel_counts_as_killed_is_read() {
        let dir = std::env::temp_dir().join(format!("swell-oom-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("it can be made");
        let groups = [dir.clone()];
        assert!(!was_out_of_memory(&groups));
        fs::write(dir.join("memory.events"), "low 0\noom 2\noom_kill 0\noom_group_kill 0\n")
            .expect("it can be written");
        assert!(!was_out_of_memory(&groups));
        fs::write(dir.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n").expect("as well");
        assert!(was_out_of_memory(&groups));
        fs::remove_dir_all(dir).expect("it is ours");
    }

    /// With the real thing, where it can be written.
    #[test]
    fn a_process_is_held_to_a_tenth_of_a_core() {
        let mut groups = match Groups::prepare(Limits { cores: Some(0.1), memory_bytes: None }) {
            Ok(groups) => groups,
            Err(why) => return eprintln!("not tested: {why}"),
        };
        let made = groups.make().expect("it could be made before");
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("it runs");
        put(&made, child.id()).expect("it is ours");
        let listed = fs::read_to_string(made[0].join("cgroup.procs")).expect("it can be read");
        let throttled = || {
            let stat = fs::read_to_string(made[0].join("cpu.stat")).unwrap_or_default();
            stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok()).unwrap_or(0)
        };
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while throttled() < 5 && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        let throttled = throttled();
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
        remove(&made);
        assert!(listed.lines().any(|line| line == child.id().to_string()), "{listed}");
        assert!(throttled >= 5, "it had to wait {throttled} times");
        assert!(!made[0].exists(), "nobody is in it any more");
    }
}
