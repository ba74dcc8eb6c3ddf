//! Joining, following, leaving.

use std::sync::Arc;
use std::time::Instant;

use swell_engine::Outcome;
use swell_engine::gate::Refusal;
use swell_engine::stripe::stripe_of;
use swell_node::Node;
use swell_node::control::ToMember;
use swell_node::host::{EMBEDDED, Ended, HALF_OPEN_MAX, Host, HostError, STATS_IDLE_TICK, STATS_TICK};
use swell_node::link::frame::{self, Kind, PROTOCOL, ReplyHead, RequestHead, Status};
use swell_node::link::hello::{Answer, Hello, Purpose, Refused};
use swell_node::link::socket::{Address, Socket};
use swell_ring::{CacheState, Epoch, Member, NodeId, SlotMap, SlotSet, slot_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::data::{run, unique_of};
use crate::scaler::{PATIENCE, SECRET, SEED, Said, Scaler, call, read, start};

fn member(id: u32) -> Member {
    Member { id: NodeId(id), address: format!("unix:/node-{id}"), zone: String::new() }
}

fn all_with(id: u32, epoch: u64) -> SlotMap {
    SlotMap::single(Epoch(epoch), member(id))
}

fn moved(key: &str) -> Result<String, Outcome> {
    Err(Outcome::NotExecuted(Refusal::Moved, stripe_of(slot_of(key.as_bytes()))))
}

#[tokio::test]
async fn a_node_serves_what_the_map_gives_it_and_nothing_before() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &SlotMap::empty()).await;
    assert_eq!((link.join.zone.as_str(), link.join.id), ("attic", None));
    assert_eq!(link.join.advertise, scaler.address("node").to_string());
    assert_eq!(host.id(), NodeId(3));
    assert_eq!(link.said().await, Said::Seen(0, 0));
    assert_eq!(run(host.node(), "set k v"), moved("k"));

    link.say(&ToMember::Map(all_with(3, 4))).await;
    assert_eq!(link.said().await, Said::Seen(4, 0));
    assert_eq!(host.view().epoch(), 4);
    assert_eq!(run(host.node(), "set k v").unwrap(), "+OK\r\n");

    // An older map is not acted on.
    link.say(&ToMember::Map(all_with(9, 3))).await;
    assert_eq!(link.said().await, Said::Seen(4, 0));
    assert_eq!(run(host.node(), "get k").unwrap(), "$1\r\nv\r\n");

    // The same owner since the same epoch: what it holds stays.
    link.say(&ToMember::Map(all_with(3, 4).renumbered())).await;
    assert_eq!(link.said().await, Said::Seen(5, 0));
    assert_eq!(run(host.node(), "get k").unwrap(), "$1\r\nv\r\n");

    // Given to another: not served, and freed.
    let slot = SlotSet::from_iter([slot_of(b"k")]);
    let next = all_with(3, 4).renumbered().with_member(member(9)).assigned(&slot, NodeId(9));
    link.say(&ToMember::Map(next.clone())).await;
    assert_eq!(link.said().await, Said::Seen(6, 0));
    assert_eq!(run(host.node(), "get k"), moved("k"));
    link.stats(|stats| stats.keys == 0).await;
    assert_eq!(host.node().engine().slot_keys(slot_of(b"k")), 0);

    // Given back by assignment: empty.
    link.say(&ToMember::Map(next.assigned(&slot, NodeId(3)))).await;
    assert_eq!(link.said().await, Said::Seen(7, 0));
    assert_eq!(run(host.node(), "get k").unwrap(), "$-1\r\n");
}

