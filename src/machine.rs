//! What this machine has: memory, the cgroup's limit on it, cores, open files.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// Memory that is assumed where the system does not say how much there is, in bytes.
pub const ASSUMED_MEMORY_BYTES: u64 = 1 << 30;

/// What a process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub ram_bytes: u64,
    /// The smallest limit of the cgroups that this process is in, if there is one below its RAM.
    pub cgroup_bytes: Option<u64>,
    pub cores: usize,
}

impl Machine {
    /// Asks the running system. What it does not say is assumed: [`ASSUMED_MEMORY_BYTES`], one core.
    pub fn here() -> Self {
        Machine::read(Path::new("/"), std::thread::available_parallelism().map_or(1, NonZero::get))
    }

    /// Reads the system's files under `root`; `cores` cannot be read from there.
    pub fn read(root: &Path, cores: usize) -> Self {
        let ram_bytes = ram_bytes(root).unwrap_or(ASSUMED_MEMORY_BYTES);
        let cgroup_bytes = cgroup_bytes(root).filter(|limit| *limit < ram_bytes);
        Machine { ram_bytes, cgroup_bytes, cores }
    }

    /// Half of what there is, in whole MiB, so that a person can read it.
    pub fn default_maxmemory(&self) -> u64 {
        let half = self.cgroup_bytes.unwrap_or(self.ram_bytes) / 2;
        (half >> 20).max(1) << 20
    }
}

fn ram_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit of all cgroups from this process's own up to the root, version 1 or 2. A container may see its
/// host's path and only its own files, so directories that are missing are passed over.
fn cgroup_bytes(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = root.join("sys/fs/cgroup");
    let files = text.lines().flat_map(|line| limit_files(line, &mounts));
    files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

/// The files that may limit memory for one line of `/proc/self/cgroup`: `hierarchy:controllers:path`.
fn limit_files(line: &str, mounts: &Path) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (bases, name) = match controllers {
        "" => (vec![mounts.to_owned(), mounts.join("unified")], "memory.max"),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            (vec![mounts.join("memory")], "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let path = Path::new(path.trim_start_matches('/'));
    let groups: Vec<_> = path.ancestors().collect();
    bases.iter().flat_map(|base| groups.iter().map(move |group| base.join(group).join(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    const GIB: u64 = 1 << 30;

    #[test]
    fn without_a_cgroup_half_of_ram_is_the_default() {
        let root = Scratch::new();
        root.write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");
        let machine = Machine::read(root.path(), 4);
        assert_eq!(machine, Machine { ram_bytes: 8 * GIB, cgroup_bytes: None, cores: 4 });
        assert_eq!(machine.default_maxmemory(), 4 * GIB);
    }

    #[test]
    fn the_smallest_cgroup_2_limit_on_the_way_to_the_root_counts() {
        let root = Scratch::new();
        root.write("proc/meminfo", "MemTotal:        8388608 kB\n");
        root.write("proc/self/cgroup", "0::/team/pod\n");
        root.write("sys/fs/cgroup/team/pod/memory.max", "max\n");
        root.write("sys/fs/cgroup/team/memory.max", "1073741824\n");
        let machine = Machine::read(root.path(), 1);
        assert_eq!(machine.cgroup_bytes, Some(GIB));
        assert_eq!(machine.default_maxmemory(), GIB / 2);
    }

    #[test]
    fn a_cgroup_1_limit_counts_even_where_the_hosts_path_is_not_visible() {
        let root = Scratch::new();
        root.write("proc/meminfo", "MemTotal:        8388608 kB\n");
        root.write("proc/self/cgroup", "5:cpuacct,cpu:/x\n4:memory,hugetlb:/docker/abc\n0::/\n");
        root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
        assert_eq!(Machine::read(root.path(), 1).cgroup_bytes, Some(2 * GIB));
    }

    #[test]
    fn no_limit_is_told_apart_from_a_huge_one() {
        let root = Scratch::new();
        root.write("proc/meminfo", "MemTotal:        8388608 kB\n");
        root.write("proc/self/cgroup", "4:memory:/\n");
        root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(Machine::read(root.path(), 1).cgroup_bytes, None);
    }

    #[test]
    fn a_system_that_says_nothing_is_assumed_small() {
        let root = Scratch::new();
        assert_eq!(Machine::read(root.path(), 1).ram_bytes, ASSUMED_MEMORY_BYTES);
    }

    #[test]
    fn this_machine_has_memory_and_a_core() {
        let machine = Machine::here();
        assert!(machine.ram_bytes > 64 << 20 && machine.cores >= 1, "{machine:?}");
    }
}
