//! Several proxies in front of one cache: whichever is asked answers for all of them.

use crate::harness::{Conn, DEADLINE, Reply, Server, Swell, wait_for};

/// Two proxies that know of each other, in front of one node.
fn two() -> (Server, Server) {
    let one = Swell::start(&["--first-node", "process", "--node-workers", "1"]);
    let other = Swell::join(&one, &[]);
    let (mut here, mut there) = (one.conn(), other.conn());
    for (conn, name) in [(&mut here, "name=here"), (&mut there, "name=there")] {
        ok(conn, &["CLIENT", "SETNAME", name.trim_start_matches("name=")]);
    }
    for conn in [&mut here, &mut there] {
        let knows = |all: &str| all.contains("name=here") && all.contains("name=there");
        wait_for("the proxies to know of each other", DEADLINE, || knows(&list(conn)).then_some(()));
    }
    (one, other)
}

fn ok(conn: &mut Conn, words: &[&str]) {
    let reply = conn.cmd(words);
    assert_eq!(reply, Reply::Simple("OK".to_owned()), "{words:?}");
}

fn list(conn: &mut Conn) -> String {
    conn.cmd(&["CLIENT", "LIST"]).text()
}

/// A field of a line of CLIENT LIST.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.split(' ').find_map(|field| field.split_once('=').filter(|(known, _)| *known == name));
    found.map_or("", |(_, value)| value)
}

fn info(conn: &mut Conn, section: &str, name: &str) -> Option<String> {
    let text = conn.cmd(&["INFO", section]).text();
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(known, _)| *known == name))
        .map(|(_, value)| value.to_owned())
}

#[test]
fn clients_are_listed_counted_and_ended_wherever_they_are() {
    let (one, other) = two();
    let (mut here, mut there) = (one.conn(), other.conn());
    let id = there.cmd(&["CLIENT", "ID"]).int();
    assert_ne!(here.cmd(&["CLIENT", "ID"]).int(), id);
    let all = list(&mut here);
    let mut ids: Vec<&str> = all.lines().map(|line| field(line, "id")).collect();
    assert!(ids.contains(&id.to_string().as_str()), "{all}");
    assert_eq!(info(&mut here, "clients", "connected_clients"), Some(ids.len().to_string()));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "no two have the same number");
    assert!(list(&mut there).lines().any(|line| field(line, "cmd") == "client|list"));
    assert_eq!(here.cmd(&["CLIENT", "KILL", "ID", &id.to_string()]).int(), 1);
    assert!(there.until_closed().is_ok());
    assert!(here.cmd(&["CLIENT", "KILL", "127.0.0.1:1"]).is_error());
    // Who waits for a key at one is told by the other.
    let mut waiter = other.conn();
    let id = waiter.cmd(&["CLIENT", "ID"]).int().to_string();
    waiter.send(b"BLPOP nosuch 0\r\n");
    wait_for("the client to wait", DEADLINE, || {
        (here.cmd(&["CLIENT", "UNBLOCK", &id, "ERROR"]).int() == 1).then_some(())
    });
    assert!(waiter.reply().error().starts_with("UNBLOCKED"));
}

#[test]
fn logs_and_figures_are_those_of_all_proxies() {
    let (one, other) = two();
    let (mut here, mut there) = (one.conn(), other.conn());
    // So much more than anything else takes, on a busy machine too.
    ok(&mut here, &["CONFIG", "SET", "slowlog-log-slower-than", "200000", "latency-monitor-threshold", "200"]);
    assert_eq!(there.cmd(&["CONFIG", "GET", "slowlog-log-slower-than"]).items()[1].text(), "200000");
    ok(&mut there, &["DEBUG", "SLEEP", "0.25"]);
    ok(&mut here, &["DEBUG", "SLEEP", "0.25"]);
    for conn in [&mut here, &mut there] {
        assert_eq!(conn.cmd(&["SLOWLOG", "LEN"]).int(), 2);
        let entries = conn.cmd(&["SLOWLOG", "GET"]);
        let ids: Vec<i64> = entries.items().iter().map(|entry| entry.items()[0].int()).collect();
        assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
        assert_eq!(conn.cmd(&["SLOWLOG", "GET", "1"]).items().len(), 1);
        assert_eq!(conn.cmd(&["LATENCY", "LATEST"]).items()[0].items()[5].int(), 2);
    }
    ok(&mut there, &["SLOWLOG", "RESET"]);
    assert_eq!(here.cmd(&["LATENCY", "RESET"]).int(), 1);
    assert_eq!(here.cmd(&["SLOWLOG", "LEN"]).int(), 0);
    assert!(there.cmd(&["LATENCY", "LATEST"]).items().is_empty());
    assert!(there.cmd(&["AUTH", "nobody", "x"]).is_error());
    assert_eq!(here.cmd(&["ACL", "LOG"]).items().len(), 1);
    ok(&mut here, &["ACL", "LOG", "RESET"]);
    assert!(there.cmd(&["ACL", "LOG"]).items().is_empty());
    assert!(there.cmd(&["EVAL", "return redis.call('SLOWLOG', 'LEN')", "0"]).is_error(), "a script asks nobody");
    ok(&mut here, &["CONFIG", "RESETSTAT"]);
    for conn in [&mut here, &mut there] {
        ok(conn, &["SET", "k", "v"]);
    }
    let calls =
        |conn: &mut Conn| info(conn, "commandstats", "cmdstat_set").is_some_and(|row| row.starts_with("calls=2,"));
    wait_for("what both have counted", DEADLINE, || (calls(&mut here) && calls(&mut there)).then_some(()));
}

#[test]
fn a_pause_holds_everywhere_until_anybody_ends_it() {
    let (one, other) = two();
    let (mut here, mut there) = (one.conn(), other.conn());
    ok(&mut here, &["CLIENT", "PAUSE", "600000", "WRITE"]);
    there.send(b"SET k v\r\n");
    wait_for("the write to wait", DEADLINE, || {
        list(&mut here).lines().any(|line| field(line, "flags") == "b").then_some(())
    });
    assert_eq!(info(&mut other.conn(), "clients", "paused_actions").as_deref(), Some("write"));
    // Whoever comes later has to hear of it.
    let third = Swell::join(&one, &[]);
    let mut late = third.conn();
    wait_for("the third proxy to pause", DEADLINE, || {
        (info(&mut late, "clients", "paused_actions").as_deref() == Some("write")).then_some(())
    });
    ok(&mut other.conn(), &["CLIENT", "UNPAUSE"]);
    assert_eq!(there.reply(), Reply::Simple("OK".to_owned()));
    ok(&mut late, &["SET", "k", "w"]);
}

#[test]
fn who_monitors_is_shown_what_clients_of_all_proxies_call() {
    let (one, other) = two();
    let mut monitor = other.conn();
    ok(&mut monitor, &["MONITOR"]);
    let (mut here, mut there) = (one.conn(), other.conn());
    here.cmd(&["GET", "far"]);
    let far = monitor.reply().text();
    assert!(far.ends_with("\"GET\" \"far\""), "{far}");
    there.cmd(&["GET", "near"]);
    let near = monitor.reply().text();
    assert!(near.ends_with("\"GET\" \"near\""), "{near}");
}
