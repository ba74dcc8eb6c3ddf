//! Hand-overs between two hosts, driven by hand.

use std::sync::Arc;

use swell_engine::Outcome;
use swell_engine::gate::Refusal;
use swell_engine::stripe::stripe_of;
use swell_node::Node;
use swell_node::control::ToMember;
use swell_node::handover::message::{
    Failure, FromSource, FromTarget, Group, HandoverId, SourcePhase, TargetPhase, ToSource, ToTarget,
};
use swell_node::host::Host;
use swell_node::link::frame::PROTOCOL;
use swell_node::link::hello::{Answer, Hello, Purpose};
use swell_node::link::socket::{Address, Listener, Socket};
use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet, slot_of};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::data::run;
use crate::scaler::{Member as Link, PATIENCE, SECRET, Said, Scaler, read, write};

/// Attempts at one hand-over, as a driver would make them: a busy machine may be slower than 20 ms.
const ATTEMPTS_MAX: u64 = 100;
const SOURCE: NodeId = NodeId(1);
const TARGET: NodeId = NodeId(2);

/// A source that owns everything, a target that owns nothing.
struct Pair {
    scaler: Scaler,
    source: Host,
    target: Host,
    to_source: Link,
    to_target: Link,
    map: SlotMap,
    slots: SlotSet,
    attempts: u64,
}

/// How an attempt went until the target was ready.
#[derive(Debug, PartialEq)]
enum Attempt {
    /// The source is released.
    Released,
    SourceFailed(Failure),
    TargetFailed(Failure),
}

impl Pair {
    async fn new(slots: &str) -> Pair {
        let scaler = Scaler::new().await;
        let member = |id: NodeId, name| Member { id, address: scaler.address(name).to_string(), zone: String::new() };
        let map = SlotMap::single(Epoch(1), member(SOURCE, "source")).with_member(member(TARGET, "target"));
        let (source, mut to_source) = scaler.start("source", SOURCE.0, &map).await;
        let (target, mut to_target) = scaler.start("target", TARGET.0, &map).await;
        to_source.until_seen(1).await;
        to_target.until_seen(1).await;
        let slots = slots.parse().unwrap();
        Pair { scaler, source, target, to_source, to_target, map, slots, attempts: 0 }
    }

    /// Keys `k0`, `k1`, … that lie in the slots that move.
    fn keys(&self, count: usize) -> Vec<String> {
        let all = (0..).map(|n| format!("k{n}"));
        all.filter(|key| self.slots.contains(slot_of(key.as_bytes()))).take(count).collect()
    }

    /// The group of the attempt under way.
    fn group(&self) -> Group {
        Group { id: self.id(), slots: self.slots.clone(), from: SOURCE, to: TARGET }
    }

    fn id(&self) -> HandoverId {
        HandoverId(self.attempts)
    }

    /// Begins the next attempt: the target is prepared.
    async fn prepare(&mut self) {
        self.attempts += 1;
        self.to_target.say(&ToMember::Target(ToTarget::Prepare { group: self.group() })).await;
        let prepared = FromTarget::Is { id: self.id(), phase: TargetPhase::Prepared };
        self.to_target.until(|said| *said == Said::Target(prepared.clone())).await;
    }

    async fn copy(&mut self, target_address: &Address, bytes_per_second_max: u64) {
        let (group, target_address) = (self.group(), target_address.to_string());
        let copy = ToSource::Copy { group, target_address, bytes_per_second_max };
        self.to_source.say(&ToMember::Source(copy)).await;
        self.until_source(SourcePhase::Copying).await;
    }

    async fn until_source(&mut self, wanted: SourcePhase) {
        let this = self.id();
        let is_it = |said: &Said| matches!(said, Said::Source(FromSource::Is { id, phase, .. }) if *id == this && *phase == wanted);
        self.to_source.until(is_it).await;
    }

