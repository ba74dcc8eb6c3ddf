//! Control groups, version 1 and 2: where this process is, what it may use there, and groups of their own for nodes.

mod find;
mod group;

use std::fs;
use std::path::Path;

pub(crate) use find::{Controller, Own, Version};
pub use group::Limits;
pub(crate) use group::{Groups, put, remove, was_out_of_memory};

impl Own {
    /// Cores that the group and those above it may use; None: no limit.
    pub(crate) fn cores_max(&self) -> Option<f64> {
        self.upward().filter_map(|dir| cores_max(dir, self.version)).reduce(f64::min)
    }

    /// Bytes that may still be allocated before a limit of the group, or of one above it, is met. What the kernel keeps
    /// of files that nobody has used lately counts as free. None: no limit.
    pub(crate) fn memory_free_bytes(&self) -> Option<u64> {
        self.upward().filter_map(|dir| memory_free_bytes(dir, self.version)).min()
    }
}

fn cores_max(dir: &Path, version: Version) -> Option<f64> {
    let (quota, period) = match version {
        Version::One => (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?),
        Version::Two => {
            let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
            let mut words = text.split_whitespace();
            (words.next()?.parse().ok()?, words.next()?.parse().ok()?)
        }
    };
    (period > 0).then(|| quota as f64 / period as f64)
}

fn memory_free_bytes(dir: &Path, version: Version) -> Option<u64> {
    let (limit, usage, idle) = match version {
        Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
        Version::Two => ("memory.max", "memory.current", "inactive_file "),
    };
    let (limit, usage) = (number(&dir.join(limit))?, number(&dir.join(usage))?);
    let stat = fs::read_to_string(dir.join("memory.stat")).unwrap_or_default();
    let idle = stat.lines().find_map(|line| line.strip_prefix(idle)?.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(idle)))
}

/// The file's one number, unless it says that there is no limit (-1, "max").
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(version: Version, files: &[(&str, &str)]) -> (Own, impl Drop) {
        struct Gone(std::path::PathBuf);
        impl Drop for Gone {
            fn drop(&mut self) {
                let _ = fs::remove_dir_all(&self.0);
            }
        }
        static LAST: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mount = std::env::temp_dir().join(format!("swell-limits-{}-{number}", std::process::id()));
        let dir = mount.join("team/pod");
        fs::create_dir_all(&dir).expect("it can be made");
        for (file, text) in files {
            fs::write(mount.join(file), text).expect("it can be written");
        }
        (Own { version, mount: mount.clone(), dir }, Gone(mount))
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let files = [("team/pod/cpu.max", "max 100000\n"), ("team/cpu.max", "250000 100000\n"), ("cpu.max", "x")];
        let (two, _held) = own(Version::Two, &files);
        assert_eq!(two.cores_max(), Some(2.5));
        let files = [("team/pod/cpu.cfs_quota_us", "-1"), ("team/pod/cpu.cfs_period_us", "100000")];
        let (one, _held) = own(Version::One, &files);
        assert_eq!(one.cores_max(), None);
        let files = [("cpu.cfs_quota_us", "50000"), ("cpu.cfs_period_us", "0")];
        assert_eq!(own(Version::One, &files).0.cores_max(), None);
    }

    #[test]
    fn memory_is_what_the_tightest_group_has_left() {
        let files = [
            ("team/pod/memory.max", "max\n"),
            ("team/pod/memory.current", "1\n"),
            ("team/memory.max", "1000\n"),
            ("team/memory.current", "700\n"),
            ("team/memory.stat", "anon 600\ninactive_file 100\n"),
        ];
        let (two, _held) = own(Version::Two, &files);
        assert_eq!(two.memory_free_bytes(), Some(400));
        let files = [("memory.limit_in_bytes", "10"), ("memory.usage_in_bytes", "11"), ("memory.stat", "junk")];
        let (one, _held) = own(Version::One, &files);
        assert_eq!(one.memory_free_bytes(), Some(0));
        assert_eq!(own(Version::Two, &[]).0.memory_free_bytes(), None);
    }
}
