//! What the system says of this process: memory, CPU time, its own name.

use std::time::Duration;

/// CPU time of a process or its children.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

/// CPU time of this process.
pub fn cpu_time() -> CpuTime {
    usage(libc::RUSAGE_SELF)
}

/// CPU time of children that have ended.
pub fn cpu_time_of_children() -> CpuTime {
    usage(libc::RUSAGE_CHILDREN)
}

/// Resident bytes of this process; nothing where the system does not say (outside Linux).
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * system(libc::_SC_PAGESIZE)?)
}

/// Bytes of memory in this machine.
pub fn memory_bytes() -> Option<u64> {
    Some(system(libc::_SC_PHYS_PAGES)? * system(libc::_SC_PAGESIZE)?)
}

/// The system's name, release and architecture.
pub fn system_name() -> String {
    // SAFETY: a utsname is arrays of bytes, for which zeroes are a value.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a valid utsname that the call fills.
    if unsafe { libc::uname(&mut name) } != 0 {
        return std::env::consts::OS.to_owned();
    }
    [&name.sysname[..], &name.release[..], &name.machine[..]].map(text).join(" ")
}

fn usage(whose: libc::c_int) -> CpuTime {
    // SAFETY: an rusage is plain numbers, for which zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage that the call fills; if it fails, zeroes stay.
    unsafe { libc::getrusage(whose, &mut usage) };
    CpuTime { user: duration(usage.ru_utime), system: duration(usage.ru_stime) }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

fn system(name: libc::c_int) -> Option<u64> {
    // SAFETY: a question with a number; an unknown one is answered with -1.
    u64::try_from(unsafe { libc::sysconf(name) }).ok()
}

fn text(bytes: &[libc::c_char]) -> String {
    let bytes: Vec<u8> = bytes.iter().take_while(|byte| **byte != 0).map(|byte| *byte as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_time() {
        let resident = resident_bytes().unwrap();
        assert!(resident > 100_000 && resident < memory_bytes().unwrap());
        let before = cpu_time();
        let mut sum = 0u64;
        while cpu_time().user + cpu_time().system == before.user + before.system {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(!system_name().is_empty());
    }
}
