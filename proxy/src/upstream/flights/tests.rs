//! Flights against three nodes that are a few lines long: requests go out, run, are refused and lost at random, and
//! every client still reads each reply once, in order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use swell_engine::commands::table::Found;
use swell_meter::{Ledger, Profile, Tariff};
use swell_node::Node;
use swell_node::link::frame::{self, ChunkHead, Entry, Frame as Wire, Kind, RequestHead, Status};
use swell_ring::{Member, SlotMap};
use swell_wire::limits::Limits;
use swell_wire::requests::Requests;
use swell_wire::{OwnedArgs, resp};

use super::*;
use crate::catalog;
use crate::config::ProxyConfig;
use crate::shared::Shared;
use crate::upstream::link::Upstream;
use crate::upstream::shot::{Payload, Target};
use crate::upstream::{Lines, encode};

const NODES: usize = 3;
const UNKNOWN: &[u8] = b"-ERR the node was lost before it answered: whether the command ran is unknown\r\n";

fn core() -> Core {
    let config = ProxyConfig {
        workers: 1,
        maxclients: 10,
        query_buffer_bytes_max: 1 << 30,
        output_buffer_bytes_max: 1 << 20,
        timeout_seconds: 0,
        requirepass: None,
        acl_file: None,
        metering: true,
        prefix_separator: None,
        tariff: Tariff::new(Profile::Elasticache),
        node_id: "0".repeat(40),
        version: "1.2.3",
        control: None,
        local: None,
        view: Arc::default(),
    };
    Core::new(Shared::new(&config, Node::new(1), Arc::new(Ledger::new(0, 0))), 0)
}

/// Slot n belongs to node n % 3, counted from 0.
fn lines() -> Lines {
    let member = |id: u32| Member { id: NodeId(id), address: format!("unix:/n{id}"), zone: String::new() };
    let map = (0..NODES as u32).fold(SlotMap::empty(), |map, id| {
        let slots = (0..30).filter(|slot| slot % NODES as u32 == id).map(|slot| slot.to_string());
        let slots = slots.collect::<Vec<_>>().join(",").parse().unwrap();
        map.with_member(member(id + 1)).assigned(&slots, NodeId(id + 1))
    });
    let links = map.nodes().iter().map(|member| {
        let link = Rc::new(Link::new(member.id, member.address.clone(), Upstream::Link));
        link.came_up();
        link
    });
    Lines { links: links.collect(), map: Arc::new(map), open: Default::default() }
}

fn command(name: &str) -> Command {
    let args = OwnedArgs::from_slices(&[name, "k"]);
    let Found::Command(command) = catalog::resp().find(args.as_args()) else { panic!("{name}") };
    command
}

fn slot(number: usize) -> Slot {
    Slot::new(number as u16).unwrap()
}

/// A stream of numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// What a node answers to this key.
fn reply_to(name: &[u8], key: &str) -> Vec<u8> {
    match name {
        b"incr" => format!(":{key}\r\n").into_bytes(),
        b"mget" => format!("*1\r\n${}\r\n{key}\r\n", key.len()).into_bytes(),
        _ => {
            let value = key.repeat(1 + key.len() * 7);
            format!("${}\r\n{value}\r\n", value.len()).into_bytes()
        }
    }
}

/// One connection to a node.
#[derive(Default)]
struct Peer {
    /// Bytes on their way to it.
    arriving: Vec<u8>,
    /// Frames on their way back.
    leaving: VecDeque<Vec<u8>>,
    is_refusing: bool,
}

