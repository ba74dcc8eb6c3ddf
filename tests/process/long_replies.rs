//! Long values beside other clients: a slow reader gets all of its reply, a fast writer does not keep others from theirs.

use crate::harness::{Server, Topology};

/// What nodes send of a long reply at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Enough requests of somebody else for a reply to get as far as its reader lets it.
fn let_it_come(server: &Server) {
    let mut other = server.conn();
    for _ in 0..30 {
        assert_eq!(other.cmd(&["PING"]).text(), "PONG");
    }
}

#[test]
fn a_reply_that_stops_anywhere_in_the_socket_goes_on_when_it_is_read() {
    for topology in [Topology::Embedded, Topology::Remote1] {
        let server = topology.start(&[]);
        let mut writer = server.conn();
        // One of these is as long as what the sockets take, so that only its very end has to wait.
        for chunks in 32..112 {
            let value = "v".repeat(chunks * CHUNK_BYTES);
            assert_eq!(writer.cmd(&["SET", "key", &value]).text(), "OK");
            let mut reader = server.conn();
            reader.send(b"GET key\r\n");
            let_it_come(&server);
            assert!(reader.reply().text() == value, "{topology:?}, {chunks} chunks");
        }
    }
}
