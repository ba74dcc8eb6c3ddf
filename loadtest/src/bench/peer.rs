//! Servers as child processes: started from a command line, pinned to a core, watched from outside, always ended.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use super::args::Protocol;
use super::client::{Client, REPLY_WAIT_MAX};
use super::proc;
use super::sys::{self, Core};
use super::template::{Fill, PeerSpec};
use crate::workload::Rng;

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct StartOptions {
    /// Spoken where the command line leaves the choice.
    pub protocol: Protocol,
    pub core: Core,
    pub nice: Option<i32>,
    pub maxmemory_bytes: u64,
    pub policy: String,
    /// How long the first answer may take.
    pub ready_wait: Duration,
}

/// A running server: a process and those that it starts itself. Its process group is killed and its directory removed when this is dropped.
pub struct Server {
    pub name: String,
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// What it says it is, such as `redis 7.0.15`.
    pub version: String,
    /// From before the process was started to its first right answer.
    pub first_reply: Duration,
    /// What it was started with: people's commands are the same program.
    program: PathBuf,
    /// What `{link}` was filled with.
    link: String,
    process: Process,
}

struct Process {
    child: Child,
    home: PathBuf,
}

impl Server {
    /// Starts a server and waits for its first answer.
    ///
    /// Errors, naming the peer, when the command is not found, when the process ends by itself (with the last lines it
    /// printed) and when it does not answer in time.
    pub fn start(spec: &PeerSpec, options: &StartOptions) -> Result<Server> {
        let [port, memcached_port] = free_ports()?;
        let home = next_home();
        let link = format!("unix:{}", home.join(LINK_FILE).display());
        let fill = Fill {
            port,
            memcached_port,
            link: link.clone(),
            maxmemory_bytes: options.maxmemory_bytes,
            policy: options.policy.clone(),
        };
        let protocol = spec.protocol(options.protocol);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, spec.port(&fill, protocol)));
        let command = prepare(home, &spec.words(&fill)?, options.core, options.nice)
            .with_context(|| format!("peer {}", spec.name))?;
        let program = PathBuf::from(command.command.get_program());
        let started = Instant::now();
        let mut process = command.start().with_context(|| format!("peer {}", spec.name))?;
        if let Some(nice) = options.nice {
            sys::set_group_niceness(process.child.id(), nice).with_context(|| format!("--nice {nice}"))?;
        }
        let mut client = process
            .first_answer(address, protocol, started + options.ready_wait)
            .with_context(|| format!("peer {} ({})", spec.name, spec.command_line))?;
        let first_reply = started.elapsed();
        client.set_wait(REPLY_WAIT_MAX)?;
        let version = client.version().with_context(|| format!("peer {}", spec.name))?;
        Ok(Server { name: spec.name.clone(), protocol, address, version, first_reply, program, link, process })
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The server's processes that are there now, its own first.
    pub fn pids(&self) -> Result<Vec<u32>> {
        proc::tree(self.pid())
    }

    /// CPU time used so far by all threads of the server and of the processes below it; of those that have ended since,
    /// nothing is left.
    pub fn cpu(&self) -> Result<Duration> {
        let own =
            sys::process_cpu(self.pid()).with_context(|| format!("{} has ended: {}", self.name, self.last_lines()))?;
        // One that ends just now is as one that has ended before.
        let below = self.pids()?.into_iter().skip(1).filter_map(|pid| sys::process_cpu(pid).ok());
        Ok(own + below.sum::<Duration>())
    }

    /// How long all these threads have been ready to run without a core so far.
    pub fn core_wait(&self) -> Result<Duration> {
        let own = proc::core_wait(self.pid())?;
        let below = self.pids()?.into_iter().skip(1).filter_map(|pid| proc::core_wait(pid).ok());
        Ok(own + below.sum::<Duration>())
    }

    /// Memory of all these processes; pages that several share count for each.
    pub fn resident_bytes(&self) -> Result<u64> {
        let own = proc::resident_bytes(self.pid())?;
        let below = self.pids()?.into_iter().skip(1).filter_map(|pid| proc::resident_bytes(pid).ok());
        Ok(own + below.sum::<u64>())
    }

    /// How often all these threads have gone to sleep by themselves so far.
    pub fn voluntary_switches(&self) -> Result<u64> {
        let own = proc::voluntary_switches(self.pid())?;
        let below = self.pids()?.into_iter().skip(1).filter_map(|pid| proc::voluntary_switches(pid).ok());
        Ok(own + below.sum::<u64>())
    }

    /// The server's own program with these arguments, told to ask this server.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--link", &self.link]).current_dir(&self.process.home).stdin(Stdio::null());
        command
    }

    pub fn client(&self) -> Result<Client> {
        Client::connect(self.address, self.protocol).with_context(|| format!("cannot connect to {}", self.name))
    }

    /// Resident memory once it has stopped changing (by more than a thousandth in a quarter of a second), or after
    /// three seconds: allocators give memory back late and tables are rehashed in the background.
    pub fn settled_memory(&self) -> Result<u64> {
        let mut before = self.resident_bytes()?;
        for _ in 0..12 {
            sys::pause(Duration::from_millis(250))?;
            let now = self.resident_bytes()?;
            if now.abs_diff(before) <= before / 1_000 {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
    }

    /// The end of what the server has printed, on one line.
    pub fn last_lines(&self) -> String {
        last_lines(&self.process.home)
    }
}

struct Prepared {
    command: Command,
    program: String,
    home: PathBuf,
}

impl Prepared {
    fn start(mut self) -> Result<Process> {
        match self.command.spawn() {
            Ok(child) => Ok(Process { child, home: self.home }),
            Err(error) => {
                // Nothing else will remove it; that it stays behind is no reason to hide the error.
                let _ = fs::remove_dir_all(&self.home);
                Err(match error.kind() {
                    io::ErrorKind::NotFound => anyhow!("command {} not found", self.program),
                    _ => anyhow!(error).context(format!("cannot start {}", self.program)),
                })
            }
        }
    }
}

impl Process {
    fn first_answer(&mut self, address: SocketAddr, protocol: Protocol, until: Instant) -> Result<Client> {
        let began = Instant::now();
        let mut reason = anyhow!("nothing listens on {address}");
        loop {
            sys::check_interrupt()?;
            if let Ok(mut client) = Client::connect(address, protocol) {
                client.set_wait(until.saturating_duration_since(Instant::now()))?;
                match client.ping() {
                    Ok(()) => return Ok(client),
                    Err(error) => reason = error,
                }
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}): {}", last_lines(&self.home));
            }
            if Instant::now() >= until {
                let waited = began.elapsed().as_secs_f64();
                bail!("no answer within {waited:.1} s: {reason:#}; it printed: {}", last_lines(&self.home));
            }
            // A tight loop while a quick start is being timed, a polite one afterwards.
            if began.elapsed() > Duration::from_millis(200) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        sys::kill_group(self.child.id());
        // Both can only fail when there is nothing left to end or to remove.
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Makes the command ready to start: own directory and session, output to a file, pinned, never left behind.
fn prepare(home: PathBuf, words: &[String], core: Core, nice: Option<i32>) -> Result<Prepared> {
    let (program, arguments) = words.split_first().context("an empty command line")?;
    let resolved = match program.contains('/') {
        // The server runs in a directory of its own, so a relative path must be resolved here.
        true => fs::canonicalize(program).map_err(|_| anyhow!("command {program} not found"))?,
        false => PathBuf::from(program),
    };
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let output = File::create(home.join(OUTPUT_FILE))?;
    let mut command = Command::new(resolved);
    command.args(arguments).current_dir(&home);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // SAFETY: all of these are plain system calls without allocation or locks, as is required between fork and exec.
    unsafe {
        command.pre_exec(move || {
            sys::die_with_parent()?;
            sys::lead_session()?;
            nice.map_or(Ok(()), sys::set_niceness)?;
            sys::pin_current_thread(core)
        });
    }
    Ok(Prepared { command, program: program.clone(), home })
}

const OUTPUT_FILE: &str = "output.log";
const LINK_FILE: &str = "link.sock";

/// Where the next server is to live; not there yet.
fn next_home() -> PathBuf {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let number = STARTS.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("swell-bench-{}-{number}", std::process::id()))
}

fn last_lines(home: &Path) -> String {
    let printed = fs::read(home.join(OUTPUT_FILE)).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    let lines: Vec<_> = text.lines().rev().filter(|line| !line.trim().is_empty()).take(5).map(str::trim).collect();
    if lines.is_empty() { "(nothing)".to_owned() } else { lines.into_iter().rev().collect::<Vec<_>>().join(" | ") }
}

/// Two free ports below those that the kernel gives to outgoing connections, so that polling a port before its server
/// listens can neither take the port away nor connect to itself.
fn free_ports() -> Result<[u16; 2]> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let mut rng = Rng::new(clock ^ (u64::from(std::process::id()) << 32));
    let end = u64::from(proc::ephemeral_ports_start()).max(PORTS_START + 1_000);
    let mut held = Vec::new();
    for _ in 0..1_000 {
        let port = (PORTS_START + rng.below(end - PORTS_START)) as u16;
        // Held until both are found, so that they differ.
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|listener| (port, listener)));
        if let [(first, _), (second, _)] = held.as_slice() {
            return Ok([*first, *second]);
        }
    }
    bail!("found no two free ports on the loopback interface")
}

