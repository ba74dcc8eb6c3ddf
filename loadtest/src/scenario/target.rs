//! The cache under test: one that listens somewhere, or a small one of this test's own, started as a child.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bench::args::Protocol;
use crate::bench::cluster::{Owners, owners_in};
use crate::bench::{proc, sys};

/// A cache that has not said that it is ready after this has failed to start.
const READY_MAX: Duration = Duration::from_secs(20);

/// What is put under load.
pub struct Target {
    /// Where RESP clients, memcached clients and HTTP are served.
    pub resp: Option<SocketAddr>,
    pub memcached: Option<SocketAddr>,
    pub http: Option<SocketAddr>,
    /// Of an own one only.
    own: Option<Own>,
}

struct Own {
    child: Child,
    home: PathBuf,
    link: String,
    program: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    resp: Option<SocketAddr>,
    memcached: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Target {
    /// One that is there already.
    ///
    /// # Errors
    /// An address names nobody.
    pub fn there(address: &str, protocol: Protocol, http: Option<&str>) -> Result<Target> {
        let resolve = |text: &str| -> Result<SocketAddr> {
            let mut found = text.to_socket_addrs().with_context(|| format!("{text} is no HOST:PORT"))?;
            found.next().with_context(|| format!("{text} has no address"))
        };
        let (address, http) = (resolve(address)?, http.map(resolve).transpose()?);
        let of = |wanted| (protocol == wanted).then_some(address);
        Ok(Target { resp: of(Protocol::Resp), memcached: of(Protocol::Memcached), http, own: None })
    }

    /// Starts this program's `serve` with these options, on free ports and in a folder of its own, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// It ends by itself, with what it printed, or is not ready in time.
    pub fn start(options: &[String]) -> Result<Target> {
        let home = next_home();
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let (ready, link) = (home.join("ready"), format!("unix:{}", home.join("link.sock").display()));
        let program = std::env::current_exe().context("cannot find this program")?;
        let output = File::create(home.join(OUTPUT_FILE))?;
        let mut command = Command::new(&program);
        command.arg("serve");
        for listener in ["--resp", "--memcached", "--http"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        command.args(["--link", &link]).arg("--data-dir").arg(home.join("data")).arg("--ready-file").arg(&ready);
        command.args(options).current_dir(&home);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // SAFETY: both are plain system calls without allocation or locks, as is required between fork and exec.
        unsafe {
            command.pre_exec(|| {
                sys::die_with_parent()?;
                sys::lead_session()
            });
        }
        let child = command.spawn().context("cannot start a cache")?;
        let mut target =
            Target { resp: None, memcached: None, http: None, own: Some(Own { child, home, link, program }) };
        let says = target.await_ready(&ready)?;
        (target.resp, target.memcached, target.http) = (says.resp, says.memcached, says.http);
        Ok(target)
    }

    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The own one's process.
    pub fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.child.id())
    }

    /// Where clients of this protocol are served.
    ///
    /// # Errors
    /// Nowhere.
    pub fn address(&self, protocol: Protocol) -> Result<SocketAddr> {
        let address = match protocol {
            Protocol::Resp => self.resp,
            Protocol::Memcached => self.memcached,
        };
        address.context("the cache does not listen for this protocol")
    }

    /// Fails once the own one has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        if let Some(status) = own.child.try_wait()? {
            bail!("the cache has ended ({status}): {}", last_lines(&own.home));
        }
        Ok(())
    }

    /// Asks the own one with this program's commands for people, such as `drain 2`; what they print.
    ///
    /// # Errors
    /// It is not an own one, or the command fails, with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let own = self.own.as_ref().context("only a cache that the test has started itself can be asked")?;
        let mut command = Command::new(&own.program);
        let output = command.args(arguments).args(["--link", &own.link]).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("swell {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Who owns which slot.
    ///
    /// # Errors
    /// As [`Target::ask`].
    pub fn owners(&self) -> Result<Owners> {
        owners_in(&self.ask(&["slots", "--json"])?)
    }

    /// Kills a process of the own one with SIGKILL.
    ///
    /// # Errors
    /// It is not one of those that the test has started.
    pub fn kill(&self, pid: u32) -> Result<()> {
        let own = self.own.as_ref().context("only a node that the test has started itself is killed")?;
        let tree = proc::tree(own.child.id())?;
        if pid == own.child.id() || !tree.contains(&pid) {
            bail!("process {pid} is no node of this test's");
        }
        sys::kill(pid).with_context(|| format!("cannot kill process {pid}"))
    }

    /// The end of what the own one has printed.
    pub fn last_lines(&self) -> String {
        self.own.as_ref().map(|own| last_lines(&own.home)).unwrap_or_default()
    }

    fn await_ready(&mut self, ready: &Path) -> Result<Ready> {
        let until = Instant::now() + READY_MAX;
        loop {
            self.check()?;
            if let Some(says) = fs::read(ready).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                return Ok(says);
            }
            if Instant::now() > until {
                bail!("the cache is not ready after {} s: {}", READY_MAX.as_secs(), self.last_lines());
            }
            sys::pause(Duration::from_millis(5))?;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Its nodes end when their standard input does; those that lead no session of their own end with it.
        sys::kill_group(self.child.id());
        // Both can only fail when there is nothing left to end or to remove.
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

const OUTPUT_FILE: &str = "output.log";
const LINES_SHOWN: usize = 5;

fn next_home() -> PathBuf {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let number = STARTS.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("swell-loadtest-{}-{number}", std::process::id()))
}

fn last_lines(home: &Path) -> String {
    let printed = fs::read(home.join(OUTPUT_FILE)).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join(" | ")
}