#[tokio::test]
async fn the_cache_state_is_taken_over_and_confirmed() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    assert_eq!(link.said().await, Said::Seen(1, 0));
    let state = CacheState::default().changed([("maxmemory".to_owned(), "104857600".to_owned())]);
    link.say(&ToMember::State(state.clone())).await;
    assert_eq!(link.said().await, Said::Seen(1, 1));
    assert_eq!(host.view().state(), 1);
    assert_eq!(host.node().engine().settings().maxmemory_bytes(), 104_857_600);
    // An older one is not.
    link.say(&ToMember::State(CacheState::default())).await;
    assert_eq!(link.said().await, Said::Seen(1, 1));
    assert_eq!(host.node().engine().settings().maxmemory_bytes(), 104_857_600);
}

#[tokio::test]
async fn a_node_holds_its_share_of_the_maximum() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &SlotMap::empty()).await;
    let settings = host.node().engine().settings();
    let state = CacheState::default().changed([("maxmemory".to_owned(), "16384000".to_owned())]);
    link.say(&ToMember::State(state)).await;
    link.until(|said| *said == Said::Seen(0, 1)).await;
    assert_eq!(settings.maxmemory_bytes(), 16_384_000, "who owns nothing can take anything in");
    let quarter: SlotSet = "0-4095".parse().unwrap();
    let map = all_with(9, 1).with_member(member(3)).assigned(&quarter, NodeId(3));
    link.say(&ToMember::Map(map.clone())).await;
    link.until_seen(map.epoch().0).await;
    // What is not owned is dropped first, in slices: then the share shrinks, and a report follows.
    let mut shrunk = settings.maxmemory_bytes() == 4_096_000;
    while !shrunk {
        link.stats(|_| true).await;
        shrunk = settings.maxmemory_bytes() == 4_096_000;
    }
    assert_eq!(settings.maxmemory_total_bytes(), 16_384_000);
    let half: SlotSet = "4096-8191".parse().unwrap();
    let map = map.assigned(&half, NodeId(3));
    link.say(&ToMember::Map(map.clone())).await;
    link.until_seen(map.epoch().0).await;
    assert_eq!(settings.maxmemory_bytes(), 8_192_000);
}

#[tokio::test]
async fn nothing_is_reported_again_and_again_while_nothing_changes() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    link.until_seen(1).await;
    run(host.node(), "set k v").unwrap();
    link.stats(|stats| stats.keys == 1).await;
    // What was counted meanwhile is told of; then there is silence.
    let mut reports = 0;
    while let Ok(said) = timeout(STATS_TICK * 8, link.hear()).await {
        reports += 1;
        assert!(said.is_some() && reports < 10, "{said:?}");
    }
    let at = Instant::now();
    host.node().count_direct(5, 6, 7, 8);
    let stats = link.stats(|stats| stats.requests == 5).await;
    assert_eq!((stats.work, stats.bytes_in, stats.bytes_out, stats.heat), (6, 7, 8, Vec::new()));
    assert!(at.elapsed() < STATS_IDLE_TICK, "a change is told of at once: {:?}", at.elapsed());
}

#[tokio::test]
async fn nodes_give_out_memcached_uniques_of_their_own() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    link.until_seen(1).await;
    assert_eq!(unique_of(host.node()) >> 44, 3);
    assert_eq!(unique_of(&Node::new(SEED)) >> 44, 0);
}

#[tokio::test]
async fn a_lost_scaler_stops_nothing_and_is_joined_again() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    link.until_seen(1).await;
    run(host.node(), "set k v").unwrap();
    let boot = link.join.boot.clone();
    drop(link);
    let mut link = scaler.accept().await;
    assert_eq!((link.join.id, &link.join.boot), (Some(NodeId(3)), &boot));
    assert_eq!(run(host.node(), "get k").unwrap(), "$1\r\nv\r\n");
    link.welcome(3, &all_with(3, 1).renumbered(), &CacheState::default()).await;
    link.until_seen(2).await;
    assert_eq!(run(host.node(), "get k").unwrap(), "$1\r\nv\r\n");
}