impl Peer {
    /// Runs the next frame that has arrived, or refuses it from some request on.
    fn run(&mut self, dice: &mut Dice, ran: &mut Vec<(String, bool)>) -> bool {
        let bytes = std::mem::take(&mut self.arriving);
        let Some(wire) = Wire::first(&bytes).unwrap() else {
            self.arriving = bytes;
            return false;
        };
        self.arriving = bytes[wire.bytes..].to_vec();
        if wire.kind != Kind::Request {
            return true;
        }
        let (head, body) = RequestHead::read(wire.rest).unwrap();
        if head.flags.has(Flags::RESTART) {
            self.is_refusing = false;
        }
        let reply = |status, done| ReplyHead {
            status,
            flags: Flags::default(),
            session: head.session,
            id: head.id,
            done,
            epoch: 0,
            state: 0,
        };
        if self.is_refusing {
            self.answer(reply(Status::Behind, 0), &[], dice);
            return true;
        }
        let mut requests = Requests::new();
        let read = resp::Decoder::new().decode(body, &Limits::default(), &mut requests);
        assert_eq!((read, requests.len()), (body.len(), head.count as usize));
        let wanted = if dice.one_in(5) { dice.below(requests.len()) } else { requests.len() };
        let mut replies = Vec::new();
        for index in 0..wanted {
            let args = requests.get(index, body).unwrap();
            let key = String::from_utf8(args.slice(1).to_vec()).unwrap();
            replies.push(reply_to(args.slice(0), &key));
            ran.push((key, args.slice(0) == b"incr"));
        }
        self.is_refusing = wanted < requests.len();
        let status = if self.is_refusing { Status::Moved } else { Status::Done };
        self.answer(reply(status, wanted as u16), &replies, dice);
        true
    }

    fn answer(&mut self, head: ReplyHead, replies: &[Vec<u8>], dice: &mut Dice) {
        let table = replies.len() * Entry::BYTES;
        let mut body = vec![0; table];
        for (index, reply) in replies.iter().enumerate() {
            let entry = Entry { reply_bytes: reply.len() as u64, data_bytes: 1, work: 1, failed: false };
            entry.overwrite(index * Entry::BYTES, &mut body);
        }
        replies.iter().for_each(|reply| body.extend_from_slice(reply));
        let first =
            if body.len() > table && dice.one_in(3) { table + dice.below(body.len() - table) } else { body.len() };
        let mut bytes = Vec::new();
        let at = frame::begin(Kind::Reply, &mut bytes);
        ReplyHead { flags: Flags::MORE.when(first < body.len()), ..head }.write(&mut bytes);
        bytes.extend_from_slice(&body[..first]);
        frame::end(at, &mut bytes);
        self.leaving.push_back(bytes);
        let mut rest = &body[first..];
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(1 + dice.below(rest.len()));
            let mut bytes = Vec::new();
            let at = frame::begin(Kind::Chunk, &mut bytes);
            ChunkHead { session: head.session, id: head.id, last: left.is_empty() }.write(&mut bytes);
            bytes.extend_from_slice(piece);
            frame::end(at, &mut bytes);
            self.leaving.push_back(bytes);
            rest = left;
        }
    }
}

