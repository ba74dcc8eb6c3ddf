//! `swell loadtest bench`: Swell beside other cache servers, under the same load on the same core.

pub mod args;
pub mod client;
pub mod cluster;
pub mod commands;
pub mod dialect;
pub mod driver;
pub mod elements;
pub mod handoff;
pub mod hitratio;
pub mod hog;
pub mod isolation;
pub mod memory;
pub mod moving;
pub mod neighbours;
pub mod openloop;
pub mod peer;
pub mod proc;
pub mod replies;
pub mod report;
pub mod startup;
pub mod stats;
pub mod subscribers;
pub mod sys;
pub mod template;
pub mod throughput;

use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

pub use self::args::{BenchArgs, Protocol, Test};
use self::peer::{Server, StartOptions};
use self::proc::Machine;
use self::report::{Environment, Report, ServerInfo};
use self::template::PeerSpec;
use crate::workload::KEY_BYTES;

/// What all tests share: the options, the servers' command lines and the clock of the progress lines.
pub struct Bench<'a> {
    pub args: &'a BenchArgs,
    /// The peers in their order, then the subject.
    pub specs: Vec<PeerSpec>,
    began: Instant,
}

/// Measures what `args` ask for, prints the tables to standard output and progress to standard error.
///
/// Errors when a server cannot be started or fails under load (after printing what was measured until then), and, in
/// the end, when any server gave a wrong, missing or error reply.
pub fn run(args: BenchArgs) -> Result<()> {
    let bench = Bench::new(&args)?;
    sys::catch_interrupts().context("cannot catch Ctrl-C")?;
    let wanted = args.connections.max(args.idle_connections) as u64 + OPEN_FILES_SPARE;
    sys::raise_open_files(wanted).context("cannot raise the limit of open files")?;
    sys::remember_cores().context("cannot read the cores that this process may use")?;
    sys::require_core(args.server_cpu, "--server-cpu")?;
    sys::require_core(args.load_cpu, "--load-cpu")?;
    let mut report = Report::new(environment(&args));
    if args.server_cpu == args.load_cpu || args.server_cpu == sys::Core::Any || args.load_cpu == sys::Core::Any {
        report.warn("servers and load generator do not have a core each; compare CPU time only".to_owned());
    }
    let measured = bench.measure_pinned(&mut report);
    println!("{}", report.markdown());
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    measured?;
    if !report.failures.is_empty() {
        bail!("{} of the measurements failed: {}", report.failures.len(), report.failures.join("; "));
    }
    Ok(())
}

impl<'a> Bench<'a> {
    fn new(args: &'a BenchArgs) -> Result<Bench<'a>> {
        let subject = args.subject.clone().unwrap_or_else(|| PeerSpec::this_swell(args.protocol));
        let specs: Vec<PeerSpec> = args.peers.iter().cloned().chain([subject]).collect();
        for (at, spec) in specs.iter().enumerate() {
            if specs[..at].iter().any(|earlier| earlier.name == spec.name) {
                bail!("two servers are named {}; name one of them differently", spec.name);
            }
        }
        Ok(Bench { args, specs, began: Instant::now() })
    }

    /// Index of the server that the others are compared with: the first peer, if there is one.
    pub fn yardstick(&self) -> Option<usize> {
        (!self.args.peers.is_empty()).then_some(0)
    }

    /// The server that is to have nodes. Errors when the subject's command line does not say where its link is.
    pub fn cluster_spec(&self) -> Result<PeerSpec> {
        let spec = self.args.subject.clone().unwrap_or_else(PeerSpec::this_cluster);
        if !spec.has_link() {
            bail!("the command line of {} has no {{link}}, so its slots cannot be moved", spec.name);
        }
        Ok(spec)
    }

    /// Starts a server that may use half of the machine's memory, more than any test needs, and never evicts.
    pub fn start(&self, spec: &PeerSpec, report: &mut Report) -> Result<Server> {
        let half = report.environment.machine.memory_bytes / 2;
        self.start_limited(spec, report, half, "noeviction")
    }

    /// Starts a server whose command line is filled with this memory limit and policy, and notes what it is.
    pub fn start_limited(&self, spec: &PeerSpec, report: &mut Report, maxmemory: u64, policy: &str) -> Result<Server> {
        let options = StartOptions {
            protocol: self.args.protocol,
            core: self.args.server_cpu,
            nice: self.args.nice,
            maxmemory_bytes: maxmemory,
            policy: policy.to_owned(),
            ready_wait: Duration::from_secs_f64(self.args.ready_seconds),
        };
        let server = Server::start(spec, &options)?;
        if report.servers.iter().all(|known| known.name != server.name) {
            let yardstick = self.yardstick().is_some_and(|at| self.specs[at].name == server.name);
            report.servers.push(ServerInfo {
                name: server.name.clone(),
                version: server.version.clone(),
                protocol: server.protocol,
                command_line: spec.command_line.clone(),
                yardstick,
            });
        }
        Ok(server)
    }

    /// A line for whoever waits.
    pub fn progress(&self, line: &str) {
        eprintln!("[{:6.1} s] {line}", self.began.elapsed().as_secs_f64());
    }

    /// Measures on the core and with the niceness asked for; the caller's thread gets its own back.
    fn measure_pinned(&self, report: &mut Report) -> Result<()> {
        sys::pin_current_thread(self.args.load_cpu).context("cannot pin the load generator")?;
        if let Some(nice) = self.args.nice {
            be_nice(nice).with_context(|| format!("--nice {nice} is not permitted"))?;
        }
        let measured = self.measure(report);
        sys::pin_current_thread(sys::Core::Any).context("cannot unpin the load generator")?;
        if self.args.nice.is_some_and(|nice| nice < 0) {
            be_nice(0).context("cannot reset the niceness")?;
        }
        measured
    }

    fn measure(&self, report: &mut Report) -> Result<()> {
        let asked = |test| self.args.tests.contains(&test);
        if asked(Test::Get) || asked(Test::Set) {
            throughput::measure(self, report)?;
        }
        if asked(Test::Commands) {
            commands::measure(self, report)?;
        }
        if asked(Test::Elements) {
            elements::measure(self, report)?;
        }
        if asked(Test::Memory) {
            memory::measure(self, report)?;
        }
        if asked(Test::Startup) {
            startup::measure(self, report)?;
        }
        if asked(Test::Handoff) {
            handoff::measure(self, report)?;
        }
        if asked(Test::HitRatio) {
            hitratio::measure(self, report)?;
        }
        if asked(Test::Move) {
            moving::measure(self, report)?;
        }
        if asked(Test::Isolation) {
            isolation::measure(self, report)?;
        }
        Ok(())
    }
}

/// Open files beyond one per connection: standard streams, epoll, servers' pipes and whatever the caller has open.
const OPEN_FILES_SPARE: u64 = 256;

/// Sets the niceness of this thread and of its session.
fn be_nice(nice: i32) -> std::io::Result<()> {
    sys::set_niceness(nice)?;
    sys::set_group_niceness(std::process::id(), nice)
}

fn environment(args: &BenchArgs) -> Environment {
    Environment {
        unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
        machine: Machine::read(),
        server_cpu: args.server_cpu,
        load_cpu: args.load_cpu,
        nice: args.nice,
        spin: args.spin,
        connections: args.connections,
        keys: args.keys,
        key_bytes: KEY_BYTES,
        value_bytes: args.value_bytes,
        rounds: args.rounds,
        seed: args.seed,
    }
}
