//! Nodes that are held to a share of a core by control groups, where these can be written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use swell::nodes::asking::Asking;
use swell_node::control::{Answer, Ask};
use swell_node::link::socket::Address;

use crate::harness::{DEADLINE, Server, Swell, nodes, wait_for};

/// A node may use a tenth of a core.
const CORES: f64 = 0.1;
/// CPU time of the node that is measured, in ticks of 10 ms.
const TICKS: u64 = 20;
/// Work of a batch of requests, so that the node is never without some.
const BATCH: usize = 2000;

fn events(server: &Server) -> Vec<String> {
    let address: Address = server.link.parse().expect("the ready file tells the link");
    let asked = Asking::begin(&address, "").and_then(|mut asking| asking.ask(Ask::Events { after: 0 }));
    match asked.expect("the scaler answers") {
        Answer::Events(events) => events.into_iter().map(|event| event.text).collect(),
        other => panic!("not what was asked: {other:?}"),
    }
}

/// The folders of the groups that a process is in, one of which is ours; in whichever version's place they are.
fn own_groups(pid: u32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let ours = text.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        path.rsplit('/').next()?.starts_with("swell-").then(|| (controllers.to_owned(), path.to_owned()))
    });
    let places = ours.flat_map(|(controllers, path)| {
        let folder = Path::new("/sys/fs/cgroup").join(controllers.trim_start_matches('/'));
        let below = path.trim_start_matches('/').to_owned();
        [folder.join(&below), Path::new("/sys/fs/cgroup").join(&below)]
    });
    places.filter(|place| place.is_dir()).collect()
}

/// CPU time of a process, user and system, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("the name is in brackets");
    rest.split_whitespace().skip(11).take(2).map(|number| number.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_node_gets_the_tenth_of_a_core_that_it_is_held_to() {
    let args = ["--first-node", "process", "--nodes-min", "1", "--nodes-max", "1", "--node-cpus", "0.1"];
    let mut server = Swell::start(&args);
    let said = events(&server);
    if let Some(why) = said.iter().find(|text| text.contains("nodes go without limits")) {
        return eprintln!("not measured: {why}");
    }
    assert!(said.iter().any(|text| text.contains("held to 0.1 cores (1000 us in every 10000)")), "{said:#?}");
    let pid = nodes(&server.link)[0].pid;
    let groups = own_groups(pid);
    assert!(!groups.is_empty(), "it is in a group of ours");
    let mut conn = server.conn();
    let batch = b"GET k\r\n".repeat(BATCH);
    let (began, before) = (Instant::now(), ticks(pid));
    let used = loop {
        conn.send(&batch);
        (0..BATCH).for_each(|_| assert!(!conn.reply().is_error()));
        let used = ticks(pid) - before;
        if used >= TICKS {
            break used;
        }
        assert!(began.elapsed() < 6 * DEADLINE, "it has used {used} ticks only");
    };
    let fair = Duration::from_millis(used * 10).div_f64(CORES);
    assert!(began.elapsed() >= fair.mul_f64(0.8), "{used} ticks in {:?}", began.elapsed());
    server.signal("TERM");
    server.exited(DEADLINE);
    wait_for("its group to be removed", DEADLINE, || groups.iter().all(|group| !group.exists()).then_some(()));
}