const PORTS_START: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> StartOptions {
        StartOptions {
            protocol: Protocol::Resp,
            core: Core::Any,
            nice: None,
            maxmemory_bytes: 0,
            policy: "noeviction".to_owned(),
            ready_wait: Duration::from_millis(300),
        }
    }

    fn failure(peer: &str) -> String {
        let spec = peer.parse().expect("a valid peer");
        format!("{:#}", Server::start(&spec, &options()).err().expect("no such server"))
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = failure("ghost=no-such-server-anywhere --port {port}");
        assert_eq!(error, "peer ghost: command no-such-server-anywhere not found");
        let error = failure("ghost=./no/such/server --port {port}");
        assert_eq!(error, "peer ghost: command ./no/such/server not found");
    }

    #[test]
    fn a_server_that_ends_at_once_is_quoted() {
        let error = failure("sad=sh -c 'echo no room; echo on {port} >&2; exit 3'");
        assert!(error.contains("ended at once (exit status: 3)") && error.contains("no room | on "), "{error}");
    }

    #[test]
    fn a_server_that_never_listens_is_given_up() {
        let error = failure("mute=sh -c 'sleep 60; echo {port}'");
        assert!(error.contains("no answer within") && error.contains("nothing listens on"), "{error}");
    }

    #[test]
    fn two_free_ports_differ_and_are_free() {
        let ports = free_ports().expect("free ports");
        assert_ne!(ports[0], ports[1]);
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("still free");
        }
    }
}
