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
