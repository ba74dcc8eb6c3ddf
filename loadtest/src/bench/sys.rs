//! The few system calls that the standard library does not offer: cores, CPU clocks, epoll, limits, signals.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// Where a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    /// Wherever the kernel puts it.
    Any,
    Number(usize),
}

/// A level-triggered epoll set; each descriptor has a token of the caller's.
pub struct Epoll {
    set: OwnedFd,
    ready: Vec<libc::epoll_event>,
}

/// What happened to a descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    pub token: usize,
    /// There is something to read, or the peer hung up (which a read tells).
    pub readable: bool,
    pub writable: bool,
}

impl Epoll {
    /// A set that reports at most `events_max` descriptors per wait.
    pub fn new(events_max: usize) -> io::Result<Epoll> {
        // SAFETY: epoll_create1 takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just created and nobody else owns it.
        let set = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Epoll { set, ready: Vec::with_capacity(events_max.max(1)) })
    }

    /// Starts watching `fd` for reading.
    pub fn add(&self, fd: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, false)
    }

    /// Watches `fd`, already added, for reading and, if `writable`, for room to write.
    pub fn watch(&self, fd: &impl AsRawFd, token: usize, writable: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, writable)
    }

    /// Waits and puts what happened into `events`; an interrupted wait and one that timed out leave it empty.
    pub fn wait(&mut self, timeout: Duration, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout_ms = timeout.as_millis().min(60_000) as libc::c_int;
        let max = self.ready.capacity() as libc::c_int;
        events.clear();
        self.ready.clear();
        // SAFETY: the vector's spare room holds `max` events, and the kernel writes no more than that.
        let got = unsafe { libc::epoll_wait(self.set.as_raw_fd(), self.ready.as_mut_ptr(), max, timeout_ms) };
        match check(got) {
            // SAFETY: the kernel has initialised the first `got` events.
            Ok(got) => unsafe { self.ready.set_len(got as usize) },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        events.extend(self.ready.iter().map(|event| {
            let (bits, token) = (event.events, event.u64);
            let readable = bits & !(libc::EPOLLOUT as u32) != 0;
            Event { token: token as usize, readable, writable: bits & libc::EPOLLOUT as u32 != 0 }
        }));
        Ok(())
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, token: usize, writable: bool) -> io::Result<()> {
        let events = if writable { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN } as u32;
        let mut event = libc::epoll_event { events, u64: token as u64 };
        // SAFETY: `event` outlives the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.set.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }
}

/// A clock that becomes readable in an [`Epoll`] set again and again.
pub struct Ticker(OwnedFd);

impl Ticker {
    /// Ticks once in every `period`, which must not be zero, from now on.
    pub fn every(period: Duration) -> io::Result<Ticker> {
        // SAFETY: timerfd_create takes no pointers.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) })?;
        // SAFETY: the descriptor was just created and nobody else owns it.
        let ticker = Ticker(unsafe { OwnedFd::from_raw_fd(fd) });
        let time = libc::timespec {
            tv_sec: period.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(period.subsec_nanos() as i32),
        };
        let times = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: `times` outlives the call, which reads it; the old setting is not asked for.
        check(unsafe { libc::timerfd_settime(fd, 0, &times, std::ptr::null_mut()) })?;
        Ok(ticker)
    }

    /// How often it has ticked since this was asked last; it is not readable again before the next tick.
    pub fn take(&self) -> u64 {
        let mut ticks = [0u8; 8];
        // SAFETY: the buffer has the eight bytes that the kernel writes.
        let read = unsafe { libc::read(self.0.as_raw_fd(), ticks.as_mut_ptr().cast(), ticks.len()) };
        if read == 8 { u64::from_ne_bytes(ticks) } else { 0 }
    }
}

impl AsRawFd for Ticker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Pins the calling thread, and threads and processes it starts later, to a core; `Any` undoes that, back to what
/// [`remember_cores`] saw. Safe between fork and exec.
pub fn pin_current_thread(core: Core) -> io::Result<()> {
    match core {
        Core::Number(number) if number < libc::CPU_SETSIZE as usize => {
            // SAFETY: an all-zero cpu_set_t is the empty set.
            let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
            // SAFETY: `number` is below CPU_SETSIZE.
            unsafe { libc::CPU_SET(number, &mut set) };
            set_cores(&set)
        }
        Core::Number(_) => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        Core::Any => ORIGINAL_CORES.get().map_or(Ok(()), set_cores),
    }
}

/// Notes the cores that the calling thread may use now, before anything is pinned. Later calls change nothing.
pub fn remember_cores() -> io::Result<()> {
    let cores = current_cores()?;
    ORIGINAL_CORES.get_or_init(|| cores);
    Ok(())
}

/// Sets the calling thread's niceness, which threads and processes it starts later inherit. Below 0 needs privileges.
/// Safe between fork and exec.
pub fn set_niceness(niceness: i32) -> io::Result<()> {
    // SAFETY: setpriority takes no pointers; 0 means the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) }).map(drop)
}

/// Gives the scheduling group of a process's session the same niceness: where the kernel groups by session, a thread's
/// own niceness only counts inside its group. Does nothing on other kernels.
pub fn set_group_niceness(pid: u32, niceness: i32) -> io::Result<()> {
    match std::fs::write(format!("/proc/{pid}/autogroup"), niceness.to_string()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The cores that the calling thread may run on, ascending.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let set = current_cores()?;
    // SAFETY: every number asked for is below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Fails, naming `option`, unless `core` is one that this process may use.
pub fn require_core(core: Core, option: &str) -> Result<()> {
    let Core::Number(number) = core else { return Ok(()) };
    let allowed = allowed_cores().context("cannot read the cores that this process may use")?;
    if !allowed.contains(&number) {
        bail!("{option} {number}: this process may use the cores {allowed:?} only; name one, or say {option} off");
    }
    Ok(())
}

/// Asks the kernel to kill the calling process when the thread that started it ends. Safe between fork and exec.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

/// Makes the calling process the leader of a session and process group of its own, so that a terminal's Ctrl-C does
/// not reach it and everything it starts can be ended together. Safe between fork and exec.
pub fn lead_session() -> io::Result<()> {
    // SAFETY: setsid takes no arguments.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Kills every process of the group that `leader` leads; a group that is gone is no error.
pub fn kill_group(leader: u32) {
    if let Ok(group) = libc::pid_t::try_from(leader) {
        // SAFETY: kill takes no pointers; the group was made for our own child, which is not reaped yet.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// Kills one process at once.
pub fn kill(pid: u32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: kill takes no pointers.
    check(unsafe { libc::kill(pid, libc::SIGKILL) }).map(drop)
}

/// CPU time that all threads of a process have used so far.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` outlives the call, which fills it.
    let code = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    read_clock(clock)
}

/// CPU time that this process's children have used which have ended and been waited for, with those below them.
pub fn ended_children_cpu() -> io::Result<Duration> {
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call, which fills it.
    check(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) })?;
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

/// CPU time that the calling thread has used so far.
pub fn thread_cpu() -> io::Result<Duration> {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Bytes of a memory page.
pub fn page_bytes() -> u64 {
    // SAFETY: sysconf takes no pointers.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096)
}

/// Raises this process's limit of open files to `files`, as far as it may.
pub fn raise_open_files(files: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which fills it.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    if limit.rlim_cur >= files {
        return Ok(());
    }
    limit.rlim_cur = files.min(limit.rlim_max);
    // SAFETY: `limit` outlives the call, which reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(drop)
}

/// From now on SIGINT and SIGTERM make [`check_interrupt`] fail, so that the servers are stopped and their files
/// removed; the third one ends the process at once (`timeout` sends its signal twice).
pub fn catch_interrupts() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: an all-zero sigaction is a valid one with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note_interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler only counts in an atomic and may call _exit, both allowed in a signal handler.
        check(unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) })?;
    }
    Ok(())
}

/// Fails once the process has been asked to end.
pub fn check_interrupt() -> Result<()> {
    if INTERRUPTS.load(Ordering::Relaxed) > 0 {
        bail!("interrupted");
    }
    Ok(())
}

/// Sleeps in short pieces, so that an interrupt is noticed.
pub fn pause(duration: Duration) -> Result<()> {
    let until = std::time::Instant::now() + duration;
    loop {
        check_interrupt()?;
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

static ORIGINAL_CORES: OnceLock<libc::cpu_set_t> = OnceLock::new();
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

const INTERRUPTS_PATIENT: u32 = 2;
/// What a shell reports for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: libc::c_int = 130;

extern "C" fn note_interrupt(_signal: libc::c_int) {
    if INTERRUPTS.fetch_add(1, Ordering::Relaxed) >= INTERRUPTS_PATIENT {
        // SAFETY: _exit ends the process without running anything of it.
        unsafe { libc::_exit(EXIT_INTERRUPTED) };
    }
}

fn current_cores() -> io::Result<libc::cpu_set_t> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a whole cpu_set_t that the call fills; 0 means the calling thread.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) })?;
    Ok(set)
}

