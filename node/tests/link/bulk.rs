//! Work that a helper thread does: its session waits in order, others run, and a link that goes leaves nothing locked.

use std::thread;
use std::time::{Duration, Instant};

use swell_node::link::frame;

use crate::peer::*;

const MANY: usize = 40_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn filled() -> Peer {
    let mut peer = Peer::new();
    let members: Vec<String> = (0..MANY).map(|n| format!("member:{n}")).collect();
    for (key, part) in members.chunks(500).flat_map(|part| [("{k}a", part), ("{k}b", part)]) {
        let words: Vec<&str> = ["SADD", key].into_iter().chain(part.iter().map(String::as_str)).collect();
        peer.call(0, &words);
    }
    peer.call(0, &["SADD", "{k}b", "another"]);
    peer
}

/// Goes on, when woken, until there are so many answers.
fn wait_for(peer: &mut Peer, answers: usize) {
    let begun = Instant::now();
    while peer.got.iter().filter(|got| matches!(got, Got::Reply(..))).count() < answers {
        assert!(begun.elapsed() < PATIENCE, "{:?}", peer.got);
        if peer.wakes() == 0 {
            thread::yield_now();
        }
        peer.resume();
    }
}

#[test]
fn a_helper_works_while_others_run() {
    let mut peer = filled();
    peer.call(0, &["SET", "x", "v"]);
    let store = ["SUNIONSTORE", "{k}to", "{k}a", "{k}b"];
    peer.send(
        &[
            request(1, 1, &[&["GET", "x"], &store, &["SCARD", "{k}to"]]),
            request(1, 2, &[&["GET", "x"]]),
            request(2, 1, &[&["SCARD", "{k}to"]]),
            request(3, 1, &[&["GET", "x"]]),
        ]
        .concat(),
    );
    let wakes = peer.wakes();
    wait_for(&mut peer, 4);
    assert!(peer.wakes() > wakes, "nobody asks again and again");
    let answers = peer.answers();
    let of = |session| answers.iter().filter(move |answer| answer.head.session == session);
    let count = MANY + 1;
    let replies: Vec<String> = of(1).map(|answer| text(&answer.replies)).collect();
    assert_eq!(replies, [format!("$1\r\nv\r\n:{count}\r\n:{count}\r\n"), "$1\r\nv\r\n".to_owned()]);
    let entry = of(1).next().unwrap().entries[1];
    assert_eq!((entry.work, entry.failed), (2 * MANY as u64 + 1, false));
    // It asked for a slot that was worked at: it has waited, or came after it.
    assert_eq!(of(2).map(|answer| text(&answer.replies)).collect::<String>(), format!(":{count}\r\n"));
    assert_eq!(of(3).map(|answer| text(&answer.replies)).collect::<String>(), "$1\r\nv\r\n");
}

#[test]
fn what_fails_there_is_an_error_here() {
    let mut peer = filled();
    peer.call(0, &["RPUSH", "{k}list", "x"]);
    peer.send(&request(1, 1, &[&["SUNION", "{k}a", "{k}b", "{k}list"]]));
    wait_for(&mut peer, 1);
    let answer = peer.answer();
    assert!(answer.entries[0].failed && text(&answer.replies).starts_with("-WRONGTYPE"));
}

#[test]
fn a_session_that_closes_leaves_nothing_locked() {
    let mut peer = filled();
    peer.send(&request(1, 1, &[&["SUNIONSTORE", "{k}to", "{k}a", "{k}b"]]));
    let mut close = Vec::new();
    frame::close(1, &mut close);
    peer.send(&close);
    peer.send(&request(2, 1, &[&["SCARD", "{k}to"]]));
    wait_for(&mut peer, 1);
    let replies: Vec<String> = peer.answers().iter().map(|answer| text(&answer.replies)).collect();
    assert_eq!(replies, [format!(":{}\r\n", MANY + 1)]);
}
