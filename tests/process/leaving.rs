//! Leaving: what is in flight is finished, and the process is gone within two seconds.

use std::time::{Duration, Instant};

use crate::harness::{Conn, DEADLINE, Swell, wait_for};

/// What the process promises.
const LEAVE_MAX: Duration = Duration::from_secs(2);

#[test]
fn a_signal_lets_requests_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let mut swell = Swell::start(&[]);
        let mut busy = swell.conn();
        assert_eq!(busy.cmd(&["SET", "k", "v"]).text(), "OK");
        busy.send(b"DEBUG SLEEP 0.5\r\nGET k\r\n");
        let mut other = swell.conn();
        wait_for("the request to be running", DEADLINE, || {
            other.cmd(&["CLIENT", "LIST"]).text().contains("cmd=debug").then_some(())
        });
        let before = Instant::now();
        swell.signal(signal);
        assert_eq!(busy.reply().text(), "OK");
        assert_eq!(busy.reply().text(), "v");
        assert_eq!(busy.until_closed(), Ok(Vec::new()));
        let status = swell.exited(LEAVE_MAX);
        assert!(before.elapsed() < LEAVE_MAX, "it took {:?}", before.elapsed());
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
    }
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let mut swell = Swell::start(&[]);
    let mut conns: Vec<Conn> = (0..20).map(|_| swell.conn()).collect();
    for conn in &mut conns {
        assert_eq!(conn.cmd(&["PING"]).text(), "PONG");
    }
    let mut half = swell.conn();
    half.send(b"*2\r\n$3\r\nGET\r\n$1");
    swell.signal("TERM");
    assert_eq!(swell.exited(LEAVE_MAX).code(), Some(0));
    for conn in &mut conns {
        assert_eq!(conn.until_closed(), Ok(Vec::new()));
    }
}

#[test]
fn a_client_that_does_not_read_does_not_hold_it_up() {
    let mut swell = Swell::start(&[]);
    let mut greedy = swell.conn();
    assert_eq!(greedy.cmd(&["SET", "k", &"v".repeat(1 << 20)]).text(), "OK");
    greedy.send(&b"GET k\r\n".repeat(64));
    let mut other = swell.conn();
    wait_for("replies to pile up", DEADLINE, || {
        other.cmd(&["CLIENT", "LIST"]).text().contains("cmd=get").then_some(())
    });
    let before = Instant::now();
    swell.signal("TERM");
    swell.exited(LEAVE_MAX * 2);
    assert!(before.elapsed() < LEAVE_MAX + Duration::from_millis(500), "it took {:?}", before.elapsed());
}
