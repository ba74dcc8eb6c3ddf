//! What `/proc` says about a process and this machine: memory, wake-ups, waiting for a core, CPU model.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::sys;

/// The machine that the figures belong to.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
    /// Load average of the last minute when the bench began.
    pub load_before: f64,
}

impl Machine {
    /// Reads what there is; what the kernel does not tell is left empty or 0.
    pub fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = text("/proc/cpuinfo");
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Machine {
            cpu: cpu.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: kilobytes(&text("/proc/meminfo"), "MemTotal:").unwrap_or(0),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// A process, first, and everything that descends from it: its children, theirs, and so on. What has lost its parent in
/// between is missing.
pub fn tree(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        parents.extend(parent(&stat).map(|parent| (pid, parent)));
    }
    Ok(descendants(pid, &parents))
}

/// Resident memory of a process in bytes. The page tables are counted (`smaps_rollup`); where that file is missing,
/// `statm`, which may lag by some pages per core.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    if let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        && let Some(bytes) = kilobytes(&rollup, "Rss:")
    {
        return Ok(bytes);
    }
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).context("cannot read a server's memory")?;
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).context("statm has no such field")?;
    Ok(pages * sys::page_bytes())
}

/// How often the threads of a process have gone to sleep by themselves so far.
pub fn voluntary_switches(pid: u32) -> Result<u64> {
    sum_over_threads(pid, "status", |status| field(status, "voluntary_ctxt_switches:")?.parse().ok())
}

/// How long the threads of a process have been ready to run without a core so far. Zero where the kernel keeps no
/// such account.
pub fn core_wait(pid: u32) -> Result<Duration> {
    let nanoseconds = sum_over_threads(pid, "schedstat", |stat| stat.split(' ').nth(1)?.parse().ok());
    Ok(Duration::from_nanos(nanoseconds.unwrap_or(0)))
}

/// CPU time of the whole machine since it started, in the kernel's ticks: used for anything, or taken by the machine
/// that this one runs on; and all there was.
pub fn machine_ticks() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").context("cannot read the machine's CPU time")?;
    ticks(&text).context("/proc/stat has no line of all cores")
}

/// The first port number that the kernel gives to outgoing connections.
pub fn ephemeral_ports_start() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|start| start.parse().ok()).unwrap_or(32_768)
}

fn sum_over_threads(pid: u32, file: &str, number: impl Fn(&str) -> Option<u64>) -> Result<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("cannot list a server's threads")?;
    let mut sum = 0;
    for thread in threads {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(thread?.path().join(file)) else { continue };
        sum += number(&text).ok_or_else(|| anyhow!("/proc/{pid}/task/*/{file} has no such field"))?;
    }
    Ok(sum)
}

/// Used and all of the first line's user, nice, system, idle, waiting for disks, interrupts (two), stolen. What guests
/// use is in the first two already.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|ticks| ticks.parse().ok()).collect();
    let [_, _, _, idle, ..] = ticks[..] else { return None };
    let all: u64 = ticks.iter().sum();
    Some((all - idle - ticks.get(4).copied().unwrap_or(0), all))
}

/// The parent's number in `/proc/PID/stat`; the name before it may hold anything, parentheses too.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// `root` and all below it, by pairs of process and parent.
fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let children = parents.iter().filter(|(pid, parent)| *parent == found[at] && !found.contains(pid));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        at += 1;
    }
    found
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Rss_x:\t 1 kB\nRss:   2048 kB\nnonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(kilobytes(status, "Rss:"), Some(2 << 20));
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some("7"));
        assert_eq!(kilobytes(status, "Pss:"), None);
    }

    #[test]
    fn a_tree_is_a_process_with_all_below_it() {
        let parents = [(7, 5), (5, 3), (4, 3), (9, 1), (8, 7), (3, 1)];
        assert_eq!(descendants(3, &parents), [3, 5, 4, 7, 8]);
        assert_eq!(descendants(9, &parents), [9]);
        assert_eq!(descendants(6, &[(6, 6)]), [6], "a circle ends");
        assert_eq!(parent("12 (a) b (c)) S 34 12 12 0"), Some(34));
        assert_eq!(parent("12 (sh"), None);
    }

    #[test]
    fn a_grandchild_belongs_to_the_tree() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sh -c 'echo; read line' & echo; wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
        // Both shells have said something: both are there.
        assert!(lines.next().is_some() && lines.next().is_some());
        let own = tree(std::process::id()).expect("/proc is there");
        assert!(own.contains(&child.id()) && tree(child.id()).expect("the same").len() <= 2, "{own:?}");
        // The background shell reads nothing from /dev/null or the pipe that ends here.
        drop(child.stdin.take());
        assert!(child.wait().expect("it is ours").success());
    }

    #[test]
    fn a_machine_is_busy_with_all_but_idling_and_waiting() {
        assert_eq!(ticks("cpu  10 1 20 400 50 2 3 4 9 0\ncpu0 5 0 9 200 30 1 1 2 0 0\n"), Some((40, 490)));
        assert_eq!(ticks("cpu 1 2 3 4\n"), Some((6, 10)));
        assert_eq!(ticks("cpu 1 2 3\n"), None);
        assert_eq!(ticks("intr 1\n"), None);
        let (used, all) = machine_ticks().expect("/proc is there");
        assert!(used <= all && all > 0);
    }

    #[test]
    fn touched_memory_shows_as_resident() {
        let pid = std::process::id();
        let before = resident_bytes(pid).expect("own memory");
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = resident_bytes(pid).expect("own memory");
        assert!(after >= before + (32 << 20), "{before} -> {after} with {} bytes touched", block.len());
    }

    #[test]
    fn the_machine_is_described() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && !machine.kernel.is_empty(), "{machine:?}");
    }
}