    /// Why the source gave this attempt up.
    async fn source_failed(&mut self) -> Failure {
        let this = self.id();
        let is_it = |said: &Said| matches!(said, Said::Source(FromSource::Failed { id, .. }) if *id == this);
        match self.to_source.until(is_it).await {
            Said::Source(FromSource::Failed { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    async fn cancel_source(&mut self) -> Failure {
        let id = self.id();
        self.to_source.say(&ToMember::Source(ToSource::Cancel { id })).await;
        self.source_failed().await
    }

    async fn cancel_target(&mut self) -> Failure {
        let this = self.id();
        self.to_target.say(&ToMember::Target(ToTarget::Cancel { id: this })).await;
        let is_it = |said: &Said| matches!(said, Said::Target(FromTarget::Failed { id, .. }) if *id == this);
        match self.to_target.until(is_it).await {
            Said::Target(FromTarget::Failed { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the target is ready, or why it is not.
    async fn target_ends(&mut self) -> Result<(), Failure> {
        let this = self.id();
        let is_it = |said: &Said| match said {
            Said::Target(FromTarget::Is { id, phase }) => *id == this && *phase == TargetPhase::Ready,
            Said::Target(FromTarget::Failed { id, .. }) => *id == this,
            _ => false,
        };
        match self.to_target.until(is_it).await {
            Said::Target(FromTarget::Failed { why, .. }) => Err(why),
            _ => Ok(()),
        }
    }

    /// One attempt, up to the release.
    async fn attempt(&mut self) -> Attempt {
        self.prepare().await;
        let target = self.target.address().clone();
        self.copy(&target, 0).await;
        if let Err(why) = self.target_ends().await {
            return Attempt::TargetFailed(why);
        }
        let this = self.id();
        self.to_source.say(&ToMember::Source(ToSource::Release { id: this })).await;
        let is_it = |said: &Said| match said {
            Said::Source(FromSource::Is { id, phase, .. }) => *id == this && *phase == SourcePhase::Released,
            Said::Source(FromSource::Failed { id, .. }) => *id == this,
            _ => false,
        };
        match self.to_source.until(is_it).await {
            Said::Source(FromSource::Failed { why, .. }) => Attempt::SourceFailed(why),
            _ => Attempt::Released,
        }
    }

    /// Attempts until the source is released.
    async fn release(&mut self) {
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt().await {
                Attempt::Released => return,
                Attempt::SourceFailed(Failure::SealedTooLong) => drop(self.cancel_target().await),
                other => panic!("{other:?}"),
            }
        }
        panic!("no attempt was quick enough");
    }

    /// The next map: the slots are the target's. Target first.
    async fn commit(&mut self) {
        self.map = self.map.assigned(&self.slots, TARGET);
        let epoch = self.map.epoch().0;
        self.to_target.say(&ToMember::Map(self.map.clone())).await;
        let serving = FromTarget::Is { id: self.id(), phase: TargetPhase::Serving };
        self.to_target.until(|said| *said == Said::Target(serving.clone())).await;
        self.to_target.until_seen(epoch).await;
        self.to_source.say(&ToMember::Map(self.map.clone())).await;
        self.to_source.until_seen(epoch).await;
    }
}

fn refused(key: &str, why: Refusal) -> Result<String, Outcome> {
    Err(Outcome::NotExecuted(why, stripe_of(slot_of(key.as_bytes()))))
}

#[tokio::test]
async fn a_group_goes_over_with_all_it_holds() {
    let mut pair = Pair::new("0-255").await;
    let keys = pair.keys(3000);
    let long = "x".repeat(300_000);
    for key in &keys {
        run(pair.source.node(), &format!("set {key} value-of-{key}")).unwrap();
    }
    run(pair.source.node(), &format!("set {} {long}", keys[0])).unwrap();
    run(pair.source.node(), &format!("set {} soon px 100000", keys[1])).unwrap();
    let stays = (0..).map(|n| format!("s{n}")).find(|key| !pair.slots.contains(slot_of(key.as_bytes()))).unwrap();
    run(pair.source.node(), &format!("set {stays} here")).unwrap();

    pair.release().await;
    assert_eq!(run(pair.source.node(), &format!("get {}", keys[2])), refused(&keys[2], Refusal::Moved));
    assert_eq!(run(pair.target.node(), &format!("get {}", keys[2])), refused(&keys[2], Refusal::Moved));
    assert_eq!(pair.target.node().key_counts().0, 0, "nothing Dark is counted");
    pair.commit().await;

    assert_eq!(pair.target.node().key_counts().0, 3000);
    for key in &keys[2..] {
        let value = format!("value-of-{key}");
        let reply = format!("${}\r\n{value}\r\n", value.len());
        assert_eq!(run(pair.target.node(), &format!("get {key}")).unwrap(), reply);
    }
    assert_eq!(run(pair.target.node(), &format!("get {}", keys[0])).unwrap(), format!("$300000\r\n{long}\r\n"));
    assert_eq!(run(pair.target.node(), &format!("pttl {}", keys[1])).unwrap(), ":100000\r\n");
    assert_eq!(run(pair.source.node(), &format!("get {}", keys[2])), refused(&keys[2], Refusal::Moved));
    assert_eq!(run(pair.source.node(), &format!("get {stays}")).unwrap(), "$4\r\nhere\r\n");
    pair.to_source.stats(|stats| stats.keys == 1 && stats.used_bytes < 100_000).await;
    pair.to_target.stats(|stats| stats.keys == 3000).await;
}

/// Increments a counter until it is told that the slot has gone; how often it was acknowledged. Says when it has begun.
fn count_up(node: &Arc<Node>, key: &str, begun: oneshot::Sender<()>) -> u64 {
    let (mut acknowledged, mut begun) = (0, Some(begun));
    loop {
        match run(node, &format!("incr {key}")) {
            Ok(reply) => {
                acknowledged += 1;
                assert_eq!(reply, format!(":{acknowledged}\r\n"));
                begun.take().map(|begun| begun.send(()));
            }
            Err(Outcome::NotExecuted(Refusal::Moved, _)) => return acknowledged,
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[tokio::test]
async fn what_is_written_meanwhile_goes_over_too() {
    let mut pair = Pair::new("0-255").await;
    let keys = pair.keys(2000);
    for key in &keys {
        run(pair.source.node(), &format!("set {key} 0")).unwrap();
    }
    // Before anybody counts: both may have one stripe.
    for key in &keys[..2] {
        run(pair.source.node(), &format!("del {key}")).unwrap();
    }
    let mut counters = Vec::new();
    for key in &keys[..2] {
        let (node, key, (say, begun)) = (pair.source.node().clone(), key.clone(), oneshot::channel());
        counters.push(tokio::task::spawn_blocking(move || count_up(&node, &key, say)));
        timeout(PATIENCE, begun).await.unwrap().unwrap();
    }
    pair.release().await;
    pair.commit().await;
    for (key, counting) in keys.iter().zip(counters) {
        let acknowledged = timeout(PATIENCE, counting).await.unwrap().unwrap().to_string();
        let reply = format!("${}\r\n{acknowledged}\r\n", acknowledged.len());
        assert_eq!(run(pair.target.node(), &format!("get {key}")).unwrap(), reply);
    }
}

#[tokio::test]
async fn cancelled_while_copying_the_source_serves_on() {
    let mut pair = Pair::new("0-255").await;
    let keys = pair.keys(200);
    let value = "v".repeat(4000);
    for key in &keys {
        run(pair.source.node(), &format!("set {key} {value}")).unwrap();
    }
    pair.prepare().await;
    let target = pair.target.address().clone();
    // A thousand bytes a second: it would take minutes.
    pair.copy(&target, 1000).await;
    assert_eq!(pair.cancel_source().await, Failure::Cancelled);
    // The target may have seen the end of the stream first.
    let why = pair.cancel_target().await;
    assert!(matches!(why, Failure::Cancelled | Failure::Stream(_)), "{why}");
    assert_eq!(run(pair.source.node(), &format!("set {} w", keys[0])).unwrap(), "+OK\r\n");
    pair.to_target.stats(|stats| stats.keys == 0 && stats.used_bytes < 100_000).await;
    // The next attempt takes all of it over.
    pair.release().await;
    pair.commit().await;
    assert_eq!(pair.target.node().key_counts().0, 200);
    assert_eq!(run(pair.target.node(), &format!("get {}", keys[0])).unwrap(), "$1\r\nw\r\n");
}

#[tokio::test]
async fn cancelled_while_sealed_the_source_serves_again() {
    let mut pair = Pair::new("0-255").await;
    let key = pair.keys(1).remove(0);
    run(pair.source.node(), &format!("set {key} v")).unwrap();
    pair.prepare().await;
    let target = pair.target.address().clone();
    pair.copy(&target, 0).await;
    pair.until_source(SourcePhase::Sealed).await;
    let why = pair.cancel_source().await;
    // A machine that is too busy to bring the cancel over in 20 ms sees it unsealed for that.
    assert!(matches!(why, Failure::Cancelled | Failure::SealedTooLong), "{why}");
    assert_eq!(run(pair.source.node(), &format!("set {key} w")).unwrap(), "+OK\r\n");
    let why = pair.cancel_target().await;
    assert!(matches!(why, Failure::Cancelled | Failure::Stream(_)), "{why}");
}

#[tokio::test]
async fn a_sealed_source_serves_again_by_itself() {
    let mut pair = Pair::new("0-255").await;
    let key = pair.keys(1).remove(0);
    run(pair.source.node(), &format!("set {key} v")).unwrap();
    pair.prepare().await;
    let target = pair.target.address().clone();
    pair.copy(&target, 0).await;
    assert_eq!(pair.target_ends().await, Ok(()));
    assert_eq!(pair.source_failed().await, Failure::SealedTooLong);
    assert_eq!(run(pair.source.node(), &format!("set {key} w")).unwrap(), "+OK\r\n");
    // And a release that comes too late is not obeyed.
    let id = pair.id();
    pair.to_source.say(&ToMember::Source(ToSource::Release { id })).await;
    pair.until_source(SourcePhase::Unknown).await;
    assert_eq!(run(pair.source.node(), &format!("get {key}")).unwrap(), "$1\r\nw\r\n");
}

#[tokio::test]
async fn a_released_group_is_taken_back_with_its_data() {
    let mut pair = Pair::new("0-255").await;
    let key = pair.keys(1).remove(0);
    run(pair.source.node(), &format!("set {key} v")).unwrap();
    pair.release().await;
    // The target is lost: a new epoch, the same owner.
    pair.map = pair.map.renumbered();
    let (id, epoch) = (pair.id(), pair.map.epoch());
    pair.to_source.say(&ToMember::Source(ToSource::Return { id, epoch })).await;
    pair.to_source.say(&ToMember::Map(pair.map.clone())).await;
    pair.to_source.until_seen(epoch.0).await;
    assert_eq!(run(pair.source.node(), &format!("get {key}")).unwrap(), "$1\r\nv\r\n");
    assert_eq!(run(pair.source.node(), &format!("set {key} w")).unwrap(), "+OK\r\n");
}

/// The target's end of a stream, played by the test: greeted, and its first frame read.
async fn fake_target(listener: &Listener) -> Socket {
    let mut socket = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut inbox = Vec::new();
    let hello: Hello = serde_json::from_slice(&read(&mut socket, &mut inbox).await.unwrap()).unwrap();
    assert_eq!((hello.purpose, hello.to), (Purpose::Stream, Some(TARGET)));
    hello.accept(SECRET).unwrap();
    write(&mut socket, swell_node::link::frame::Kind::Hello, &Answer::Welcome { protocol: PROTOCOL }).await.unwrap();
    read(&mut socket, &mut inbox).await.expect("it says which hand-over it is");
    socket
}

#[tokio::test]
async fn a_lost_stream_ends_the_attempt_at_the_source() {
    let mut pair = Pair::new("0-255").await;
    for key in pair.keys(1000) {
        run(pair.source.node(), &format!("set {key} {}", "v".repeat(4000))).unwrap();
    }
    let address = pair.scaler.address("fake");
    let listener = Listener::bind(&address).await.unwrap();
    pair.attempts += 1;
    let (_, socket) = tokio::join!(pair.copy(&address, 100_000), fake_target(&listener));
    drop(socket);
    let why = pair.source_failed().await;
    assert!(matches!(why, Failure::Stream(_)), "{why}");
    let key = pair.keys(1).remove(0);
    assert_eq!(run(pair.source.node(), &format!("set {key} w")).unwrap(), "+OK\r\n");

    // Nobody listens: the same.
    drop(listener);
    pair.attempts += 1;
    pair.copy(&address, 0).await;
    let why = pair.source_failed().await;
    assert!(matches!(why, Failure::Stream(_)), "{why}");
}

#[tokio::test]
async fn a_target_that_takes_nothing_is_given_up() {
    let mut pair = Pair::new("0-255").await;
    for key in pair.keys(1000) {
        run(pair.source.node(), &format!("set {key} {}", "v".repeat(4000))).unwrap();
    }
    let address = pair.scaler.address("fake");
    let listener = Listener::bind(&address).await.unwrap();
    pair.attempts += 1;
    let (_, socket) = tokio::join!(pair.copy(&address, 0), fake_target(&listener));
    let why = pair.source_failed().await;
    assert!(matches!(&why, Failure::Stream(why) if why.contains("did not answer")), "{why}");
    drop(socket);
}

#[tokio::test]
async fn a_lost_stream_ends_the_attempt_at_the_target() {
    let mut pair = Pair::new("0-255").await;
    pair.prepare().await;
    let hello = Hello::new(Purpose::Stream, SECRET, Some(TARGET));
    let (mut socket, answer) = crate::scaler::call(pair.target.address(), &hello).await;
    assert_eq!(answer, Answer::Welcome { protocol: PROTOCOL });
    let id = pair.id();
    let begin = serde_json::json!({ "id": id });
    write(&mut socket, swell_node::link::frame::Kind::Control, &begin).await.unwrap();
    drop(socket);
    let why = pair.target_ends().await.unwrap_err();
    assert!(matches!(why, Failure::Stream(_)), "{why}");
    // What is not expected is not heard.
    let (mut socket, _) = crate::scaler::call(pair.target.address(), &hello).await;
    write(&mut socket, swell_node::link::frame::Kind::Control, &begin).await.unwrap();
    let closed = timeout(PATIENCE, socket.read(&mut [0; 1])).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_target_without_memory_says_so() {
    let mut pair = Pair::new("0-255").await;
    for key in pair.keys(1000) {
        run(pair.source.node(), &format!("set {key} {}", "v".repeat(4000))).unwrap();
    }
    pair.target.node().engine().settings().set_maxmemory_total_bytes(1_000_000);
    assert_eq!(pair.attempt().await, Attempt::TargetFailed(Failure::NoMemory));
    let why = pair.source_failed().await;
    assert!(matches!(why, Failure::Stream(_)), "the stream was cut: {why}");
    pair.to_target.stats(|stats| stats.used_bytes < 100_000).await;
}

#[tokio::test]
async fn a_lost_scaler_stops_no_copy() {
    let mut pair = Pair::new("0-255").await;
    let key = pair.keys(1).remove(0);
    run(pair.source.node(), &format!("set {key} v")).unwrap();
    pair.prepare().await;
    let target = pair.target.address().clone();
    pair.copy(&target, 0).await;
    let (again, _) = tokio::join!(pair.scaler.accept(), async { pair.to_source.cut().await });
    pair.to_source = again;
    assert_eq!(pair.to_source.join.id, Some(SOURCE));
    let map = pair.map.clone();
    pair.to_source.welcome(SOURCE.0, &map, &swell_ring::CacheState::default()).await;
    assert_eq!(pair.target_ends().await, Ok(()));
}