#[tokio::test]
async fn a_node_that_is_not_taken_back_ends() {
    let scaler = Scaler::new().await;
    let (host, link) = scaler.start("node", 3, &all_with(3, 1)).await;
    drop(link);
    let mut link = scaler.accept().await;
    link.say(&ToMember::Refused { why: "too late".to_owned() }).await;
    let why = timeout(PATIENCE, host.ended()).await.unwrap();
    assert_eq!(why, Ended::Refused("too late".to_owned()));
}

#[tokio::test]
async fn leave_ends_the_host_and_its_door() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &SlotMap::empty()).await;
    assert!(
        scaler.address("node").to_string().strip_prefix("unix:").is_some_and(|path| std::fs::exists(path).unwrap())
    );
    link.say(&ToMember::Leave).await;
    assert_eq!(timeout(PATIENCE, host.ended()).await.unwrap(), Ended::Left);
    while link.hear().await.is_some() {}
    assert!(
        scaler.address("node").to_string().strip_prefix("unix:").is_some_and(|path| !std::fs::exists(path).unwrap())
    );
}

#[tokio::test]
async fn a_scaler_that_refuses_is_an_error_with_its_words() {
    let scaler = Scaler::new().await;
    let (host, ()) = tokio::join!(start(scaler.config("node")), async {
        scaler.accept().await.say(&ToMember::Refused { why: "full".to_owned() }).await;
    });
    let Err(error) = host else { panic!("it joined") };
    assert!(matches!(&error, HostError::Join(_)), "{error}");
    assert!(error.to_string().contains("the scaler refused: full"), "{error}");
}

#[tokio::test]
async fn statistics_come_by_themselves() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    link.until_seen(1).await;
    run(host.node(), "mset a 1 b 2").unwrap();
    let stats = link.stats(|stats| stats.keys == 2).await;
    assert!(stats.used_bytes > 0 && stats.resident_bytes > stats.used_bytes, "{stats:?}");
}

#[tokio::test]
async fn the_door_knows_secret_number_purpose_and_protocol() {
    let scaler = Scaler::new().await;
    let mut config = scaler.config("unused");
    config.advertise = "127.0.0.1:0".parse().unwrap();
    let (host, mut link) = tokio::join!(start(config), async {
        let mut link = scaler.accept().await;
        link.welcome(3, &SlotMap::empty(), &CacheState::default()).await;
        link
    });
    let host = host.unwrap();
    let Address::Tcp(address) = host.address() else { panic!() };
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
    assert_eq!(&link.join.advertise, address);
    link.until_seen(0).await;

    let hello = |purpose, secret| Hello::new(purpose, secret, Some(NodeId(3)));
    let refused = |why| Answer::Refused { why };
    let (_, answer) = call(host.address(), &hello(Purpose::Sessions, "wrong")).await;
    assert_eq!(answer, refused(Refused::Secret));
    let other = Hello::new(Purpose::Stream, SECRET, Some(NodeId(4)));
    assert_eq!(call(host.address(), &other).await.1, refused(Refused::OtherNode(NodeId(4))));
    let control = hello(Purpose::Control, SECRET);
    assert_eq!(call(host.address(), &control).await.1, refused(Refused::Purpose(Purpose::Control)));
    let late = Hello { protocol: PROTOCOL + 2, protocol_min: PROTOCOL + 1, ..hello(Purpose::Sessions, SECRET) };
    let why = Refused::Protocol(PROTOCOL + 1, PROTOCOL + 2);
    let (mut socket, answer) = call(host.address(), &late).await;
    assert_eq!(answer, refused(why));
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap_or(0), 0, "and is closed");
    let (_, answer) = call(host.address(), &hello(Purpose::Sessions, SECRET)).await;
    assert_eq!(answer, Answer::Welcome { protocol: PROTOCOL });
}

