//! Who may join, which number a node gets, and who hears of it.

use std::time::Instant;

use swell_node::control::{Ask, FromMember, Join, Role, ToMember};
use swell_node::link::hello::{Answer as Greeting, Hello, Purpose, Refused};
use swell_node::link::socket::Address;
use swell_ring::{Member, NodeId, SlotSet};
use swell_scaler::{Scaler, ScalerConfig, ScalerError};

use crate::fake::{BOUND, FakeNode, Folder, SECRET, greet, join, person, proxy, stranger};

#[test]
fn only_those_who_know_the_secret_come_in() {
    let folder = Folder::new();
    let scaler = folder.start();
    for secret in ["", "open", "open sesam!"] {
        let (mut peer, answer) = greet(scaler.address(), &Hello::new(Purpose::Control, secret, None));
        assert_eq!(answer, Some(Greeting::Refused { why: Refused::Secret }), "'{secret}'");
        assert!(peer.is_closed());
    }
    let (_, answer) = greet(scaler.address(), &Hello::new(Purpose::Stream, SECRET, None));
    assert_eq!(answer, Some(Greeting::Refused { why: Refused::Purpose(Purpose::Stream) }));
    let future = Hello { protocol: 9, protocol_min: 8, ..Hello::new(Purpose::Control, SECRET, None) };
    let (_, answer) = greet(scaler.address(), &future);
    assert_eq!(answer, Some(Greeting::Refused { why: Refused::Protocol(8, 9) }));
    stranger(&scaler);
}

#[test]
fn without_a_secret_only_a_unix_socket_will_do() {
    let folder = Folder::new();
    let config = ScalerConfig { listen: "127.0.0.1:0".parse().unwrap(), secret: String::new(), ..folder.config() };
    assert!(matches!(Scaler::start(config.clone()), Err(ScalerError::NoSecret(_))));
    let scaler = Scaler::start(ScalerConfig { secret: SECRET.to_owned(), ..config }).unwrap();
    let Address::Tcp(address) = scaler.address() else { panic!("{}", scaler.address()) };
    assert!(!address.ends_with(":0"), "{address} has the port that was chosen");
}

#[test]
fn an_address_in_use_is_said() {
    let folder = Folder::new();
    let _first = folder.start();
    let why = Scaler::start(folder.config()).unwrap_err();
    assert!(matches!(why, ScalerError::Listen(..)), "{why}");
}

#[test]
fn the_first_node_gets_every_slot_and_the_next_ones_none() {
    let folder = Folder::new();
    let scaler = folder.start();
    let mut one = stranger(&scaler);
    let welcome = one.join(join("one")).unwrap();
    assert_eq!((welcome.id, welcome.hash_seed), (Some(NodeId(1)), 42));
    assert_eq!(welcome.virtual_node, "0".repeat(40));
    assert_eq!(welcome.map.slots_of(NodeId(1)), SlotSet::all());
    let two = FakeNode::join(&scaler, join("two"));
    assert_eq!((two.id, two.map.slots_of(NodeId(1)).len()), (NodeId(2), 16384));
    let map = one.map_where("a map with node 2", |map| map.node(NodeId(2)).is_some());
    assert!(map.epoch() > welcome.map.epoch());
    let lines = person(&scaler).nodes();
    let states: Vec<(u32, &str, u32)> = lines.iter().map(|line| (line.id.0, line.state.as_str(), line.slots)).collect();
    assert_eq!(states, [(1, "serving", 16384), (2, "empty", 0)]);
    assert_eq!((lines[0].zone.as_str(), lines[0].pid), ("z1", std::process::id()));
}

