//! Nodes that live and do not answer: stopped ones, which hold their links open.

use std::process::{Child, Command, Stdio};

use swell_node::control::{Answer, Ask};
use swell_ring::{NodeId, SlotSet};
use swell_scaler::lost::SILENCE_MAX;

use super::apart::{asking, event_with, has_ended, has_event, map, signal};
use crate::harness::{DEADLINE, Server, Swell, nodes, wait_for};

/// A node that somebody has started by hand; it ends with the value.
struct Guest(Child);

impl Guest {
    fn join(server: &Server) -> Guest {
        let mut command: Command = Swell::command();
        command.args(["node", "--workers", "1", "--log-level", "error", "--join", &server.link]);
        Guest(command.stdout(Stdio::null()).spawn().expect("the binary runs"))
    }

    fn id(&self, server: &Server) -> NodeId {
        let of = || nodes(&server.link).into_iter().find(|line| line.pid == self.0.id());
        wait_for("a node that was started by hand", DEADLINE, of).id
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A stopped one ends by that as well.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn state(server: &Server, id: NodeId) -> String {
    nodes(&server.link).into_iter().find(|line| line.id == id).map_or_else(String::new, |line| line.state)
}

fn move_to(server: &Server, slots: &str, to: NodeId) -> SlotSet {
    let slots: SlotSet = slots.parse().expect("they are slots");
    let done = asking(server).ask(Ask::Move { slots: slots.clone(), to }).expect("slots can be moved");
    assert!(matches!(done, Answer::Done(_)), "{done:?}");
    slots
}

#[test]
fn a_stopped_child_is_killed_and_its_slots_are_served_by_others() {
    let args = ["--first-node", "process", "--nodes-min", "2", "--nodes-max", "2", "--node-workers", "1"];
    let server = Swell::start(&args);
    let mut conn = server.conn();
    let keys = || (0..64).map(|key| format!("key:{key}"));
    keys().for_each(|key| assert_eq!(conn.cmd(&["SET", &key, "before"]).text(), "OK"));
    let victim = nodes(&server.link).pop().expect("there are two");
    signal(victim.pid, "STOP");
    let words =
        format!("node {} (process {}) has not answered for {SILENCE_MAX:?}: it is killed", victim.id, victim.pid);
    let limit = SILENCE_MAX + DEADLINE;
    wait_for("a word about the stopped node", limit, || has_event(&server, &words).then_some(()));
    let gone = format!("node {} is gone: process {} was killed by signal 9", victim.id, victim.pid);
    wait_for("its end", DEADLINE, || has_event(&server, &gone).then_some(()));
    assert!(has_ended(victim.pid), "no slot is given away before that");
    wait_for("another one in its place", DEADLINE, || {
        let map = map(&server);
        let is_over = map.node(victim.id).is_none() && map.orphans().is_empty() && nodes(&server.link).len() == 2;
        is_over.then_some(())
    });
    // The connection's own requests to the stopped node are over as well.
    keys().for_each(|key| assert_eq!(conn.cmd(&["SET", &key, "after"]).text(), "OK"));
    keys().for_each(|key| assert_eq!(conn.cmd(&["GET", &key]).text(), "after"));
}

#[test]
fn a_stopped_node_that_somebody_else_has_started_keeps_its_slots_until_somebody_drains_it() {
    let server = Swell::start(&["--nodes-max", "3", "--node-workers", "1"]);
    let guests = [Guest::join(&server), Guest::join(&server)];
    let [stays, goes] = [0, 1].map(|at: usize| guests[at].id(&server));
    let slots = [move_to(&server, "0-99", stays), move_to(&server, "100-199", goes)];
    guests.iter().for_each(|guest| signal(guest.0.id(), "STOP"));
    let limit = SILENCE_MAX + DEADLINE;
    for id in [stays, goes] {
        let words =
            [format!("node {id} ("), format!("has not answered for {SILENCE_MAX:?} or longer; the scaler does not")];
        let event = wait_for("a word about the stopped node", limit, || event_with(&server, &words));
        assert!(
            event.ends_with(&format!("it keeps its 100 slots: end it, or give it up with `swell drain {id}`")),
            "{event}"
        );
        assert_eq!(state(&server, id), "silent");
    }
    assert_eq!([stays, goes].map(|id| map(&server).slots_of(id)), slots);
    assert!(!guests.iter().any(|guest| has_ended(guest.0.id())), "they are not ours to end");
    let drained = asking(&server).ask(Ask::Drain { node: goes }).expect("the scaler answers");
    let Answer::Done(progress) = drained else { panic!("{drained:?}") };
    assert!(progress.note.contains("its slots begin empty at the others"), "{progress:?}");
    assert!(map(&server).node(goes).is_none() && map(&server).orphans().is_empty());
    signal(guests[0].0.id(), "CONT");
    let answers = [format!("node {stays} answers again")];
    wait_for("it to answer", DEADLINE, || event_with(&server, &answers));
    assert_eq!(state(&server, stays), "serving");
    // The other one comes to know that its slots are elsewhere, and ends.
    signal(guests[1].0.id(), "CONT");
    wait_for("it to end", DEADLINE, || has_ended(guests[1].0.id()).then_some(()));
    wait_for("two nodes", DEADLINE, || (nodes(&server.link).len() == 2).then_some(()));
    assert_eq!(map(&server).orphans(), SlotSet::new());
}
