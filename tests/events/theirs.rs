//! valkey-server 9.1 with somebody who listens.

use super::Event;
use crate::differential::Request;
use crate::harness::{Conn, DEADLINE, Real, Reply, Server, wait_for};

/// Behind this answer to the listener's PING, everything that came before it has been told.
const MARK: &str = "mark";

/// Longer than any time to live that a record waits for, in microseconds.
const PASSING_US: i64 = 5_000;

/// A server, one who asks and one who listens.
pub struct Theirs {
    server: Server,
    asking: Conn,
    listening: Conn,
}

impl Theirs {
    /// Tells of every class, and of these.
    pub fn new(more: &str) -> Theirs {
        Theirs::only(&format!("A{more}"))
    }

    /// Tells of these classes only. What has expired goes when somebody comes by, as it does in an engine that nobody
    /// keeps up.
    pub fn only(classes: &str) -> Theirs {
        let classes = format!("E{classes}");
        let server = Real::valkey(&["--enable-debug-command", "yes", "--notify-keyspace-events", &classes]);
        let (mut asking, mut listening) = (server.conn(), server.conn());
        assert_eq!(asking.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).text(), "OK");
        listening.cmd(&["PSUBSCRIBE", "__keyevent@*__:*"]);
        Theirs { server, asking, listening }
    }

    /// One more connection.
    pub fn conn(&self) -> Conn {
        self.server.conn()
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        for request in [&["SELECT", "0"][..], &["FLUSHALL"]] {
            assert_eq!(self.asking.cmd(request).text(), "OK");
        }
        self.told();
    }

    /// Waits until what is to live for a millisecond or two is dead.
    pub fn pass(&mut self) {
        let mut now_us = || -> i64 {
            let time = self.asking.cmd(&["TIME"]);
            let parts: Vec<i64> = time.items().iter().map(|part| part.text().parse().expect("a number")).collect();
            parts[0] * 1_000_000 + parts[1]
        };
        let until_us = now_us() + PASSING_US;
        wait_for("some time to pass", DEADLINE, || (now_us() > until_us).then_some(()));
    }

    /// Runs a request; its reply and what was told.
    pub fn run(&mut self, request: &Request) -> (Reply, Vec<Event>) {
        let reply = self.asking.cmd_bytes(request);
        (reply, self.told())
    }

    fn told(&mut self) -> Vec<Event> {
        self.listening.send(format!("PING {MARK}\r\n").as_bytes());
        let mut told = Vec::new();
        loop {
            let heard = self.listening.reply();
            match heard.items() {
                [_, mark] if mark.text() == MARK => return told,
                [_, _, channel, Reply::Bulk(key)] => told.push(event(&channel.text(), key)),
                _ => panic!("nobody listens to {heard:?}"),
            }
        }
    }
}

/// `__keyevent@<db>__:<event>`
fn event(channel: &str, key: &[u8]) -> Event {
    let parts = channel.strip_prefix("__keyevent@").and_then(|rest| rest.split_once("__:"));
    let (db, event) = parts.unwrap_or_else(|| panic!("{channel} is no channel of events"));
    Event { db: db.parse().expect("a database"), event: event.to_owned(), key: key.to_vec() }
}
