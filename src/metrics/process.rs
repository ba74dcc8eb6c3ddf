//! The process itself: its memory, CPU time and files by Prometheus's usual names, and which Swell it is.

use std::fs;
use std::io;

use swell_engine::metric::Kind::{Counter, Gauge};
use swell_engine::metric::{Metric, Samples, Unit};

/// Figures of this process at one moment. What the system does not tell is not shown.
#[derive(Clone, Debug)]
pub struct Process {
    version: &'static str,
    started_at: StartedAt,
    stat: Option<Stat>,
    open_files: Option<u64>,
    files_limit: Option<u64>,
}

/// When this process started, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct StartedAt(Option<f64>);

/// What is used of `/proc/self/stat`, in seconds and bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// From the machine's start to the process's.
    started_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

/// The system's own units.
#[derive(Clone, Copy, Debug)]
struct Scale {
    ticks_per_second: u64,
    page_bytes: u64,
}

impl Process {
    /// Asks the system.
    pub fn now(version: &'static str, started_at: StartedAt) -> Process {
        Process {
            version,
            started_at,
            stat: Stat::read(),
            open_files: open_files().ok(),
            files_limit: files_limit().ok(),
        }
    }
}

impl StartedAt {
    /// Asks the system.
    pub fn read() -> StartedAt {
        let started = || {
            let machine = fs::read_to_string("/proc/stat").ok()?;
            let line = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
            Some(line.trim().parse::<f64>().ok()? + Stat::read()?.started_seconds)
        };
        StartedAt(started())
    }
}

/// The process's metrics, in the order of the page.
pub static METRICS: &[Metric<Process>] = &[
    Metric {
        name: "swell_build_info",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["version"],
        help: "Always 1; the label says which version of Swell this is.",
        read: |process, samples| samples.add(&[process.version], 1.0),
    },
    Metric {
        name: "process_resident_memory_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Memory of the process that is in RAM.",
        read: |process, samples| add(samples, process.stat.map(|stat| stat.resident_bytes as f64)),
    },
    Metric {
        name: "process_virtual_memory_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Memory that the process has mapped.",
        read: |process, samples| add(samples, process.stat.map(|stat| stat.virtual_bytes as f64)),
    },
    Metric {
        name: "process_cpu_seconds_total",
        kind: Counter,
        unit: Unit::Seconds,
        labels: &[],
        help: "CPU time of the process, its own and the system's for it.",
        read: |process, samples| add(samples, process.stat.map(|stat| stat.cpu_seconds)),
    },
    Metric {
        name: "process_open_fds",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Files and sockets that the process has open.",
        read: |process, samples| add(samples, process.open_files.map(|files| files as f64)),
    },
    Metric {
        name: "process_max_fds",
        kind: Gauge,
        unit: Unit::Count,
        labels: &[],
        help: "Files and sockets that the process may have open.",
        read: |process, samples| add(samples, process.files_limit.map(|files| files as f64)),
    },
    Metric {
        name: "process_start_time_seconds",
        kind: Gauge,
        unit: Unit::Seconds,
        labels: &[],
        help: "When the process started, in seconds since 1970.",
        read: |process, samples| add(samples, process.started_at.0),
    },
];

impl Stat {
    fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?, Scale::read()?)
    }

    /// The second field is the program's name in parentheses, which may contain anything; see proc(5).
    fn parse(text: &str, scale: Scale) -> Option<Stat> {
        const FIRST_FIELD: usize = 3;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - FIRST_FIELD)?.parse::<u64>().ok();
        let seconds = |ticks: u64| ticks as f64 / scale.ticks_per_second as f64;
        Some(Stat {
            cpu_seconds: seconds(number(14)?.saturating_add(number(15)?)),
            started_seconds: seconds(number(22)?),
            virtual_bytes: number(23)?,
            resident_bytes: number(24)?.saturating_mul(scale.page_bytes),
        })
    }
}

impl Scale {
    fn read() -> Option<Scale> {
        let ask = |name| {
            // SAFETY: a call without pointers.
            let answer = unsafe { libc::sysconf(name) };
            u64::try_from(answer).ok().filter(|answer| *answer > 0)
        };
        Some(Scale { ticks_per_second: ask(libc::_SC_CLK_TCK)?, page_bytes: ask(libc::_SC_PAGESIZE)? })
    }
}

/// Newer kernels (6.2) give the number as the directory's size; with older ones the entries are counted, of which one
/// is the directory itself while it is read.
fn open_files() -> io::Result<u64> {
    match fs::metadata("/proc/self/fd")?.len() {
        0 => Ok(fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64),
        count => Ok(count),
    }
}

fn files_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that the call fills.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

fn add(samples: &mut dyn Samples, figure: Option<f64>) {
    if let Some(figure) = figure {
        samples.add(&[], figure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_name_may_look_like_fields() {
        let scale = Scale { ticks_per_second: 100, page_bytes: 4096 };
        let text = "77 (a) R (b) S 1 2 3 4 5 6 7 8 9 10 150 75 0 0 20 0 4 0 6000 1048576 256 0 0\n";
        let stat = Stat { cpu_seconds: 2.25, started_seconds: 60.0, virtual_bytes: 1 << 20, resident_bytes: 1 << 20 };
        assert_eq!(Stat::parse(text, scale), Some(stat));
        for broken in ["", "77 (a) R 1 2", "77 a R", &text.replace("1048576", "-1")] {
            assert_eq!(Stat::parse(broken, scale), None, "{broken}");
        }
    }

    #[test]
    fn this_process_has_figures() {
        let process = Process::now("1", StartedAt::read());
        let stat = process.stat.expect("the system tells");
        assert!(stat.resident_bytes > 1 << 20 && stat.virtual_bytes >= stat.resident_bytes, "{stat:?}");
        assert!(
            process.open_files.is_some_and(|open| process.files_limit.is_some_and(|limit| 2 < open && open <= limit))
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        let age = now.as_secs_f64() - process.started_at.0.expect("the system tells");
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