/// A client, its flights, and three nodes.
struct World {
    core: Core,
    lines: Lines,
    flights: Flights,
    peers: Vec<Peer>,
    dice: Dice,
    /// What was asked for, in order: the reply, and whether the client wants it.
    asked: Vec<(Vec<u8>, bool)>,
    slots: HashMap<String, usize>,
    ran: Vec<(String, bool)>,
    read: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            core: core(),
            lines: lines(),
            flights: Flights::new(7, u32::MAX - 5),
            peers: (0..NODES).map(|_| Peer::default()).collect(),
            dice: Dice(seed),
            asked: Vec::new(),
            slots: HashMap::new(),
            ran: Vec::new(),
            read: Vec::new(),
        }
    }

    fn submit(&mut self, name: &str, noreply: bool) {
        let framing = Framing::default();
        let mut key = |dice: &mut Dice, part: usize| {
            let (key, slot) = (format!("{}", self.asked.len() * 10 + part), dice.below(9));
            self.slots.insert(key.clone(), slot);
            (key, slot)
        };
        if name == "mget" {
            let keys: Vec<_> = (0..1 + self.dice.below(4)).map(|part| key(&mut self.dice, part)).collect();
            self.flights.submit_join(command(name), Bill::default(), noreply, keys.len(), slot(keys[0].1));
            let mut reply = format!("*{}\r\n", keys.len());
            for (key, at) in &keys {
                reply += &format!("${}\r\n{key}\r\n", key.len());
                self.flights.submit_part(&self.lines, &framing, command(name), slot(*at), |out| {
                    encode::request([name.as_bytes(), key.as_bytes()].into_iter(), out);
                });
            }
            self.asked.push((reply.into_bytes(), !noreply));
            return;
        }
        let (key, at) = key(&mut self.dice, 0);
        self.flights.submit(&self.lines, &framing, command(name), Bill::default(), noreply, slot(at), |out| {
            encode::request([name.as_bytes(), key.as_bytes()].into_iter(), out);
        });
        self.asked.push((reply_to(name.as_bytes(), &key), !noreply));
    }

    fn send_batch(&mut self) {
        for _ in 0..1 + self.dice.below(6) {
            if !self.flights.has_room() {
                break;
            }
            let name = ["get", "incr", "mget"][self.dice.below(3)];
            let noreply = self.dice.one_in(6);
            self.submit(name, noreply);
        }
        self.flights.close_frames(&self.lines);
    }

    /// The system takes some of what one link has.
    fn write(&mut self, at: usize) {
        let (link, peer, dice) = (&self.lines.links[at], &mut self.peers[at], &mut self.dice);
        if !link.is_up() {
            return;
        }
        let mut calls = 0;
        link.write_with(|bytes| {
            calls += 1;
            if calls > 1 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            let taken = if dice.one_in(2) { bytes.len() } else { 1 + dice.below(bytes.len()) };
            peer.arriving.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        })
        .unwrap();
    }

    fn deliver(&mut self, at: usize) {
        let Some(bytes) = self.peers[at].leaving.pop_front() else { return };
        let wire = Wire::first(&bytes).unwrap().unwrap();
        let link = self.lines.links[at].clone();
        if wire.kind == Kind::Reply {
            let (head, body) = ReplyHead::read(wire.rest).unwrap();
            self.flights.on_reply(&mut self.core, &link, head, body).unwrap();
        } else {
            let (head, piece) = ChunkHead::read(wire.rest).unwrap();
            self.flights.on_chunk(&mut self.core, &link, head.id, head.last, piece).unwrap();
        }
    }

    fn lose(&mut self, at: usize) {
        if !self.lines.links[at].is_up() {
            return;
        }
        // The node may still run some of what has arrived.
        while !self.dice.one_in(3) && self.peers[at].run(&mut self.dice, &mut self.ran) {}
        self.peers[at] = Peer::default();
        let link = self.lines.links[at].clone();
        let (incarnation, written) = link.went_down();
        self.flights.on_lost(&mut self.core, &link, incarnation, written);
    }

    fn go_on(&mut self) {
        if self.flights.stuck_since().is_some() {
            self.flights.send_again(&self.lines, &Framing::default());
        }
        self.read.extend_from_slice(&self.flights.ready().to_vec());
        self.flights.ready().clear();
    }

    fn step(&mut self) {
        let at = self.dice.below(NODES);
        match self.dice.below(24) {
            0..4 => self.send_batch(),
            4..10 => self.write(at),
            10..15 => {
                self.peers[at].run(&mut self.dice, &mut self.ran);
            }
            15..21 => self.deliver(at),
            21 if self.dice.one_in(4) => self.lose(at),
            21 => {}
            _ => self.lines.links[at].came_up(),
        }
        if !self.dice.one_in(4) {
            self.go_on();
        }
    }

    /// Until nothing is under way; nothing more is lost.
    fn finish(&mut self) {
        self.lines.links.iter().for_each(|link| link.came_up());
        for _ in 0..20_000 {
            if self.flights.is_empty() || self.flights.is_torn() {
                break;
            }
            for at in 0..NODES {
                self.write(at);
                self.peers[at].run(&mut self.dice, &mut self.ran);
                self.deliver(at);
            }
            self.go_on();
        }
        self.go_on();
    }

    fn check(&self, seed: u64) {
        let is_torn = self.flights.is_torn();
        assert!(is_torn || self.flights.is_empty(), "seed {seed}: something was never answered");
        let mut rest = &self.read[..];
        for (number, (reply, is_wanted)) in self.asked.iter().enumerate().filter(|(_, (_, is_wanted))| *is_wanted) {
            assert!(is_wanted);
            match rest.strip_prefix(&reply[..]).or_else(|| rest.strip_prefix(UNKNOWN)) {
                Some(after) => rest = after,
                None if is_torn => return self.check_runs(seed),
                None => panic!("seed {seed}: request {number} reads {:?}", String::from_utf8_lossy(rest)),
            }
        }
        assert!(rest.is_empty(), "seed {seed}: more replies than requests");
        self.check_runs(seed);
    }

    /// No write ran twice, and those of one slot ran in the order of the requests.
    fn check_runs(&self, seed: u64) {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (key, is_write) in self.ran.iter().filter(|(_, is_write)| *is_write) {
            let number: usize = key.parse().unwrap();
            let before = last.insert(self.slots[key], number);
            assert!(
                *is_write && before.is_none_or(|before| before < number),
                "seed {seed}: {before:?} before {number}"
            );
        }
    }
}

