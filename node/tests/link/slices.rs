//! Long replies that are written in slices, between those of others.

use swell_node::link::frame::{self, Flags, Kind, RequestHead, Status};

use crate::peer::*;

const MANY: usize = 60_000;

fn filled() -> Peer {
    let mut peer = Peer::new();
    let elements: Vec<String> = (0..MANY).map(element).collect();
    for part in elements.chunks(500) {
        let mut words = vec!["RPUSH", "list"];
        words.extend(part.iter().map(String::as_str));
        peer.call(0, &words);
    }
    peer
}

fn element(n: usize) -> String {
    format!("element:{n}")
}

fn listed() -> String {
    let lines: String = (0..MANY).map(element).map(|text| format!("${}\r\n{text}\r\n", text.len())).collect();
    format!("*{MANY}\r\n{lines}")
}

/// Goes on until a session's frame is answered whole; returns how often that took.
fn turns_until_whole(peer: &mut Peer, session: u32) -> usize {
    for turn in 1..10_000 {
        peer.resume();
        peer.send(&credit(session, 1 << 20));
        let mut chunks = peer.got.iter().filter_map(|got| match got {
            Got::Chunk(head, _) => Some((head.session, head.last)),
            _ => None,
        });
        if chunks.next_back() == Some((session, true)) {
            return turn;
        }
    }
    panic!("it never ends");
}

#[test]
fn others_run_between_two_slices_and_the_session_itself_keeps_its_order() {
    let mut peer = filled();
    peer.call(0, &["SET", "k", "v"]);
    let ask = [&["GET", "k"][..], &["LRANGE", "list", "0", "-1"], &["GET", "k"]];
    peer.send(&[request(1, 1, &ask), request(1, 2, &[&["GET", "k"]]), request(2, 1, &[&["GET", "k"]])].concat());
    let first = peer.answer();
    assert_eq!(
        (first.head.session, text(&first.replies).as_str()),
        (2, "$1\r\nv\r\n"),
        "it stands before the long one"
    );
    assert!(peer.sessions.goes_on());
    // What happens meanwhile does not show.
    assert_eq!(peer.call(3, &["DEL", "list"]), ":1\r\n");
    let turns = turns_until_whole(&mut peer, 1);
    assert!(turns >= MANY / 4_096, "{turns}");
    let answers = join(peer.got.drain(..).collect());
    let order: Vec<_> = answers.iter().map(|answer| (answer.head.session, answer.head.id)).collect();
    assert_eq!(order, [(1, 1), (1, 2)]);
    let long = listed();
    assert!(text(&answers[0].replies) == format!("$1\r\nv\r\n{long}$1\r\nv\r\n"));
    let [before, range, after] = &answers[0].entries[..] else { panic!("three requests") };
    assert_eq!((before.work, after.work, range.failed), (1, 1, false));
    assert_eq!((range.work, range.reply_bytes as usize), (MANY as u64, long.len()));
    assert_eq!(range.data_bytes as usize, (0..MANY).map(|n| element(n).len()).sum::<usize>());
    assert!(!peer.sessions.goes_on());
}

#[test]
fn a_frame_in_the_middle_of_a_long_reply_is_not_refused() {
    let mut peer = filled();
    peer.send(&request(1, 1, &[&["LRANGE", "list", "0", "-1"]]));
    peer.view.set_state(1);
    turns_until_whole(&mut peer, 1);
    let answers = join(peer.got.drain(..).collect());
    assert_eq!((answers[0].head.status, answers[0].head.done), (Status::Done, 1));
    assert!(text(&answers[0].replies) == listed());
}

#[test]
fn in_a_transaction_it_comes_at_once() {
    let mut peer = filled();
    let body = bodies(&[&["LRANGE", "list", "0", "-1"], &["LLEN", "list"]]);
    peer.send(&framed(Kind::Exec, RequestHead { flags: Flags::default(), ..head(1, 1, 2) }, &body));
    // It is much work: what stands behind it comes at the next turn, under the same locks.
    while peer.sessions.goes_on() {
        peer.resume();
    }
    peer.send(&credit(1, 1 << 20));
    peer.send(&credit(1, 1 << 20));
    let answers = join(peer.got.drain(..).collect());
    assert!(text(&answers[0].replies) == format!("{}:{MANY}\r\n", listed()));
}

#[test]
fn a_session_that_ends_in_the_middle_leaves_nothing() {
    let mut peer = filled();
    peer.send(&request(1, 1, &[&["LRANGE", "list", "0", "-1"]]));
    peer.call(2, &["DEL", "list"]);
    let mut close = Vec::new();
    frame::close(1, &mut close);
    peer.send(&close);
    peer.resume();
    assert!(!peer.sessions.goes_on() && peer.got.is_empty());
    let turns = (1..).take_while(|_| peer.handle.free_garbage()).count();
    assert!(turns >= 1, "what the reply was written from is freed in slices too");
}
