//! Link workers over real sockets: frames in, replies out, from several threads at once.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_node::Node;
use swell_node::control::NodeStats;
use swell_node::link::frame::{
    self, CHUNK_BYTES, ChunkHead, CreditHead, Entry, Flags, Frame, Kind, PREFIX_BYTES, ReplyHead, RequestHead, Status,
};
use swell_node::link::socket::Detached;
use swell_node::link::stats::NodeReport;
use swell_node::view::View;
use swell_node::worker::NodeWorkers;
use swell_ring::slot_of;

/// A proxy's end of a link, blocking.
struct Proxy {
    socket: UnixStream,
    unread: Vec<u8>,
}

impl Proxy {
    fn new(workers: &NodeWorkers) -> Proxy {
        let (socket, other) = UnixStream::pair().unwrap();
        other.set_nonblocking(true).unwrap();
        workers.give(Detached::Unix(other));
        Proxy { socket, unread: Vec::new() }
    }

    fn send(&mut self, session: u32, id: u32, epoch: u64, requests: &[&[&[u8]]]) {
        let head = RequestHead { session, id, epoch, count: requests.len() as u16, ..RequestHead::default() };
        let body: Vec<u8> = requests.iter().flat_map(|words| resp_of(words)).collect();
        self.socket.write_all(&framed(Kind::Request, head, &body)).unwrap();
    }

    /// The next frame: its kind, header and body.
    fn frame(&mut self) -> (Kind, Vec<u8>) {
        loop {
            if let Some(frame) = Frame::first(&self.unread).unwrap() {
                let (kind, rest, bytes) = (frame.kind, frame.rest.to_vec(), frame.bytes);
                self.unread.drain(..bytes);
                return (kind, rest);
            }
            let mut buf = [0; 64 * 1024];
            let read = self.socket.read(&mut buf).unwrap();
            assert!(read > 0, "the link has ended");
            self.unread.extend_from_slice(&buf[..read]);
        }
    }

    fn reply(&mut self) -> (ReplyHead, Vec<u8>) {
        let (kind, rest) = self.frame();
        assert_eq!(kind, Kind::Reply);
        let (head, body) = ReplyHead::read(&rest).unwrap();
        (head, body[head.done as usize * Entry::BYTES..].to_vec())
    }

    fn call(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.send(0, 0, 1, &[words]);
        self.reply().1
    }
}

fn resp_of(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn framed(kind: Kind, head: RequestHead, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = frame::begin(kind, &mut bytes);
    head.write(&mut bytes);
    bytes.extend_from_slice(body);
    frame::end(at, &mut bytes);
    bytes
}

fn start(count: usize) -> (Arc<Node>, Arc<View>, NodeWorkers) {
    let (node, view) = (Node::new(7), Arc::<View>::default());
    view.set_epoch(1);
    let workers = NodeWorkers::start(count, &node, &view).unwrap();
    (node, view, workers)
}

#[test]
fn clients_on_several_links_are_counted_and_each_reads_its_own() {
    let (node, _view, workers) = start(2);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let mut proxy = Proxy::new(&workers);
            scope.spawn(move || {
                let own = format!("own:{client}").into_bytes();
                for round in 0..500u32 {
                    for session in 0..20 {
                        proxy.send(session, round, 1, &[&[b"INCR", b"shared"], &[b"INCR", &own], &[b"GET", &own]]);
                    }
                    // A session that waits for the shared key's stripe is passed by others.
                    let (mut sessions, mut counts) = (BTreeSet::new(), BTreeSet::new());
                    for _ in 0..20 {
                        let (head, replies) = proxy.reply();
                        assert_eq!((head.id, head.status), (round, Status::Done));
                        let text = String::from_utf8(replies).unwrap();
                        let own = text.trim_end().rsplit("\r\n").next().unwrap();
                        assert!(text.ends_with(&format!(":{own}\r\n${}\r\n{own}\r\n", own.len())), "{text}");
                        sessions.insert(head.session);
                        counts.insert(own.parse::<u32>().unwrap());
                    }
                    assert_eq!(sessions, (0..20).collect());
                    assert_eq!(counts, (round * 20 + 1..=round * 20 + 20).collect());
                }
            });
        }
    });
    let mut proxy = Proxy::new(&workers);
    assert_eq!(proxy.call(&[b"GET", b"shared"]), b"$5\r\n40000\r\n");
    workers.stop();
    let stats = NodeStats::of(&node, true);
    assert_eq!((stats.requests, stats.work), (120_001, 120_001));
    assert!(stats.bytes_in > 120_000 * 20 && stats.bytes_out > 120_000 * 5 && stats.cpu_us > 0);
    assert_eq!(stats.heat[0], (slot_of(b"shared").number(), 40_001));
    assert_eq!((stats.heat.len(), NodeStats::of(&node, false).heat.len()), (5, 0));
    assert_eq!(node.stats().hits, 40_001);
}