#[test]
fn every_reply_leaves_once_and_in_order_whatever_is_refused_and_lost() {
    let (mut answered, mut torn) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        for _ in 0..400 {
            world.step();
            if world.flights.is_torn() {
                break;
            }
        }
        world.finish();
        world.check(seed);
        answered += world.asked.len();
        torn += usize::from(world.flights.is_torn());
    }
    assert!(answered > 10_000 && torn < 200, "{answered} answered, {torn} torn");
}

#[test]
fn a_reply_that_is_not_what_its_head_says_loses_the_link_and_nothing_else() {
    let mut world = World::new(1);
    for at in [0, 1] {
        world.flights.submit(
            &world.lines,
            &Framing::default(),
            command("get"),
            Bill::default(),
            false,
            slot(at),
            |out| {
                encode::request([&b"get"[..], b"k"].into_iter(), out);
            },
        );
    }
    world.flights.close_frames(&world.lines);
    world.write(1);
    let link = world.lines.links[1].clone();
    link.write_with(|bytes| Ok(bytes.len())).unwrap();
    let id = world.flights.frames[1].id;
    let flags = Flags::default();
    let head = ReplyHead { status: Status::Done, flags, session: 7, id, done: 1, epoch: 0, state: 0 };
    assert!(world.flights.on_reply(&mut world.core, &link, head, b"no entry").is_err());
    let (incarnation, written) = link.went_down();
    world.flights.on_lost(&mut world.core, &link, incarnation, written);
    world.peers[1] = Peer::default();
    world.asked = vec![(reply_to(b"get", "k"), true), (reply_to(b"get", "k"), true)];
    world.finish();
    world.check(1);
}

#[test]
fn a_shot_whose_answer_is_none_is_lost_with_its_link() {
    let mut world = World::new(2);
    let link = world.lines.links[0].clone();
    let mut shot = Shot::new(Kind::Request, Target::Slot(slot(0)), 1, false, Payload::Bytes(Vec::new()));
    let (id, _) = world.flights.begin_shot(&link);
    shot.sent(id);
    world.flights.end_shot(id, 0);
    world.flights.shots = vec![shot];
    let flags = Flags::default();
    let head = ReplyHead { status: Status::Done, flags, session: 7, id, done: 1, epoch: 0, state: 0 };
    assert!(world.flights.on_reply(&mut world.core, &link, head, b"no entry").is_err());
    let (incarnation, written) = link.went_down();
    world.flights.on_lost(&mut world.core, &link, incarnation, written);
    assert!(world.flights.shots[0].is_unknown());
}