#[test]
fn a_node_that_joins_again_keeps_its_number_and_its_slots() {
    let folder = Folder::new();
    let scaler = folder.start();
    let one = FakeNode::join(&scaler, join("one"));
    let two = FakeNode::join(&scaler, join("two"));
    let (id, since) = (one.id, one.map.since(swell_ring::slot_of(b"k")));
    drop(one);
    let again = FakeNode::join(&scaler, Join { id: Some(id), ..join("one") });
    assert_eq!((again.id, again.map.since(swell_ring::slot_of(b"k"))), (id, since));
    assert_eq!(again.map.slots_of(id), SlotSet::all());
    // The other link of the same start was not closed yet: the newer one counts.
    let newer = FakeNode::join(&scaler, Join { id: Some(id), ..join("one") });
    assert_eq!(newer.id, id);
    // Another start of a process has lost what it held: it is another node.
    drop(two);
    let other = FakeNode::join(&scaler, Join { id: Some(NodeId(2)), boot: "later".to_owned(), ..join("two") });
    assert_eq!(other.id, NodeId(3));
    let map = person(&scaler).map();
    assert_eq!(map.nodes().iter().map(|node| node.id.0).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_link_that_says_nonsense_is_closed_and_the_others_are_untouched() {
    let folder = Folder::new();
    let scaler = folder.start();
    let (mut proxy, _) = proxy(&scaler);
    let mut early = stranger(&scaler);
    early.say(&FromMember::Ask { id: 1, ask: Ask::Nodes });
    assert!(matches!(early.hear(), Some(ToMember::Refused { .. })));
    assert!(early.is_closed());
    let mut homeless = stranger(&scaler);
    let why = homeless.join(Join { advertise: "nowhere".to_owned(), ..join("x") }).unwrap_err();
    assert!(why.contains("'nowhere' is no address"), "{why}");
    assert!(homeless.is_closed());
    proxy.say(&FromMember::Stats(Box::default()));
    assert!(proxy.is_closed(), "proxies have no such statistics");
    assert!(person(&scaler).nodes().is_empty());
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let folder = Folder::new();
    let scaler = folder.start();
    let _one = FakeNode::join(&scaler, join("one"));
    let why = stranger(&scaler).join(Join { boot: "other".to_owned(), ..join("one") }).unwrap_err();
    assert!(why.contains("node 1 is at unix:/run/one.sock already"), "{why}");
}

#[test]
fn the_node_of_the_scalers_own_process_owns_everything_from_the_start() {
    let folder = Folder::new();
    let member = Member { id: NodeId(1), address: "unix:/run/own.sock".to_owned(), zone: "z".to_owned() };
    let scaler = Scaler::start(ScalerConfig { embedded: Some(member), ..folder.config() }).unwrap();
    scaler.wait_ready(BOUND).unwrap();
    assert_eq!(person(&scaler).map().slots_of(NodeId(1)), SlotSet::all());
    let two = FakeNode::join(&scaler, join("two"));
    assert_eq!(two.id, NodeId(2));
    let own = FakeNode::join(&scaler, join("own"));
    assert_eq!((own.id, own.map.slots_of(NodeId(1)).len()), (NodeId(1), 16384));
    let stranger_there = stranger(&scaler).join(Join { pid: 1, ..join("own") });
    assert!(stranger_there.is_err());
}

#[test]
fn members_that_read_nothing_are_dropped() {
    let folder = Folder::new();
    let scaler = folder.start();
    let began = Instant::now();
    let (mut hanging, _) = proxy(&scaler);
    let mut one = FakeNode::join(&scaler, join("one"));
    let mut watcher = person(&scaler);
    // One for each change: all are answered at once when the hanging proxy is given up.
    let mut askers = Vec::new();
    let value = "x".repeat(900_000);
    // Each change is pushed to all; nobody waits for the one that does not read.
    for base in one.state.version.. {
        let entries = vec![("value".to_owned(), value.clone())];
        let mut asker = person(&scaler);
        asker.ask_only(Ask::ChangeState { base, entries });
        askers.push(asker);
        let ToMember::State(state) = one.peer.hear_until("the state", |it| match it {
            ToMember::State(_) => Some(it.clone()),
            _ => None,
        }) else {
            unreachable!("that is what was waited for");
        };
        one.peer.seen(&one.map.clone(), state.version);
        if watcher.nodes().len() == 1 && watcher.events().iter().any(|event| event.text.contains("proxy is lost")) {
            break;
        }
        assert!(began.elapsed() < BOUND, "the proxy that reads nothing is still there");
    }
    assert!(hanging.is_closed());
}

#[test]
fn people_are_told_of_no_maps() {
    let folder = Folder::new();
    let scaler = folder.start();
    let mut asker = stranger(&scaler);
    asker.join(Join { role: Role::Person, advertise: String::new(), ..join("person") }).unwrap();
    let _one = FakeNode::join(&scaler, join("one"));
    assert_eq!(asker.map().slots_of(NodeId(1)).len(), 16384);
    let number = asker.ask_only(Ask::Nodes);
    assert!(matches!(asker.hear(), Some(ToMember::Answer { id, .. }) if id == number));
}
