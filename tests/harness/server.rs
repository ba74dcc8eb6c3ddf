//! Server processes: Swell, and the real ones it is compared with. Each ends with the value that started it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::topology::Mover;
use super::{Conn, DEADLINE, Topology, nodes, program, wait_for};

/// Lines of a log that a failing test prints.
const LOG_LINES: usize = 60;

/// Characters of each.
const LOG_WIDTH: usize = 240;

/// Swell's listeners, as its flags name them.
pub const LISTENERS: [&str; 3] = ["--resp", "--memcached", "--http"];

/// A running server. An address is empty where there is no such listener.
pub struct Server {
    pub resp: String,
    pub memcached: String,
    pub http: String,
    /// Where its scaler listens.
    pub link: String,
    /// Where its data is.
    pub topology: Topology,
    pub(super) mover: Option<Mover>,
    child: Child,
    dir: Dir,
    /// Whether a failing test prints its log: a real server's says nothing once it has started.
    telling: bool,
}

/// Starts Swell.
pub struct Swell;

/// Starts the real servers.
pub struct Real;

/// Starts what is tested: Swell, or the server that `SWELL_SUBJECT` names in its place.
pub struct Subject;

impl Swell {
    /// The binary under test.
    pub fn binary() -> PathBuf {
        let built = option_env!("CARGO_BIN_EXE_swell").map(PathBuf::from);
        std::env::var_os("SWELL_BIN").map(PathBuf::from).or(built).expect("SWELL_BIN names the binary to test")
    }

    /// A command for the binary, without SWELL_* variables from outside.
    pub fn command() -> Command {
        let mut command = Command::new(Swell::binary());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SWELL_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// `swell serve` with all listeners on free ports, unless `args` say otherwise, once it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(args: &[&str]) -> Server {
        Swell::start_where(&LISTENERS, args)
    }

    /// As [`Swell::start`], with the listeners that are not in `free` left to their defaults.
    pub fn start_where(free: &[&str], args: &[&str]) -> Server {
        let dir = Dir::new("swell");
        let mut command = Swell::command();
        command.arg("serve").arg("--data-dir").arg(dir.0.join("data"));
        if !args.contains(&"--scaling") {
            // Tests move slots themselves, and count on nobody else who does.
            command.args(["--scaling", "off"]);
        }
        Swell::begin(command, dir, free, args)
    }

    /// `swell serve` or `swell scaler` with a data directory that outlives it, once it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start_at(role: &str, data: &Path, args: &[&str]) -> Server {
        let mut command = Swell::command();
        command.arg(role).arg("--data-dir").arg(data);
        let free: &[&str] = if role == "serve" { &LISTENERS } else { &["--http"] };
        Swell::begin(command, Dir::new("swell"), free, args)
    }

    /// `swell proxy` in front of another's nodes, with all listeners on free ports, once it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn join(other: &Server, args: &[&str]) -> Server {
        let mut command = Swell::command();
        command.args(["proxy", "--join", &other.link]);
        Swell::begin(command, Dir::new("swell-proxy"), &LISTENERS, args)
    }

    fn begin(mut command: Command, dir: Dir, free: &[&str], args: &[&str]) -> Server {
        let ready = dir.0.join("ready");
        command.arg("--ready-file").arg(&ready);
        for listener in free.iter().filter(|listener| !args.contains(listener)) {
            command.args([listener, "127.0.0.1:0"]);
        }
        let mut server = Server::spawn(command.args(args), dir);
        let says: serde_json::Value = server
            .await_ready(|_| std::fs::read_to_string(&ready).ok().and_then(|text| serde_json::from_str(&text).ok()));
        let address = |name: &str| says[name].as_str().unwrap_or_default().to_owned();
        (server.resp, server.memcached, server.http) = (address("resp"), address("memcached"), address("http"));
        server.link = address("link");
        server
    }
}

impl Real {
    /// valkey-server 9.1: the oracle for replies and for the metadata of commands.
    pub fn valkey(args: &[&str]) -> Server {
        Real::redis_like("valkey-server", args)
    }

    /// redis-server 7.0.
    pub fn redis(args: &[&str]) -> Server {
        Real::redis_like("redis-server", args)
    }

    /// memcached 1.6.
    pub fn memcached(args: &[&str]) -> Server {
        let port = free_port().to_string();
        let mut command = Command::new(program("memcached"));
        command.args(["-p", &port, "-l", "127.0.0.1", "-U", "0", "-u", "root"]).args(args);
        // Its own threads hold items for moments, in which DECR answers in another way.
        command.args(["-o", "no_lru_maintainer,no_lru_crawler"]);
        let mut server = Server::spawn(&mut command, Dir::new("memcached"));
        server.memcached = format!("127.0.0.1:{port}");
        server.await_ready(|server| greets(&server.memcached, b"version\r\n", &["VERSION "]));
        server.telling = false;
        server
    }