#[test]
fn answers_that_have_left_are_forgotten_though_something_is_always_under_way() {
    let mut world = World::new(3);
    let mut most = 0;
    for _ in 0..20_000 {
        // Two nodes in turn: no frame's replies may pass on as they come.
        for at in [0, 1, 0, 1] {
            if world.flights.has_room() {
                let number = world.asked.len() + 1_000_000;
                world.flights.submit(
                    &world.lines,
                    &Framing::default(),
                    command("get"),
                    Bill::default(),
                    false,
                    slot(at),
                    |out| {
                        encode::request([&b"get"[..], number.to_string().as_bytes()].into_iter(), out);
                    },
                );
                world.asked.push((reply_to(b"get", &number.to_string()), true));
            }
        }
        world.flights.close_frames(&world.lines);
        for at in 0..2 {
            world.write(at);
            world.peers[at].run(&mut world.dice, &mut world.ran);
            world.deliver(at);
        }
        world.go_on();
        most = most.max(world.flights.stash.bytes.len());
    }
    assert!(world.asked.len() > 20_000 && most < 4 * STASH_BYTES_MAX, "{} {most}", world.asked.len());
    world.finish();
    world.check(3);
}

#[test]
fn a_shot_that_waited_too_long_takes_no_time_from_later_requests() {
    let mut world = World::new(4);
    let link = world.lines.links[0].clone();
    let mut shot = Shot::new(Kind::Request, Target::Slot(slot(0)), 1, false, Payload::Bytes(Vec::new()));
    let (id, _) = world.flights.begin_shot(&link);
    shot.sent(id);
    world.flights.shots = vec![shot];
    let flags = Flags::default();
    let head = ReplyHead { status: Status::Paused, flags, session: 7, id, done: 0, epoch: 0, state: 0 };
    world.flights.on_reply(&mut world.core, &link, head, b"").unwrap();
    assert!(world.flights.shots[0].is_paused());
    world.flights.submit(&world.lines, &Framing::default(), command("get"), Bill::default(), false, slot(0), |out| {
        encode::request([&b"get"[..], b"k"].into_iter(), out);
    });
    world.flights.close_frames(&world.lines);
    let head = ReplyHead { status: Status::Moved, id: id.wrapping_add(1), ..head };
    world.flights.on_reply(&mut world.core, &link, head, b"").unwrap();
    assert!(world.flights.stuck_since().unwrap().elapsed() < WAIT_MAX / 2);
}

#[test]
fn a_long_reply_behind_another_gets_room_when_its_turn_has_come() {
    let mut world = World::new(5);
    for at in [0, 1] {
        world.flights.submit(
            &world.lines,
            &Framing::default(),
            command("get"),
            Bill::default(),
            false,
            slot(at),
            |out| {
                encode::request([&b"get"[..], b"k"].into_iter(), out);
            },
        );
    }
    world.flights.close_frames(&world.lines);
    let links = world.lines.links.clone();
    let written = |at: usize| {
        let mut written = Vec::new();
        let write = |bytes: &[u8]| {
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        };
        links[at].write_with(write).unwrap();
        written
    };
    written(1);
    let ids = [world.flights.frames[0].id, world.flights.frames[1].id];
    let head = |id, flags| ReplyHead { status: Status::Done, flags, session: 7, id, done: 1, epoch: 0, state: 0 };
    let mut entry = vec![0; Entry::BYTES];
    Entry { reply_bytes: 8, ..Entry::default() }.overwrite(0, &mut entry);
    world.flights.on_reply(&mut world.core, &links[1], head(ids[1], Flags::MORE), &entry).unwrap();
    world.flights.on_chunk(&mut world.core, &links[1], ids[1], false, b"$2\r\n").unwrap();
    assert!(written(1).is_empty());
    Entry { reply_bytes: 5, ..Entry::default() }.overwrite(0, &mut entry);
    let body = [&entry[..], b"$-1\r\n"].concat();
    world.flights.on_reply(&mut world.core, &links[0], head(ids[0], Flags::default()), &body).unwrap();
    let bytes = written(1);
    let wire = Wire::first(&bytes).unwrap().unwrap();
    let credit = frame::CreditHead::read(wire.rest).unwrap();
    assert_eq!((wire.kind, credit.session, credit.bytes), (Kind::Credit, 7, 4));
    world.flights.on_chunk(&mut world.core, &links[1], ids[1], true, b"ab\r\n").unwrap();
    assert_eq!(world.flights.ready().to_vec(), b"$-1\r\n$2\r\nab\r\n");
}
