//! Work that a helper thread does: its session waits in order, others run, and a link that goes leaves nothing locked.

use std::sync::mpsc;
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

/// Something whose end a helper waits for.
struct Held(mpsc::Receiver<()>);

impl Drop for Held {
    fn drop(&mut self) {
        // It ends when the other side is dropped.
        let _ = self.0.recv();
    }
}

/// Keeps every helper busy until the value is dropped: what is sent meanwhile waits for one.
fn busy_helpers(peer: &Peer) -> [mpsc::Sender<()>; 4] {
    [(); 4].map(|()| {
        let (until_dropped, held) = mpsc::channel();
        peer.node.engine().free_elsewhere(Box::new(Held(held)));
        until_dropped
    })
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
    let busy = busy_helpers(&peer);
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
    drop(busy);
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
    let busy = busy_helpers(&peer);
    peer.send(&request(1, 1, &[&["SUNIONSTORE", "{k}to", "{k}a", "{k}b"]]));
    let mut close = Vec::new();
    frame::close(1, &mut close);
    peer.send(&close);
    peer.send(&request(2, 1, &[&["SCARD", "{k}to"]]));
    drop(busy);
    wait_for(&mut peer, 1);
    let replies: Vec<String> = peer.answers().iter().map(|answer| text(&answer.replies)).collect();
    assert_eq!(replies, [format!(":{}\r\n", MANY + 1)]);
}

#[test]
fn no_end_of_a_helpers_work_is_missed() {
    let mut peer = Peer::new();
    for round in 0..500 {
        let scripts: Vec<String> = (0..8).map(|n| format!("return {round} * {n}")).collect();
        let evals: Vec<[&str; 3]> = scripts.iter().map(|script| ["EVAL", script, "0"]).collect();
        let evals: Vec<&[&str]> = evals.iter().map(|eval| &eval[..]).collect();
        peer.send(&request(1, round, &evals));
        wait_for(&mut peer, 1);
        let expected: String = (0..8).map(|n| format!(":{}\r\n", round * n)).collect();
        assert_eq!(text(&peer.answer().replies), expected);
    }
}
