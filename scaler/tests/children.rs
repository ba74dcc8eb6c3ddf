//! Nodes as child processes. The child is this test binary again, by way of a small script.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use swell_node::control::{Answer, Ask, Join, Role};
use swell_node::link::hello::{Hello, Purpose};
use swell_node::link::socket::Address;
use swell_ring::{NodeId, SlotSet};
use swell_scaler::{ProcessConfig, Scaler, ScalerConfig, ScalerError};

use crate::fake::{BOUND, FakeNode, Folder, SECRET, greet, join, person};

/// Set for children: what they were called with.
const CALLED: &str = "SWELL_TEST_CALLED";
/// Set for a parent that is to be killed: its folder.
const PARENT: &str = "SWELL_TEST_PARENT";

/// A program that is a node: it notes its arguments, and becomes [`a_child`].
pub fn program(folder: &Folder) -> PathBuf {
    let path = folder.path().join("program");
    let binary = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$*\" > {0}/called-$$\n{CALLED}=\"$*\" exec {1} --exact --ignored --nocapture children::a_child\n",
        folder.path().display(),
        binary.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn config(folder: &Folder, binary: PathBuf, count: usize) -> ScalerConfig {
    let extra_args = ["--zone", "z9"].map(str::to_owned).to_vec();
    let process =
        ProcessConfig { binary, count, run_dir: folder.path().join("run"), extra_args, ..ProcessConfig::default() };
    ScalerConfig { process: Some(process), ..folder.config() }
}

fn started(count: usize) -> (Folder, Scaler) {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, program(&folder), count)).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    (folder, scaler)
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !is_so() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::yield_now();
    }
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Files in a folder whose names begin so.
fn files(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).collect()
}

#[test]
#[ignore = "other tests start it as a process of its own"]
fn a_child() {
    let called = std::env::var(CALLED).expect("who started this?");
    let args: Vec<&str> = called.split(' ').collect();
    let after = |name: &str| args.iter().position(|arg| *arg == name).map(|at| args[at + 1]).unwrap_or_default();
    let address: Address = after("--join").parse().unwrap();
    let token = std::env::var("SWELL_TOKEN").unwrap();
    if args.contains(&"--leave-with-stdin") {
        std::thread::spawn(|| {
            let mut rest = Vec::new();
            std::io::stdin().read_to_end(&mut rest).unwrap();
            let Address::Unix(own) = own_address() else { panic!("children have Unix sockets") };
            std::fs::write(own.with_extension("left"), "").unwrap();
            std::process::exit(0);
        });
    }
    let (peer, _) = greet(&address, &Hello::new(Purpose::Control, &token, None));
    let boot = std::process::id().to_string();
    let (advertise, zone) = (own_address().to_string(), after("--zone").to_owned());
    let join = Join { role: Role::Node, advertise, zone, pid: std::process::id(), boot, id: None };
    if FakeNode::join_by(peer, join).serve() {
        return;
    }
    // The scaler is gone: the pipe's end comes too.
    loop {
        std::thread::park();
    }
}

fn own_address() -> Address {
    let called = std::env::var(CALLED).unwrap();
    let mut args = called.split(' ').skip_while(|arg| *arg != "--advertise");
    args.nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "other tests start it as a process of its own"]