/// Sends SET over a link for sessions; how it was answered.
async fn set_over(socket: &mut Socket, id: u32, epoch: u64) -> Status {
    let mut bytes = Vec::new();
    let at = frame::begin(Kind::Request, &mut bytes);
    RequestHead { session: 1, id, count: 1, epoch, ..RequestHead::default() }.write(&mut bytes);
    bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    frame::end(at, &mut bytes);
    socket.write_all(&bytes).await.unwrap();
    let reply = timeout(PATIENCE, read(socket, &mut Vec::new())).await.unwrap().expect("a reply");
    ReplyHead::read(&reply).unwrap().0.status
}

#[tokio::test]
async fn links_for_sessions_are_served_until_after_the_node_has_left() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &all_with(3, 1)).await;
    link.until_seen(1).await;
    let hello = Hello::new(Purpose::Sessions, SECRET, Some(NodeId(3)));
    let (mut socket, _) = call(host.address(), &hello).await;
    assert_eq!(set_over(&mut socket, 0, 1).await, Status::Done);
    assert_eq!(run(host.node(), "get k").unwrap(), "$1\r\nv\r\n");
    let map = all_with(3, 1).with_member(member(4)).assigned(&SlotSet::all(), NodeId(4));
    link.say(&ToMember::Map(map)).await;
    link.until_seen(2).await;
    link.say(&ToMember::Leave).await;
    // Who did not know yet learns where to go.
    assert_eq!(set_over(&mut socket, 1, 1).await, Status::Moved);
    assert_eq!(timeout(PATIENCE, host.ended()).await.unwrap(), Ended::Left);
    assert_eq!(timeout(PATIENCE, socket.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0, "and is closed");
}

#[tokio::test]
async fn who_says_no_hello_is_closed_and_keeps_others_waiting_for_a_bounded_time() {
    let scaler = Scaler::new().await;
    let (host, mut link) = scaler.start("node", 3, &SlotMap::empty()).await;
    link.until_seen(0).await;
    let mut silent = Vec::new();
    for _ in 0..HALF_OPEN_MAX {
        silent.push(Socket::connect(host.address()).await.unwrap());
    }
    let hello = Hello::new(Purpose::Sessions, SECRET, Some(NodeId(3)));
    let (_, answer) = timeout(PATIENCE, call(host.address(), &hello)).await.unwrap();
    assert_eq!(answer, Answer::Welcome { protocol: PROTOCOL });
    for mut socket in silent {
        assert_eq!(timeout(PATIENCE, socket.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    }
    // What is no greeting is closed at once.
    let mut socket = Socket::connect(host.address()).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(timeout(PATIENCE, socket.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn the_embedded_node_serves_from_the_start_and_keeps_what_it_has() {
    let scaler = Scaler::new().await;
    let node = Node::new(7);
    run(&node, "set before v").unwrap();
    let host = Host::embedded(node.clone(), Arc::default(), scaler.config("node")).unwrap();
    assert_eq!(host.id(), EMBEDDED);
    run(&node, "set meanwhile v").unwrap();
    let mut link = scaler.accept().await;
    assert_eq!(link.join.id, Some(EMBEDDED));
    let others = SlotSet::from_iter([slot_of(b"gone")]);
    run(&node, "set gone v").unwrap();
    let map = all_with(1, 5).with_member(member(2)).assigned(&others, NodeId(2));
    link.welcome(1, &map, &CacheState::default()).await;
    link.until_seen(6).await;
    assert_eq!(run(&node, "mget before meanwhile").unwrap(), "*2\r\n$1\r\nv\r\n$1\r\nv\r\n");
    assert_eq!(run(&node, "get gone"), moved("gone"));
    link.stats(|stats| stats.keys == 2).await;
    // The first proxy of another process.
    let hello = Hello::new(Purpose::Sessions, SECRET, Some(EMBEDDED));
    let (mut socket, _) = call(host.address(), &hello).await;
    assert_eq!(set_over(&mut socket, 0, 6).await, Status::Done);
    assert_eq!(run(&node, "get k").unwrap(), "$1\r\nv\r\n");
}
