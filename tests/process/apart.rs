//! The scaler as a process of its own, which may be killed while clients are served; and nodes that outlive their scaler.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use swell::nodes::asking::Asking;
use swell_node::control::{Answer, Ask, NodeLine};
use swell_node::link::socket::Address;
use swell_ring::{NodeId, SlotMap, SlotSet};

use crate::harness::{Conn, DEADLINE, Dir, Reply, Server, Swell, nodes, wait_for};

/// Clients that write and read all the time, and the keys of each.
const CLIENTS: usize = 4;
const KEYS: u64 = 50;
/// Requests of all clients without a scaler.
const REQUESTS_WITHOUT: u64 = 4000;
/// What a dead node may cost its slots.
const GONE_MAX: Duration = Duration::from_secs(2);

/// A data directory whose nodes end with the value.
pub(super) struct Data(Dir);

impl Data {
    pub(super) fn new() -> Data {
        Data(Dir::new("apart"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `swell scaler --down`: says whether it could.
    fn down(&self) -> bool {
        let done = Swell::command().args(["scaler", "--down", "--data-dir"]).arg(self.path()).output();
        done.is_ok_and(|output| output.status.success())
    }

    pub(super) fn scaler(&self) -> Server {
        self.scaler_with(&[])
    }

    pub(super) fn scaler_with(&self, more: &[&str]) -> Server {
        let args = ["--nodes-min", "2", "--nodes-max", "2", "--node-workers", "1"];
        Swell::start_at("scaler", self.path(), &[&args, more].concat())
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // The nodes that a failing test leaves; there may be none.
        self.down();
    }
}

pub(super) fn asking(server: &Server) -> Asking {
    let address: Address = server.link.parse().expect("the ready file tells the link");
    Asking::begin(&address, "").expect("the scaler listens")
}

pub(super) fn map(server: &Server) -> SlotMap {
    match asking(server).ask(Ask::Slots).expect("the scaler answers") {
        Answer::Slots(map) => map,
        other => panic!("not what was asked: {other:?}"),
    }
}

pub(super) fn has_event(server: &Server, words: &str) -> bool {
    event_with(server, &[words]).is_some()
}

/// The first event that has all these words.
pub(super) fn event_with(server: &Server, words: &[impl AsRef<str>]) -> Option<String> {
    let is_it = |text: &String| words.iter().all(|words| text.contains(words.as_ref()));
    match asking(server).ask(Ask::Events { after: 0 }).expect("the scaler answers") {
        Answer::Events(events) => events.into_iter().map(|event| event.text).find(is_it),
        other => panic!("not what was asked: {other:?}"),
    }
}

fn move_all(server: &Server, to: NodeId) {
    let done = asking(server).ask(Ask::Move { slots: SlotSet::all(), to }).expect("slots can be moved");
    let Answer::Done(progress) = done else { panic!("not an end: {done:?}") };
    assert_eq!(progress.slots_done, progress.slots_total, "{progress:?}");
}

fn by_id(lines: Vec<NodeLine>) -> BTreeMap<NodeId, u32> {
    lines.into_iter().map(|line| (line.id, line.pid)).collect()
}

pub(super) fn signal(pid: u32, name: &str) {
    let done = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().expect("sh runs");
    assert!(done.success(), "cannot send SIG{name} to {pid}");
}

pub(super) fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A process that its new parent has not reaped yet has ended all the same.
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('Z'))
}

/// Writes and reads its own keys and keeps a model of them. Returns the first answer that is wrong.
fn client(mut conn: Conn, number: usize, stop: &AtomicBool, requests: &AtomicU64) -> Result<(), String> {
    let mut model: BTreeMap<String, String> = BTreeMap::new();
    let mut round = 0;
    while !stop.load(Relaxed) {
        round += 1;
        let key = format!("client:{number}:{}", round % KEYS);
        let wanted = model.get(&key).map_or(Reply::NullBulk, |value| Reply::Bulk(value.clone().into_bytes()));
        let read = conn.cmd(&["GET", &key]);
        if read != wanted {
            return Err(format!("{key}: {read:?} instead of {wanted:?}"));
        }
        let written = conn.cmd(&["SET", &key, &round.to_string()]);
        if written != Reply::Simple("OK".to_owned()) {
            return Err(format!("{key}: {written:?}"));
        }
        model.insert(key, round.to_string());
        requests.fetch_add(2, Relaxed);
    }
    Ok(())
}

#[test]
fn killing_the_scaler_stops_no_request_and_the_next_one_takes_its_nodes_over() {
    let data = Data::new();
    let mut scaler = data.scaler();
    let proxy = Swell::join(&scaler, &[]);
    let before = by_id(nodes(&scaler.link));
    assert_eq!(before.len(), 2, "{before:?}");
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let served = |what: &str, count: u64| {
        let until = requests.load(Relaxed) + count;
        wait_for(what, DEADLINE, || (requests.load(Relaxed) >= until || stop.load(Relaxed)).then_some(()));
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (conn, stop, requests) = (proxy.conn(), &stop, &requests);
                scope.spawn(move || {
                    let ended =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client(conn, number, stop, requests)));
                    stop.store(true, Relaxed);
                    ended.unwrap_or_else(|_| Err("no reply".to_owned()))
                })
            })
            .collect();
        // What goes wrong here must end the clients as well.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            served("requests", 100);
            scaler.signal("KILL");
            scaler.exited(DEADLINE);
            served("requests without a scaler", REQUESTS_WITHOUT);
            let (mut person, asked) = (proxy.conn(), Instant::now());
            let refused = person.cmd(&["CONFIG", "SET", "maxmemory", "100mb"]);
            assert!(matches!(&refused, Reply::Error(why) if why.starts_with("TRYAGAIN ")), "{refused:?}");
            assert!(asked.elapsed() < Duration::from_secs(4), "it took {:?}", asked.elapsed());
            scaler = data.scaler();
            assert_eq!(by_id(nodes(&scaler.link)), before, "the same nodes in the same processes");
            assert!(has_event(&scaler, "was left by an earlier scaler and is taken over: node 1"));
            for to in before.keys() {
                move_all(&scaler, *to);
                served("requests at one node", 200);
            }
            wait_for("the proxy's link", DEADLINE, || {
                (!person.cmd(&["CONFIG", "SET", "maxmemory", "100mb"]).is_error()).then_some(())
            });
        }));
        let is_over_early = stop.swap(true, Relaxed);
        for client in clients {
            assert_eq!(client.join().expect("it does not panic"), Ok(()));
        }
        assert!(!is_over_early && played.is_ok(), "see above");
    });
    // A node that is no child of this scaler's is watched all the same.
    let (&victim, &pid) = before.last_key_value().expect("there are two");
    let at = Instant::now();
    signal(pid, "KILL");
    let has_gone = |map: &SlotMap| map.node(victim).is_none() && map.orphans().is_empty();
    wait_for("its slots to be with another", DEADLINE, || has_gone(&map(&scaler)).then_some(()));
    assert!(at.elapsed() < GONE_MAX, "{:?}", at.elapsed());
    assert_eq!(proxy.conn().cmd(&["SET", "k", "v"]).text(), "OK");
    wait_for("another node in its place", DEADLINE, || (nodes(&scaler.link).len() == 2).then_some(()));
    let living: Vec<u32> = by_id(nodes(&scaler.link)).into_values().collect();
    scaler.signal("TERM");
    assert_eq!(scaler.exited(DEADLINE).code(), Some(0));
    assert_eq!(proxy.conn().cmd(&["GET", "k"]).text(), "v");
    assert!(!living.iter().any(|pid| has_ended(*pid)), "they live on");
    assert!(data.down(), "they can be ended");
    assert!(living.into_iter().all(has_ended));
}