fn a_parent() {
    let folder = PathBuf::from(std::env::var(PARENT).expect("who started this?"));
    let process = ProcessConfig {
        binary: folder.join("program"),
        count: 2,
        run_dir: folder.join("run"),
        ..ProcessConfig::default()
    };
    let listen = Address::Unix(folder.join("parent.sock"));
    let own = Folder::new();
    let scaler = Scaler::start(ScalerConfig { listen, process: Some(process), ..own.config() }).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    std::fs::write(folder.join("ready"), "").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn all_join_and_share_the_slots() {
    let (folder, scaler) = started(3);
    let mut asker = person(&scaler);
    let lines = asker.nodes();
    assert_eq!(lines.iter().map(|line| line.slots).sum::<u32>(), 16384);
    assert!(lines.iter().all(|line| line.slots > 4000 && line.zone == "z9" && line.state == "serving"), "{lines:?}");
    let calls = files(folder.path(), "called-");
    assert_eq!(calls.len(), 3);
    for call in calls {
        let words = std::fs::read_to_string(call).unwrap();
        let words: Vec<&str> = words.split_whitespace().collect();
        let [node, join, at, advertise, own, leave, zone, z9] = words[..] else { panic!("{words:?}") };
        assert_eq!([node, join, advertise, leave], ["node", "--join", "--advertise", "--leave-with-stdin"]);
        assert_eq!([at, zone, z9], [&scaler.address().to_string(), "--zone", "z9"]);
        assert!(lines.iter().any(|line| line.address == own), "{own}");
    }
    // A node that comes later waits until somebody moves slots to it.
    assert_eq!(FakeNode::join(&scaler, join("later")).map.slots_of(NodeId(4)), SlotSet::new());
}

#[test]
fn a_child_that_is_killed_is_noticed_at_once_and_replaced() {
    let (_folder, scaler) = started(2);
    let mut asker = person(&scaler);
    let victim = asker.nodes().remove(0);
    let other = NodeId(3 - victim.id.0);
    let at = Instant::now();
    kill(victim.pid);
    let event = asker.event_with("was killed by signal 9; another starts in 100 ms");
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
    assert!(event.text.contains(&format!("node {} is gone", victim.id)), "{}", event.text);
    asker.event_with(&format!("what it held of {} slots is lost", victim.slots));
    let map = asker.map_until("a new owner", |map| map.node(victim.id).is_none() && map.orphans().is_empty());
    assert_eq!(map.slots_of(other), SlotSet::all());
    assert!(!lives(victim.pid), "it was reaped");
    let map = asker.map_until("a replacement", |map| map.node(NodeId(3)).is_some());
    assert_eq!(map.slots_of(NodeId(3)), SlotSet::new(), "slots move only when somebody moves them");
}

#[test]
fn the_replacement_of_the_only_node_gets_everything() {
    let (_folder, scaler) = started(1);
    let mut asker = person(&scaler);
    let first = asker.nodes().remove(0);
    let since = asker.map().since(swell_ring::slot_of(b"k"));
    kill(first.pid);
    let map = asker.map_until("the next node", |map| map.slots_of(NodeId(2)) == SlotSet::all());
    assert!(map.since(swell_ring::slot_of(b"k")) > since, "it begins empty");
}

#[test]
fn a_program_that_fails_is_started_again_more_and_more_slowly() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, PathBuf::from("false"), 1)).unwrap();
    let mut asker = person(&scaler);
    for again in [100, 200, 400] {
        asker.event_with(&format!("ended with status 1 and was no node yet; another starts in {again} ms"));
    }
    let why = scaler.wait_ready(Duration::ZERO).unwrap_err();
    assert!(matches!(why, ScalerError::NotReady { .. }));
    assert!(why.to_string().contains("0 of 1 nodes have joined"), "{why}");
}

#[test]
fn a_program_that_is_not_there_is_said() {
    let folder = Folder::new();
    let scaler = Scaler::start(config(&folder, folder.path().join("nothing"), 1)).unwrap();
    person(&scaler).event_with("cannot start a node");
}

#[test]
fn children_end_when_the_scaler_stops() {
    let (folder, scaler) = started(2);
    let pids: Vec<u32> = person(&scaler).nodes().iter().map(|line| line.pid).collect();
    scaler.stop();
    assert!(!pids.into_iter().any(lives), "all were reaped");
    assert_eq!(files(&folder.path().join("run"), "node-").len(), 2, "both left when the pipe was closed");
}

#[test]
fn children_end_when_their_parent_is_killed() {
    let folder = Folder::new();
    program(&folder);
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "children::a_parent"])
        .env(PARENT, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("two children", || folder.path().join("ready").exists());
    kill(parent.id());
    parent.wait().unwrap();
    wait_for("their end", || files(&folder.path().join("run"), "node-").len() == 2);
}

#[test]
fn a_drained_child_has_no_successor() {
    let (_folder, scaler) = started(2);
    let mut asker = person(&scaler);
    let pid = asker.nodes()[0].pid;
    assert!(matches!(asker.ask(Ask::Drain { node: NodeId(1) }), Answer::Done(_)));
    let map = asker.map_until("a map without node 1", |map| map.node(NodeId(1)).is_none());
    assert_eq!(map.slots_of(NodeId(2)), SlotSet::all());
    wait_for("its end", || !lives(pid));
    let events = asker.events();
    assert!(!events.iter().any(|event| event.text.contains("another starts")), "{events:#?}");
}

#[test]
fn a_guest_whose_process_has_ended_is_gone() {
    let folder = Folder::new();
    let scaler = folder.start();
    let own = folder.path().join("guest.sock");
    let mut guest = Command::new(program(&folder))
        .args(["node", "--join", &scaler.address().to_string(), "--advertise", &format!("unix:{}", own.display())])
        .env("SWELL_TOKEN", SECRET)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut asker = person(&scaler);
    asker.map_until("the guest", |map| map.slots_of(NodeId(1)) == SlotSet::all());
    let two = FakeNode::join(&scaler, join("two"));
    assert_eq!(two.map.slots_of(two.id), SlotSet::new());
    kill(guest.id());
    guest.wait().unwrap();
    let map = asker.map_until("a new owner", |map| map.slots_of(two.id) == SlotSet::all());
    assert!(map.node(NodeId(1)).is_none());
    asker.event_with("node 1 is gone: its process has ended");
}
