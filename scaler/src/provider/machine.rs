//! What this machine has for nodes: cores and memory that this process may use.

use std::fs;
use std::num::NonZero;
use std::path::Path;

use rustix::thread::{CpuSet, sched_getaffinity};

use super::cgroup::{Controller, Own};

/// The machine as this process may use it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cpu: Option<Own>,
    memory: Option<Own>,
}

impl Machine {
    /// The one that this process runs on.
    pub(crate) fn here() -> Machine {
        Machine { cpu: Own::here(Controller::Cpu), memory: Own::here(Controller::Memory) }
    }

    /// Cores that this process and its children may use, by affinity and by the control groups' limits.
    pub(crate) fn cores(&self) -> f64 {
        let allowed = cores_allowed().len() as f64;
        self.cpu.as_ref().and_then(Own::cores_max).map_or(allowed, |limit| limit.min(allowed))
    }

    /// Bytes that can still be allocated, by the system and by the control groups' limits. What neither says is no limit.
    pub(crate) fn memory_free_bytes(&self) -> u64 {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let system = field_bytes(&meminfo, "MemAvailable").unwrap_or(u64::MAX);
        self.memory.as_ref().and_then(Own::memory_free_bytes).map_or(system, |limit| limit.min(system))
    }
}

/// The numbers of the cores that this process may run on; never none.
pub(crate) fn cores_allowed() -> Vec<usize> {
    let cores = match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
        // More cores than the set has room for.
        Err(_) => (0..std::thread::available_parallelism().map_or(1, NonZero::get)).collect::<Vec<_>>(),
    };
    if cores.is_empty() { vec![0] } else { cores }
}

/// Bytes of memory that a process has in use; 0 if it is not there.
pub(crate) fn memory_used_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    field_bytes(&status, "VmRSS").unwrap_or(0)
}

/// `NAME:   12 kB`, in bytes.
fn field_bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_their_whole_name() {
        let text =
            "MemTotal:       24 kB\nMemAvailable:    8 kB\nHugePages_Total:       3\nVmRSS:\t99999999999999999 kB\n";
        assert_eq!(field_bytes(text, "MemAvailable"), Some(8192));
        assert_eq!(field_bytes(text, "Mem"), None);
        assert_eq!(field_bytes(text, "HugePages_Total"), None, "no bytes");
        assert_eq!(field_bytes(text, "VmRSS"), None, "too many");
    }

    #[test]
    fn this_machine_has_a_core_and_memory() {
        let machine = Machine::here();
        assert!(machine.cores() > 0.0 && machine.cores() <= cores_allowed().len() as f64, "{machine:?}");
        assert!(machine.memory_free_bytes() > 0);
        assert!(memory_used_bytes(std::process::id()) > 100_000);
        assert_eq!(memory_used_bytes(u32::MAX), 0);
    }
}