#[test]
fn nodes_that_outlive_their_scaler_are_not_killed_by_mistake() {
    let data = Data::new();
    let mut scaler = data.scaler();
    let living: Vec<u32> = by_id(nodes(&scaler.link)).into_values().collect();
    scaler.signal("KILL");
    scaler.exited(DEADLINE);
    let mut serve = Swell::command();
    serve.args(["serve", "--resp", "0", "--memcached", "off", "--http", "off", "--data-dir"]).arg(data.path());
    let refused = serve.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("2 nodes of a `swell scaler` still run") && said.contains("--down"), "{said}");
    assert!(!living.iter().any(|pid| has_ended(*pid)));
    assert!(data.down());
    assert!(living.into_iter().all(has_ended));
}

/// A process that is taken for a child of the server which had this data directory: what is written of it is what was
/// written of `like`, but for who it is. `late`: clock ticks by which its start is misremembered.
fn forge_child(data: &Path, like: u32, late: u64) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().expect("it runs");
    let folder = data.join("children");
    let text = std::fs::read_to_string(folder.join(format!("{like}.json"))).expect("children are remembered");
    let mut record: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name is in brackets");
    let start: u64 = rest.split_whitespace().nth(19).and_then(|number| number.parse().ok()).expect("it has a start");
    record["process"]["pid"] = child.id().into();
    record["process"]["start_ticks"] = (start + late).into();
    record["address"] = "unix:/nowhere/at.all".into();
    std::fs::write(folder.join(format!("{}.json", child.id())), record.to_string()).expect("it can be written");
    child
}

#[test]
fn children_that_a_killed_server_leaves_have_ended_before_their_slots_are_given_away() {
    let data = Data::new();
    let args = ["--first-node", "process", "--nodes-min", "2", "--nodes-max", "2", "--node-workers", "1"];
    let mut first = Swell::start_at("serve", data.path(), &args);
    let nodes_before: Vec<u32> = by_id(nodes(&first.link)).into_values().collect();
    // One that does not notice that its parent is gone; and one that has the number of a child which has ended.
    let mut left = forge_child(data.path(), nodes_before[0], 0);
    let mut other = forge_child(data.path(), nodes_before[0], 1);
    first.signal("KILL");
    first.exited(DEADLINE);
    let second = Swell::start_at("serve", data.path(), &args);
    let ended = [left.id(), other.id()].map(has_ended);
    let all_before = nodes_before.into_iter().all(has_ended);
    for child in [&mut left, &mut other] {
        // One of them was killed already.
        let _ = child.kill();
        child.wait().expect("it is ours");
    }
    assert_eq!((ended, all_before), ([true, false], true));
    assert_eq!(nodes(&second.link).len(), 2);
}

#[test]
fn a_scaler_needs_a_place_to_find_its_nodes_again() {
    let output = Swell::command().arg("scaler").output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("pass --data-dir DIR"), "{output:?}");
}
