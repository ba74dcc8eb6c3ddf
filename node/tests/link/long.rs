//! Bodies that go in pieces.

use swell_engine::gate::Gate;
use swell_node::link::frame::{CHUNK_BYTES, CREDIT_BYTES, Flags, Kind, RequestHead, Status};
use swell_ring::slot_of;

use crate::peer::*;

#[test]
fn a_long_value_goes_both_ways_in_chunks_and_others_overtake_it() {
    let mut peer = Peer::new();
    let value: Vec<u8> = (0..5 * 1024 * 1024u32).map(|at| (at % 251) as u8).collect();
    let body = [resp_of(&["SET", "small", "1"]), resp_bytes(&[b"SET", b"big", &value]), resp_of(&["GET", "small"])];
    let body = body.concat();
    let mut pieces = body.chunks(CHUNK_BYTES);
    let long_head = RequestHead { flags: Flags::MORE, ..head(1, 1, 3) };
    peer.send(&framed(Kind::Request, long_head, pieces.next().unwrap()));
    let (mut given, count) = (CREDIT_BYTES, pieces.len());
    for (index, piece) in pieces.enumerate() {
        assert!(given >= piece.len(), "credit comes back as bytes are taken");
        given -= piece.len();
        peer.send(&chunk(1, 1, index + 1 == count, piece));
        peer.got.retain(|got| match got {
            Got::Credit(1, bytes) => {
                given += *bytes as usize;
                false
            }
            _ => true,
        });
    }
    assert_eq!(given, CREDIT_BYTES);
    assert_eq!(text(&peer.answer().replies), "+OK\r\n+OK\r\n$1\r\n1\r\n");

    // Back: at most the credit, a piece at a time; others overtake; the session's own next reply stays behind.
    peer.send(&[request(1, 2, &[&["GET", "big"]]), request(1, 3, &[&["GET", "small"]])].concat());
    peer.send(&request(2, 1, &[&["GET", "small"]]));
    let got: Vec<Got> = peer.got.drain(..).collect();
    let chunk_bytes = |got: &[Got]| -> usize {
        got.iter().map(|got| if let Got::Chunk(_, piece) = got { piece.len() } else { 0 }).sum()
    };
    assert_eq!(chunk_bytes(&got), CREDIT_BYTES, "as much as there is credit for");
    assert!(got.iter().any(|got| matches!(got, Got::Reply(head, _) if head.session == 2)), "it has overtaken");
    let mut all = got;
    for _ in 0..200 {
        peer.send(&credit(1, 3 * CHUNK_BYTES / 2));
        all.extend(peer.got.drain(..));
    }
    for got in &all {
        if let Got::Chunk(_, piece) = got {
            assert!(piece.len() <= CHUNK_BYTES);
        }
    }
    let answers = join(all);
    let order: Vec<_> = answers.iter().map(|answer| (answer.head.session, answer.head.id)).collect();
    assert_eq!(order, [(1, 2), (2, 1), (1, 3)]);
    let expected = [format!("${}\r\n", value.len()).into_bytes(), value, b"\r\n".to_vec()].concat();
    assert!(answers[0].replies == expected);
    assert_eq!(answers[0].entries[0].data_bytes, 5 * 1024 * 1024);
}

#[test]
fn a_short_reply_stands_behind_one_chunk_at_most() {
    let mut peer = Peer::new();
    let value = vec![b'x'; 900_000];
    for key in ["a", "b", "c"] {
        peer.send(&framed(Kind::Request, head(0, 1, 1), &resp_bytes(&[b"SET", key.as_bytes(), &value])));
    }
    peer.got.clear();
    let long: Vec<u8> =
        ["a", "b", "c"].iter().zip(1..).flat_map(|(key, session)| request(session, 1, &[&["GET", key]])).collect();
    assert!(peer.try_send(&long).is_ok());
    // The socket takes a little at a time; a short reply is asked for in between.
    let (mut bytes, mut asked) = (Vec::new(), 0);
    while let Some(part) = peer.sessions.outbox().chunk() {
        let now = part.len().min(10_000);
        bytes.extend_from_slice(&part[..now]);
        peer.sessions.outbox().advance(now);
        if asked < 20 {
            asked += 1;
            peer.try_send(&request(9, asked, &[&["STRLEN", "a"]])).unwrap();
        }
    }
    let behind = peer.sessions.counts().behind_bytes_max;
    assert!(behind > 0 && behind as usize <= CHUNK_BYTES + 64, "{behind}");
    // Between two short replies lies at most one piece.
    let mut since = 0;
    for got in parse(&bytes) {
        match got {
            Got::Reply(head, _) if head.session == 9 => since = 0,
            Got::Reply(..) | Got::Chunk(..) if asked > 0 => since += 1,
            _ => {}
        }
    }
    assert!(since > 20, "the long ones went on afterwards");
    let answers = join(parse(&bytes));
    assert_eq!(answers.iter().filter(|answer| answer.head.session == 9).count(), 20);
    assert!(answers.iter().filter(|answer| answer.replies.len() > value.len()).count() == 3);
}

#[test]
fn a_refused_long_frame_is_swallowed_and_credited() {
    let mut peer = Peer::new();
    set_gate(&peer.node, slot_of(b"gone"), Gate::Released);
    let body = [resp_of(&["GET", "gone"]), resp_bytes(&[b"SET", b"k", &vec![b'x'; 300_000]])].concat();
    let mut pieces = body.chunks(CHUNK_BYTES);
    peer.send(&framed(Kind::Request, RequestHead { flags: Flags::MORE, ..head(1, 1, 2) }, pieces.next().unwrap()));
    assert_eq!(peer.answer().head.status, Status::Moved);
    let (count, mut sent, mut credited) = (pieces.len(), 0, 0);
    for (index, piece) in pieces.enumerate() {
        sent += piece.len();
        peer.send(&chunk(1, 1, index + 1 == count, piece));
    }
    for got in peer.got.drain(..) {
        let Got::Credit(1, bytes) = got else { panic!("{got:?}") };
        credited += bytes as usize;
    }
    assert_eq!(credited, sent);
    let restart = RequestHead { flags: Flags::RESTART, ..head(1, 2, 1) };
    peer.send(&framed(Kind::Request, restart, &resp_of(&["EXISTS", "k"])));
    assert_eq!(text(&peer.answer().replies), ":0\r\n");
}