#[test]
fn locks_maps_and_gates_wake_a_link_and_time_wakes_it_too() {
    let (node, view, workers) = start(1);
    let mut proxy = Proxy::new(&workers);
    let stripe = node.engine().stripe(stripe_of(slot_of(b"a")));
    let held = stripe.hold_patiently();
    proxy.send(1, 1, 1, &[&[b"INCR", b"b"], &[b"SET", b"a", b"1"]]);
    proxy.send(2, 1, 1, &[&[b"INCR", b"b"]]);
    assert_eq!(proxy.reply().0.session, 2, "the first one waits");
    drop(held);
    let (head, replies) = proxy.reply();
    assert_eq!((head.session, head.status, head.done), (1, Status::Done, 2));
    assert_eq!(replies, b":1\r\n+OK\r\n");
    proxy.send(1, 2, 2, &[&[b"GET", b"a"]]);
    view.set_epoch(2);
    assert_eq!(proxy.reply().1, b"$1\r\n1\r\n");
    stripe.set_gate(slot_of(b"a"), Gate::Sealed);
    proxy.send(1, 3, 2, &[&[b"INCR", b"a"]]);
    proxy.send(2, 2, 2, &[&[b"GET", b"a"]]);
    assert_eq!(proxy.reply().0.session, 2);
    stripe.set_gate(slot_of(b"a"), Gate::Serving);
    assert_eq!(proxy.reply().1, b":2\r\n");
    stripe.set_gate(slot_of(b"a"), Gate::Sealed);
    proxy.send(1, 4, 2, &[&[b"INCR", b"a"]]);
    assert_eq!(proxy.reply().0.status, Status::Paused);
    workers.stop();
}

#[test]
fn a_long_value_and_short_ones_share_a_link() {
    let (_node, _view, workers) = start(1);
    let mut proxy = Proxy::new(&workers);
    let value = vec![b'x'; 6_000_000];
    let body = resp_of(&[b"SET", b"big", &value]);
    let mut pieces = body.chunks(CHUNK_BYTES);
    let head = RequestHead { session: 1, epoch: 1, count: 1, flags: Flags::MORE, ..RequestHead::default() };
    let (mut credit, count) = (frame::CREDIT_BYTES, pieces.len() - 1);
    proxy.socket.write_all(&framed(Kind::Request, head, pieces.next().unwrap())).unwrap();
    for (index, piece) in pieces.enumerate() {
        while credit < piece.len() {
            let (kind, rest) = proxy.frame();
            assert_eq!(kind, Kind::Credit);
            credit += CreditHead::read(&rest).unwrap().bytes as usize;
        }
        credit -= piece.len();
        let mut frame = Vec::with_capacity(PREFIX_BYTES + ChunkHead::BYTES + piece.len());
        let at = frame::begin(Kind::Chunk, &mut frame);
        ChunkHead { session: 1, id: 0, last: index + 1 == count }.write(&mut frame);
        frame.extend_from_slice(piece);
        frame::end(at, &mut frame);
        proxy.socket.write_all(&frame).unwrap();
    }
    let stored = loop {
        match proxy.frame() {
            (Kind::Credit, _) => {}
            (Kind::Reply, rest) => break rest,
            other => panic!("{other:?}"),
        }
    };
    assert!(stored.ends_with(b"+OK\r\n"));

    proxy.send(1, 2, 1, &[&[b"GET", b"big"]]);
    proxy.send(2, 1, 1, &[&[b"STRLEN", b"big"]]);
    let (mut got, mut overtaken) = (Vec::new(), false);
    loop {
        let (kind, rest) = proxy.frame();
        match kind {
            Kind::Reply => {
                let (head, body) = ReplyHead::read(&rest).unwrap();
                match head.session {
                    1 => got.extend_from_slice(&body[Entry::BYTES..]),
                    _ => overtaken = got.len() < value.len(),
                }
            }
            Kind::Chunk => {
                let (head, piece) = ChunkHead::read(&rest).unwrap();
                got.extend_from_slice(piece);
                let mut credit = Vec::new();
                CreditHead { session: 1, bytes: piece.len() as u32 }.frame(&mut credit);
                proxy.socket.write_all(&credit).unwrap();
                if head.last {
                    break;
                }
            }
            Kind::Credit => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(overtaken && got.len() == value.len() + b"$6000000\r\n\r\n".len() && got[10..6_000_010] == value);
    let head = RequestHead { session: 3, epoch: 1, ..RequestHead::default() };
    proxy.socket.write_all(&framed(Kind::Stats, head, b"")).unwrap();
    let report: NodeReport = serde_json::from_slice(&proxy.reply().1).unwrap();
    assert!(report.stats.used_bytes > 6_000_000 && report.stats.keys == 1 && report.heap.held_bytes > 0);
    assert!(report.stats.behind_bytes_max as usize <= CHUNK_BYTES + 64);
    workers.stop();
}
