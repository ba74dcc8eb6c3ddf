//! Members, people and folders for tests. Everything waits for a condition, for ten seconds at most.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use swell_node::control::{
    Answer, Ask, Event, FromMember, Join, NodeLine, NodeStats, Progress, Role, ToMember, Welcome,
};
use swell_node::handover::message::{FromSource, FromTarget, HandoverId, SourcePhase, TargetPhase, ToSource, ToTarget};
use swell_node::link::frame::{self, Frame, Kind};
use swell_node::link::hello::{self, Hello, Purpose};
use swell_node::link::socket::Address;
use swell_ring::{CacheState, NodeId, Slot, SlotMap};
use swell_scaler::{Scaler, ScalerConfig, ScalingConfig};

/// What any condition may take.
pub const BOUND: Duration = Duration::from_secs(10);
pub const SECRET: &str = "open sesame";

/// A folder of its own, removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("swell-sc-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A scaler's settings that listens in this folder.
    pub fn config(&self) -> ScalerConfig {
        ScalerConfig {
            listen: Address::Unix(self.0.join("scaler.sock")),
            secret: SECRET.to_owned(),
            data_dir: None,
            hash_seed: 42,
            virtual_node: "0".repeat(40),
            state: CacheState::default(),
            embedded: None,
            process: None,
            charges: Default::default(),
            scaling: ScalingConfig::off(),
        }
    }

    pub fn start(&self) -> Scaler {
        Scaler::start(self.config()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One control link.
pub struct Peer {
    socket: UnixStream,
    unread: Vec<u8>,
    /// Messages that came while another was waited for.
    put_off: Vec<ToMember>,
    asked: u64,
}

/// What the scaler answers to a greeting.
pub fn greet(address: &Address, hello: &Hello) -> (Peer, Option<hello::Answer>) {
    let Address::Unix(path) = address else { panic!("tests use Unix sockets, not {address}") };
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(BOUND)).unwrap();
    let mut peer = Peer { socket, unread: Vec::new(), put_off: Vec::new(), asked: 0 };
    let mut bytes = Vec::new();
    frame::json(Kind::Hello, hello, &mut bytes);
    peer.socket.write_all(&bytes).unwrap();
    let answer = peer.frame().map(|(kind, body)| {
        assert_eq!(kind, Kind::Hello);
        serde_json::from_slice(&body).unwrap()
    });
    (peer, answer)
}

/// Somebody who knows the secret and has not joined.
pub fn stranger(scaler: &Scaler) -> Peer {
    let (peer, answer) = greet(scaler.address(), &Hello::new(Purpose::Control, SECRET, None));
    assert!(matches!(answer, Some(hello::Answer::Welcome { .. })), "{answer:?}");
    peer
}

/// How a node joins.
pub fn join(name: &str) -> Join {
    Join {
        role: Role::Node,
        advertise: format!("unix:/run/{name}.sock"),
        zone: "z1".to_owned(),
        pid: std::process::id(),
        boot: format!("boot-{name}"),
        id: None,
    }
}

/// A proxy.
pub fn proxy(scaler: &Scaler) -> (Peer, Welcome) {
    let mut peer = stranger(scaler);
    let welcome = peer.join(Join { role: Role::Proxy, advertise: String::new(), ..join("proxy") }).unwrap();
    (peer, welcome)
}

/// Somebody who asks.
pub fn person(scaler: &Scaler) -> Peer {
    let mut peer = stranger(scaler);
    peer.join(Join { role: Role::Person, advertise: String::new(), ..join("person") }).unwrap();
    peer
}

impl Peer {
    /// Joins; the refusal's words if it is refused.
    pub fn join(&mut self, join: Join) -> Result<Welcome, String> {
        self.say(&FromMember::Join(join));
        match self.hear() {
            Some(ToMember::Welcome(welcome)) => Ok(*welcome),
            Some(ToMember::Refused { why }) => Err(why),
            other => panic!("neither welcome nor refused: {other:?}"),
        }
    }

    pub fn say(&mut self, message: &FromMember) {
        let mut bytes = Vec::new();
        frame::json(Kind::Control, message, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    pub fn seen(&mut self, map: &SlotMap, state: u64) {
        self.say(&FromMember::Seen { epoch: map.epoch(), state });
    }

    /// The next message, None when the link is closed.
    pub fn hear(&mut self) -> Option<ToMember> {
        if !self.put_off.is_empty() {
            return Some(self.put_off.remove(0));
        }
        self.hear_new()
    }

    /// The first message of which `wanted` makes something; those before it are kept for later.
    pub fn hear_until<T>(&mut self, what: &str, mut wanted: impl FnMut(&ToMember) -> Option<T>) -> T {
        let mut passed = std::mem::take(&mut self.put_off);
        if let Some(at) = passed.iter().position(|message| wanted(message).is_some()) {
            let message = passed.remove(at);
            self.put_off = passed;
            return wanted(&message).unwrap();
        }
        let until = Instant::now() + BOUND;
        while Instant::now() < until {
            let message = self.hear_new().unwrap_or_else(|| panic!("the link was closed while waiting for {what}"));
            if let Some(found) = wanted(&message) {
                self.put_off = passed;
                return found;
            }
            passed.push(message);
        }
        panic!("waited for {what}, heard {passed:?}");
    }

    /// The first map of which that is true; earlier ones are dropped.
    pub fn map_where(&mut self, what: &str, is_it: impl Fn(&SlotMap) -> bool) -> SlotMap {
        self.hear_until(what, |message| match message {
            ToMember::Map(map) if is_it(map) => Some(map.clone()),
            _ => None,
        })
    }

    /// Asks, and waits for the last answer; the progress on the way.
    pub fn ask_all(&mut self, ask: Ask) -> (Vec<Progress>, Answer) {
        let id = self.ask_only(ask);
        let mut steps = Vec::new();
        loop {
            match self.answer(id) {
                Answer::Progress(progress) => steps.push(progress),
                last => return (steps, last),
            }
        }
    }

    pub fn ask(&mut self, ask: Ask) -> Answer {
        self.ask_all(ask).1
    }

    /// Asks without waiting; returns the question's number.
    pub fn ask_only(&mut self, ask: Ask) -> u64 {
        self.asked += 1;
        self.say(&FromMember::Ask { id: self.asked, ask });
        self.asked
    }

    pub fn answer(&mut self, number: u64) -> Answer {
        self.hear_until("an answer", |message| match message {
            ToMember::Answer { id, answer } if *id == number => Some(answer.clone()),
            _ => None,
        })
    }

    pub fn map(&mut self) -> SlotMap {
        match self.ask(Ask::Slots) {
            Answer::Slots(map) => map,
            other => panic!("{other:?}"),
        }
    }

    pub fn nodes(&mut self) -> Vec<NodeLine> {
        match self.ask(Ask::Nodes) {
            Answer::Nodes(nodes) => nodes,
            other => panic!("{other:?}"),
        }
    }

    pub fn events(&mut self) -> Vec<Event> {
        match self.ask(Ask::Events { after: 0 }) {
            Answer::Events(events) => events,
            other => panic!("{other:?}"),
        }
    }

    /// Asks again and again until there is an event with these words.
    pub fn event_with(&mut self, words: &str) -> Event {
        let until = Instant::now() + BOUND;
        loop {
            let events = self.events();
            if let Some(event) = events.iter().find(|event| event.text.contains(words)) {
                return event.clone();
            }
            assert!(Instant::now() < until, "no event says '{words}': {events:#?}");
        }
    }

    /// The same for the slot map.
    pub fn map_until(&mut self, what: &str, is_it: impl Fn(&SlotMap) -> bool) -> SlotMap {
        let until = Instant::now() + BOUND;
        loop {
            let map = self.map();
            if is_it(&map) {
                return map;
            }
            assert!(Instant::now() < until, "waited for {what}: {map:?}");
        }
    }

    /// Says the same of itself again and again, as from a thread of its own, until the link is closed: each report is 200
    /// ms later by the node's own clock.
    pub fn report_on(&self, mut stats: impl FnMut(u64) -> NodeStats + Send + 'static) {
        let mut socket = self.socket.try_clone().unwrap();
        std::thread::spawn(move || {
            for at_us in (1..).map(|count| count * 200_000) {
                let mut bytes = Vec::new();
                let stats = Box::new(NodeStats { at_us, ..stats(at_us) });
                frame::json(Kind::Control, &FromMember::Stats(stats), &mut bytes);
                if socket.write_all(&bytes).is_err() {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
    }

    /// Whether the scaler has closed the link; what came before is dropped.
    pub fn is_closed(&mut self) -> bool {
        let until = Instant::now() + BOUND;
        while Instant::now() < until {
            if self.hear_new().is_none() {
                return true;
            }
        }
        false
    }

    fn hear_new(&mut self) -> Option<ToMember> {
        let (kind, body) = self.frame()?;
        assert_eq!(kind, Kind::Control);
        Some(serde_json::from_slice(&body).unwrap())
    }

    fn frame(&mut self) -> Option<(Kind, Vec<u8>)> {
        loop {
            if let Some(frame) = Frame::first(&self.unread).unwrap() {
                let (kind, body, bytes) = (frame.kind, frame.rest.to_vec(), frame.bytes);
                self.unread.drain(..bytes);
                return Some((kind, body));
            }
            let mut buf = vec![0; 64 * 1024];
            match self.socket.read(&mut buf) {
                Ok(0) => return None,
                Ok(read) => self.unread.extend_from_slice(&buf[..read]),
                Err(why) if why.kind() == ErrorKind::ConnectionReset => return None,
                // A child's end is a signal.
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => panic!("nothing came for {BOUND:?}: {why}"),
            }
        }
    }
}

/// A node without data that does as it is told.
pub struct FakeNode {
    pub peer: Peer,
    pub id: NodeId,
    pub map: SlotMap,
    pub state: CacheState,
    /// Hand-overs into it that wait for their map.
    ready: Vec<(HandoverId, Slot)>,
    /// Refuse so many copies before the first that works.
    pub failures: u32,
}

impl FakeNode {
    pub fn join(scaler: &Scaler, join: Join) -> FakeNode {
        FakeNode::join_by(stranger(scaler), join)
    }

    pub fn join_by(mut peer: Peer, join: Join) -> FakeNode {
        let welcome = peer.join(join).unwrap();
        let id = welcome.id.unwrap();
        peer.seen(&welcome.map, welcome.state.version);
        FakeNode { peer, id, map: welcome.map, state: welcome.state, ready: Vec::new(), failures: 0 }
    }

    /// Does as it is told until it is told to leave, or the link is closed. Returns whether it was told.
    pub fn serve(&mut self) -> bool {
        while let Some(message) = self.peer.hear() {
            match message {
                ToMember::Map(map) => self.take_map(map),
                ToMember::State(state) => {
                    self.state = state;
                    self.say_seen();
                }
                ToMember::Source(message) => self.source(message),
                ToMember::Target(message) => self.target(message),
                ToMember::Leave => return true,
                other => panic!("{other:?}"),
            }
        }
        false
    }

    fn take_map(&mut self, map: SlotMap) {
        if map.epoch() > self.map.epoch() {
            self.map = map;
        }
        let (mine, rest) =
            std::mem::take(&mut self.ready).into_iter().partition(|(_, slot)| self.map.owner(*slot) == Some(self.id));
        self.ready = rest;
        for (id, _) in mine {
            self.say_target(id, TargetPhase::Serving);
        }
        self.say_seen();
    }

    fn say_seen(&mut self) {
        let state = self.state.version;
        self.peer.say(&FromMember::Seen { epoch: self.map.epoch(), state });
    }

    fn source(&mut self, message: ToSource) {
        match message {
            ToSource::Copy { group, .. } if self.failures > 0 => {
                self.failures -= 1;
                let why = swell_node::handover::message::Failure::SpoolFull;
                self.peer.say(&FromMember::Source(FromSource::Failed { id: group.id, why }));
            }
            ToSource::Copy { group, .. } => {
                self.say_source(group.id, SourcePhase::Copying);
                self.say_source(group.id, SourcePhase::Sealed);
            }
            ToSource::Release { id } => self.say_source(id, SourcePhase::Released),
            ToSource::Return { .. } => {}
            ToSource::Cancel { id } | ToSource::Query { id } => self.say_source(id, SourcePhase::Unknown),
        }
    }

    /// What would come over the stream has come at once.
    fn target(&mut self, message: ToTarget) {
        match message {
            ToTarget::Prepare { group } => {
                let slot = group.slots.iter().next().unwrap();
                self.ready.push((group.id, slot));
                self.say_target(group.id, TargetPhase::Prepared);
                self.say_target(group.id, TargetPhase::Ready);
            }
            ToTarget::Cancel { id } | ToTarget::Query { id } => {
                self.ready.retain(|(known, _)| *known != id);
                self.say_target(id, TargetPhase::Unknown);
            }
        }
    }

    fn say_source(&mut self, id: HandoverId, phase: SourcePhase) {
        self.peer.say(&FromMember::Source(FromSource::Is { id, phase, keys: 10, bytes: 1000 }));
    }

    fn say_target(&mut self, id: HandoverId, phase: TargetPhase) {
        self.peer.say(&FromMember::Target(FromTarget::Is { id, phase }));
    }
}
