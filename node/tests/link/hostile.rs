//! What no proxy sends.

use swell_engine::gate::Gate;
use swell_node::link::frame::{Flags, Kind, RequestHead};
use swell_node::link::{GATE_WAIT_MS, PARKED_BYTES_MAX};
use swell_ring::slot_of;

use crate::peer::*;

#[test]
fn a_session_that_sends_too_much_while_it_waits_ends_the_link() {
    let mut peer = Peer::new();
    set_gate(&peer.node, slot_of(b"a"), Gate::Sealed);
    peer.send(&request(1, 1, &[&["SET", "a", "1"]]));
    let value = vec![b'x'; 60_000];
    let frame = framed(Kind::Request, head(1, 2, 1), &resp_bytes(&[b"SET", b"a", &value]));
    let mut sent = 0;
    while peer.try_send(&frame).is_ok() {
        sent += frame.len();
        assert!(sent <= PARKED_BYTES_MAX + frame.len());
    }
    assert!(sent > PARKED_BYTES_MAX - 2 * frame.len(), "{sent}");
}

#[test]
fn bytes_that_no_proxy_sends_end_the_link_and_never_panic() {
    let good = [
        request(1, 1, &[&["SET", "a", "1"], &["GET", "a"]]),
        framed(Kind::Exec, head(2, 1, 2), &bodies(&[&["SELECT", "1"], &["GET", "a"]])),
        walk(3, 1, &"0-99".parse().unwrap(), &["KEYS", "*"]),
        framed(Kind::Request, RequestHead { flags: Flags::MORE, ..head(4, 1, 1) }, b"*2\r\n$3\r\nGET\r\n"),
        chunk(4, 1, true, b"$1\r\na\r\n"),
        credit(1, 100),
        framed(Kind::Request, RequestHead { flags: Flags::MEMCACHED.and(Flags::TEXT), ..head(5, 1, 1) }, b"get a\r\n"),
        framed(Kind::Stats, head(6, 1, 0), b""),
    ]
    .concat();
    Peer::new().send(&good);
    for bad in [
        framed(Kind::Request, head(1, 1, 2), &resp_of(&["GET", "a"])),
        framed(Kind::Request, head(1, 1, 1), &bodies(&[&["GET", "a"], &["GET", "a"]])),
        request(1, 1, &[&["GET"]]),
        request(1, 1, &[&["NOSUCH", "a"]]),
        request(1, 1, &[&["PING"]]),
        request(1, 1, &[&["KEYS", "*"]]),
        request(1 << 20, 1, &[&["GET", "a"]]),
        framed(Kind::Request, RequestHead { db: 16, ..head(1, 1, 1) }, &resp_of(&["GET", "a"])),
        framed(Kind::Request, head(1, 1, 1), b"*1\r\n$x\r\n"),
        framed(Kind::Reply, head(1, 1, 0), b""),
        chunk(1, 1, true, b"x"),
        vec![0, 0, 0, 0, 99],
    ] {
        assert!(Peer::new().try_send(&bad).is_err(), "{bad:?}");
    }
    let mut random = Random(99);
    let mut refused = 0;
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\r\n*$019"[random.below(7)]),
            }
        }
        let mut peer = Peer::new();
        refused += usize::from(peer.try_send(&bytes).is_err());
        peer.now_ms += 3 * GATE_WAIT_MS;
        peer.resume_quietly();
    }
    assert!(refused > 500, "{refused}");
}