fn set_cores(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: `set` is a whole cpu_set_t; 0 means the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) }).map(drop)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which fills it.
    check(unsafe { libc::clock_gettime(clock, &mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_clocks_advance_with_work() {
        let (thread, process) = (thread_cpu().expect("clock"), process_cpu(std::process::id()).expect("clock"));
        let mut sum = 0u64;
        while thread_cpu().expect("clock") < thread + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // The kernel adds a running thread up at its ticks, so the process clock may lag by one of them.
        assert!(process_cpu(std::process::id()).expect("clock") > process);
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        let error = require_core(Core::Number(100_000), "--load-cpu").expect_err("no such core").to_string();
        assert!(error.contains("--load-cpu 100000") && error.contains("--load-cpu off"), "{error}");
        assert!(pin_current_thread(Core::Number(100_000)).is_err());
        require_core(Core::Any, "--load-cpu").expect("any core will do");
    }

    #[test]
    fn a_ticker_wakes_its_set_again_and_again() {
        let ticker = Ticker::every(Duration::from_millis(2)).expect("a timer");
        let mut epoll = Epoll::new(1).expect("a set");
        epoll.add(&ticker, 7).expect("added");
        let (mut ticks, mut events) = (0, Vec::new());
        for _ in 0..3 {
            epoll.wait(Duration::from_secs(10), &mut events).expect("a wait");
            assert!(matches!(events.as_slice(), [Event { token: 7, readable: true, .. }]), "{events:?}");
            ticks += ticker.take();
        }
        assert!(ticks >= 3, "{ticks}");
    }

    #[test]
    fn a_process_that_is_gone_has_no_clock() {
        // One more than the kernel's highest process id.
        assert!(process_cpu((1 << 22) + 1).is_err());
    }
}