    /// A valkey-server that is a whole cluster by itself.
    pub fn valkey_cluster() -> Server {
        let server = Real::valkey(&["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]);
        let mut conn = Conn::open(&server.resp);
        assert_eq!(conn.cmd(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).text(), "OK");
        wait_for("the cluster to be ok", DEADLINE, || {
            conn.cmd(&["CLUSTER", "INFO"]).text().contains("cluster_state:ok").then_some(())
        });
        server
    }

    fn redis_like(name: &str, args: &[&str]) -> Server {
        let port = free_port().to_string();
        let dir = Dir::new(name);
        let mut command = Command::new(program(name));
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"]);
        command.arg("--dir").arg(&dir.0).args(args);
        let mut server = Server::spawn(&mut command, dir);
        server.resp = format!("127.0.0.1:{port}");
        server.await_ready(|server| greets(&server.resp, b"PING\r\n", &["+PONG", "-NOAUTH"]));
        server.telling = false;
        server
    }
}

impl Subject {
    /// Whether it is Swell itself that is tested.
    pub fn is_swell() -> bool {
        std::env::var_os("SWELL_SUBJECT").is_none()
    }

    /// Its name in the transcripts' tags.
    pub fn name() -> &'static str {
        if Subject::is_swell() { "swell" } else { "valkey" }
    }

    /// What speaks RESP.
    pub fn resp() -> Server {
        Subject::resp_in(Topology::Embedded)
    }

    /// The same with its data there.
    pub fn resp_in(topology: Topology) -> Server {
        Subject::resp_with(topology, &[])
    }

    /// The same with options that all of them know.
    pub fn resp_with(topology: Topology, args: &[&str]) -> Server {
        if Subject::is_swell() { topology.start(args) } else { Real::valkey(args) }
    }

    /// What speaks RESP as a cluster.
    pub fn cluster_in(topology: Topology) -> Server {
        if Subject::is_swell() { topology.start(&[]) } else { Real::valkey_cluster() }
    }

    /// What speaks memcached.
    pub fn memcached_in(topology: Topology) -> Server {
        if Subject::is_swell() { topology.start(&[]) } else { Real::memcached(&[]) }
    }
}

impl Server {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new RESP connection.
    pub fn conn(&self) -> Conn {
        Conn::open(&self.resp)
    }

    /// Sends a signal by its short name, such as "TERM".
    pub fn signal(&self, name: &str) {
        let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status().unwrap();
        assert!(done.success(), "cannot send SIG{name}");
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn exited(&mut self, limit: Duration) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the process to end", limit, || child.try_wait().unwrap())
    }

    /// Where `swell serve` keeps what outlives it.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.0.join("data")
    }

    /// What the process has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.0.join("log")).unwrap_or_default()
    }

    /// A field of /proc/PID/status, such as "VmRSS", as a number (kilobytes where it is memory), of the process and its
    /// nodes together.
    pub fn proc_status(&self, field: &str) -> u64 {
        self.pids().into_iter().map(|pid| proc_number(&format!("/proc/{pid}/status"), field)).sum()
    }

    /// Voluntary context switches so far, of all threads.
    pub fn wake_ups(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        tasks
            .map(|task| proc_number(task.unwrap().path().join("status").to_str().unwrap(), "voluntary_ctxt_switches"))
            .sum()
    }

    /// The process and, where these are others, those of its nodes.
    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.pid()];
        if self.topology != Topology::Embedded {
            pids.extend(nodes(&self.link).iter().map(|node| node.pid));
        }
        pids
    }

    fn spawn(command: &mut Command, dir: Dir) -> Server {
        let log = File::create(dir.0.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|why| panic!("cannot start {command:?}: {why}"));
        let (resp, memcached, http, link) = Default::default();
        Server { resp, memcached, http, link, topology: Topology::Embedded, mover: None, child, dir, telling: true }
    }

    fn await_ready<T>(&mut self, mut look: impl FnMut(&Server) -> Option<T>) -> T {
        wait_for("a server to be ready", DEADLINE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("a server ended instead of becoming ready: {status}");
            }
            look(self)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() && self.telling {
            let log = self.log();
            let lines: Vec<String> = log.lines().map(|line| line.chars().take(LOG_WIDTH).collect()).collect();
            eprintln!(
                "--- log of process {}\n{}",
                self.pid(),
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            );
        }
        if let Some(mover) = &self.mover {
            mover.begin_to_stop();
        }
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        match self.mover.take().map_or(Ok(()), Mover::stop) {
            Err(why) if std::thread::panicking() => eprintln!("--- {why}"),
            moved => moved.expect("slots move all the time"),
        }
    }
}

/// A folder that goes away with its value.
pub struct Dir(PathBuf);

impl Dir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A fresh one whose name begins with `name`.
    pub fn new(name: &str) -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

/// Where such folders are: in memory where there is a place for that. A build that has just ended keeps a disk busy for
/// seconds, and a store that waits for it would be what the tests measure.
fn folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let is_usable = memory.is_dir() && std::fs::metadata(memory).is_ok_and(|data| !data.permissions().readonly());
    if is_usable { memory.join("swell-tests") } else { PathBuf::from(env!("CARGO_TARGET_TMPDIR")) }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What cannot be removed stays in the target folder and harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port for a server that cannot choose one by itself. The short connection leaves it in TIME_WAIT, where the
/// kernel gives it to nobody who did not ask for it by number.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let _client = TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    address.port()
}

/// Whether who listens there answers a request as expected. A mere connection would prove nothing: to a port that
/// nobody listens on, the kernel may connect a socket with itself.
fn greets(addr: &str, request: &[u8], answers: &[&str]) -> Option<()> {
    let mut conn = Conn::try_open(addr).ok()?;
    conn.send(request);
    let line = conn.line().ok()?;
    answers.iter().any(|answer| line.starts_with(answer.as_bytes())).then_some(())
}

fn proc_number(path: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_else(|| panic!("no {field} in {path}"))
}
