//! Several nodes as people handle them: listing, moving slots, draining, events, secrets, children that end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use swell_ring::{NodeId, SLOTS, SlotMap, SlotSet, slot_of};

use crate::harness::{DEADLINE, Server, Swell, wait_for};

/// How long a server may take to be gone after SIGTERM.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// A server with people's commands for it.
struct Cluster {
    server: Server,
    link: String,
    token: &'static str,
}

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cluster {
    /// With this many nodes, the first of them embedded.
    fn start(nodes: &str, args: &[&str]) -> Cluster {
        let server = Swell::start(&[&["--nodes-min", nodes], args].concat());
        let log = server.log();
        let banner = log.lines().find(|line| line.starts_with("Swell "));
        let link = banner.and_then(|line| line.split_once(", link ")).map(|(_, link)| link.to_owned());
        let link = link.unwrap_or_else(|| panic!("the banner tells the link: {log}"));
        let token = args.iter().position(|arg| *arg == "--token").map_or("", |_| "geheim");
        Cluster { server, link, token }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Swell::command();
        command.args(args).args(["--link", &self.link]);
        if !self.token.is_empty() {
            command.env("SWELL_TOKEN", self.token);
        }
        command
    }

    fn said(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("the binary runs");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        let said = self.said(&[args, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"))
    }

    fn nodes(&self) -> Vec<Value> {
        self.json(&["nodes"]).as_array().expect("a list").clone()
    }

    fn map(&self) -> SlotMap {
        serde_json::from_value(self.json(&["slots"])).expect("it is a slot map")
    }

    /// A node that is a process of its own: its number and process id.
    fn child(&self) -> (u32, u32) {
        let nodes = self.nodes();
        let own = nodes.iter().find(|node| node["pid"] != self.server.pid()).expect("there is one");
        (number(&own["id"]), number(&own["pid"]))
    }
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("people read UTF-8")
}

fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A process that its new parent has not reaped yet has ended all the same.
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Checks that a command was refused with one sentence that has all of `words` in it.
fn refused(output: &Output, words: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

#[test]
fn three_nodes_are_listed_and_every_slot_has_an_owner() {
    let cluster = Cluster::start("3", &["--zone", "rack-1"]);
    let nodes = cluster.nodes();
    let pids: BTreeSet<u32> = nodes.iter().map(|node| number(&node["pid"])).collect();
    assert_eq!((nodes.len(), pids.len()), (3, 3), "three processes: {nodes:?}");
    assert!(pids.contains(&cluster.server.pid()) && pids.iter().all(|pid| is_there(*pid)));
    assert!(nodes.iter().all(|node| node["zone"] == "rack-1"), "{nodes:?}");
    assert_eq!(nodes.iter().map(|node| number(&node["slots"]) as usize).sum::<usize>(), SLOTS);
    let map = cluster.map();
    assert!(map.epoch().0 > 0 && map.orphans().is_empty());

    let table = cluster.said(&["nodes"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.lines().all(|line| line.contains("address") || line.contains("unix:")), "{table}");
    let slots = cluster.said(&["slots"]);
    assert!(slots.starts_with("epoch ") && slots.contains("100.0 %") | slots.contains("0-"), "{slots}");
}

#[test]
fn slots_move_with_their_keys_and_the_summary_counts_them() {
    let cluster = Cluster::start("2", &[]);
    let (child, _) = cluster.child();
    let mut conn = cluster.server.conn();
    for key in 0..100 {
        assert_eq!(conn.cmd(&["SET", &format!("{{tag}}{key}"), "value"]).text(), "OK");
    }
    let slot = slot_of(b"tag");
    let before = cluster.map();
    let moved = if before.owner(slot) == Some(NodeId(child)) { 1 } else { child };
    let (first, count) = (slot.number().saturating_sub(10), 21.min(SLOTS as u16 - slot.number() + 10));
    let range = format!("{first}-{}", first + count - 1);
    let done = cluster.json(&["move", &range, &moved.to_string()]);
    assert_eq!((&done["slots"], &done["slots_total"]), (&count.into(), &count.into()), "{done}");
    assert_eq!((&done["keys"], &done["sealed_us"]["count"]), (&100.into(), &done["commit_us"]["count"]), "{done}");
    assert!(done["sealed_us"]["count"].as_u64() >= Some(1) && done["seconds"].as_f64() > Some(0.0), "{done}");
    let after = cluster.map();
    let set: SlotSet = range.parse().expect("slots");
    assert!(after.epoch() > before.epoch() && set.iter().all(|slot| after.owner(slot) == Some(NodeId(moved))));

    let back = if moved == child { 1 } else { child };
    let said = cluster.said(&["move", &range, &back.to_string()]);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("moved {count} slots, 100 keys, ")) && last.contains("sealed p50 "), "{said}");
    assert_eq!(cluster.map().owner(slot), Some(NodeId(back)));
}

#[test]
fn a_drained_node_leaves_and_its_process_ends() {
    let cluster = Cluster::start("3", &[]);
    let (child, pid) = cluster.child();
    cluster.said(&["move", "100-163", &child.to_string()]);
    let drained = cluster.json(&["drain", &child.to_string()]);
    assert!(drained["slots"].as_u64() >= Some(64) && drained["slots"] == drained["slots_total"], "{drained}");
    wait_for("its process to end", DEADLINE, || (!is_there(pid)).then_some(()));
    wait_for("it to be off the list", DEADLINE, || {
        cluster.nodes().iter().all(|node| number(&node["id"]) != child).then_some(())
    });
    let map = cluster.map();
    assert!(map.orphans().is_empty() && map.slots_of(NodeId(child)).is_empty());
    let events = cluster.said(&["events"]);
    assert!(events.contains(&format!("node {child}")), "{events}");
}

#[test]
fn what_cannot_be_done_is_one_sentence() {
    let cluster = Cluster::start("2", &[]);
    let (child, _) = cluster.child();
    let child = child.to_string();
    let cases: [(&[&str], &[&str]); 6] = [
        (&["move", "0-16384", &child], &["0-16384", "slots are 0 to 16383"]),
        (&["move", "9-3", &child], &["9-3"]),
        (&["move", "all", &child], &["all"]),
        (&["move", ",", &child], &["no slots"]),
        (&["move", "0-5", "77"], &["there is no node 77", &child]),
        (&["drain", "77"], &["there is no node 77"]),
    ];
    for (args, words) in cases {
        refused(&cluster.command(args).output().expect("the binary runs"), words);
    }
    let mut nowhere = Swell::command();
    nowhere.args(["nodes", "--link", "unix:/nowhere/at-all.sock"]);
    refused(&nowhere.output().expect("the binary runs"), &["unix:/nowhere/at-all.sock", "no such socket"]);
}

#[test]
fn a_secret_is_asked_of_everybody_and_shown_to_nobody() {
    let cluster = Cluster::start("2", &["--token", "geheim"]);
    let (_, pid) = cluster.child();
    let shown = std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    assert!(!text(&shown).contains("geheim"), "{}", text(&shown));
    assert!(!cluster.server.log().contains("geheim"), "{}", cluster.server.log());
    for wrong in ["", "geheimer"] {
        let mut command = Swell::command();
        command.args(["nodes", "--link", &cluster.link, "--token", wrong]);
        refused(&command.output().expect("the binary runs"), &["cluster secret", "SWELL_TOKEN"]);
        let mut node = Swell::command();
        node.args(["node", "--join", &cluster.link, "--token", wrong]);
        refused(&node.output().expect("the binary runs"), &[&cluster.link, "cluster secret is wrong"]);
    }
    assert_eq!(cluster.nodes().len(), 2);
}

#[test]
fn a_link_over_tcp_needs_a_secret() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("one is free").port();
    let link = format!("127.0.0.1:{port}");
    let mut open = Swell::command();
    open.args(["serve", "--link", &link]);
    refused(&open.output().expect("the binary runs"), &[&link, "SWELL_TOKEN"]);
    let cluster = Cluster::start("1", &["--link", &link, "--token", "geheim"]);
    assert_eq!(cluster.link, link);
    let joined = guest(&cluster);
    wait_for("the guest to be a node", DEADLINE, || (cluster.nodes().len() == 2).then_some(()));
    let address = &cluster.nodes()[1]["address"];
    assert!(address.as_str().is_some_and(|address| address.starts_with("127.0.0.1:") && !address.ends_with(":0")));
    drop(joined);
}

#[test]
fn a_node_that_is_told_to_leaves_with_its_standard_input() {
    let cluster = Cluster::start("2", &[]);
    let mut node = guest(&cluster);
    wait_for("the guest to be a node", DEADLINE, || (cluster.nodes().len() == 3).then_some(()));
    drop(node.0.stdin.take());
    let status = wait_for("the node to end", DEADLINE, || node.0.try_wait().expect("it is ours"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn children_end_with_their_parent_however_it_ends() {
    for signal in ["TERM", "KILL"] {
        let mut cluster = Cluster::start("3", &[]);
        let own = cluster.server.pid();
        let pids: Vec<u32> =
            cluster.nodes().iter().map(|node| number(&node["pid"])).filter(|pid| *pid != own).collect();
        assert_eq!(pids.len(), 2);
        cluster.server.signal(signal);
        let status = cluster.server.exited(LEAVE_MAX);
        assert_eq!(status.success(), signal == "TERM", "{status}");
        wait_for("its children to end", DEADLINE, || pids.iter().all(|pid| !is_there(*pid)).then_some(()));
        let socket = cluster.link.strip_prefix("unix:").expect("it is a socket");
        assert_eq!(Path::new(socket).exists(), signal == "KILL", "{socket} goes when there is time for it");
        let mut nodes = Swell::command();
        nodes.args(["nodes", "--link", &cluster.link]);
        refused(&nodes.output().expect("the binary runs"), &[&cluster.link]);
    }
}

#[test]
fn a_killed_child_is_told_of_and_replaced() {
    let cluster = Cluster::start("2", &[]);
    let (child, pid) = cluster.child();
    cluster.said(&["move", "0-63", &child.to_string()]);
    let mut follow = cluster.command(&["events", "--follow"]);
    let mut follow = Running(follow.stdout(Stdio::piped()).spawn().expect("the binary runs"));
    let mut lines = BufReader::new(follow.0.stdout.take().expect("it is a pipe")).lines();
    let killed = Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status().expect("there is a shell");
    assert!(killed.success());
    let gone = format!("node {child} is gone");
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(&gone)));
    assert!(line.is_some(), "an event tells of it");
    let ids = wait_for("another node in its place", DEADLINE, || {
        let nodes = cluster.nodes();
        let ids: Vec<u32> = nodes.iter().map(|node| number(&node["id"])).collect();
        (ids.len() == 2 && !ids.contains(&child)).then_some(ids)
    });
    assert!(ids.iter().all(|id| *id != child), "a number is never given twice: {ids:?}");
    assert!(cluster.map().orphans().is_empty(), "its slots have new owners");
}

/// A node that joins from outside and leaves with its standard input.
fn guest(cluster: &Cluster) -> Running {
    let mut node = Swell::command();
    node.args(["node", "--join", &cluster.link, "--workers", "1", "--leave-with-stdin"]).stdin(Stdio::piped());
    if !cluster.token.is_empty() {
        node.env("SWELL_TOKEN", cluster.token);
    }
    Running(node.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs"))
}
