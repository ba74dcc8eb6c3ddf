//! Channels with several connections: in one process, on several nodes, behind two proxies, and while slots move.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Conn, DEADLINE, Reply, Server, Subject, Swell, Topology, encode, everywhere, wait_for};

/// Subscribers that one message goes to.
const SUBSCRIBERS: usize = 100;
/// Messages of each publisher while slots move.
const MESSAGES: usize = 2_000;
/// Publishers and channels while slots move: the channels lie in different slots.
const PUBLISHERS: usize = 4;

everywhere! {
    messages_reach_every_subscriber_once_and_in_order
    a_subscriber_gets_messages_while_another_answer_is_late
    publish_counts_who_is_there
    events_of_keys_reach_subscribers
    a_transaction_publishes_on_any_channel
}

fn subscribe(conn: &mut Conn, word: &str, names: &[&str]) {
    conn.send(&encode(&[&[word], names].concat()));
    names.iter().for_each(|_| drop(conn.reply()));
}

/// A connection that has subscribed.
fn subscriber(server: &Server, word: &str, names: &[&str]) -> Conn {
    let mut conn = server.conn();
    subscribe(&mut conn, word, names);
    conn
}

fn texts(reply: &Reply) -> Vec<String> {
    reply.items().iter().map(Reply::text).collect()
}

/// Nothing more has come: the answer to a PING is what comes next.
fn assert_quiet(conn: &mut Conn) {
    assert_eq!(texts(&conn.cmd(&["PING"])), ["pong", ""]);
}

fn messages_reach_every_subscriber_once_and_in_order(topology: Topology) {
    let server = Subject::resp_in(topology);
    let mut subscribers: Vec<Conn> =
        (0..SUBSCRIBERS).map(|_| subscriber(&server, "SUBSCRIBE", &["news", "other"])).collect();
    let mut patterns = subscriber(&server, "PSUBSCRIBE", &["n?ws", "*"]);
    let mut publisher = server.conn();
    let long = "l".repeat(300_000);
    let messages: Vec<String> = (0..20).map(|n| format!("m{n}")).chain([long]).collect();
    for message in &messages {
        assert_eq!(publisher.cmd(&["PUBLISH", "news", message]).int(), SUBSCRIBERS as i64 + 2);
    }
    for conn in &mut subscribers {
        for message in &messages {
            assert_eq!(texts(&conn.reply()), ["message", "news", message]);
        }
        assert_quiet(conn);
    }
    for message in &messages {
        let mut both = [texts(&patterns.reply()), texts(&patterns.reply())];
        both.sort();
        assert_eq!(both[0], ["pmessage", "*", "news", message]);
        assert_eq!(both[1], ["pmessage", "n?ws", "news", message]);
    }
    assert_quiet(&mut patterns);
}

fn a_subscriber_gets_messages_while_another_answer_is_late(topology: Topology) {
    let server = Subject::resp_in(topology);
    let mut conn = server.conn();
    conn.cmd(&["HELLO", "3"]);
    subscribe(&mut conn, "SUBSCRIBE", &["c"]);
    conn.send(&encode(&["DEBUG", "SLEEP", "0.5"]));
    if !Subject::is_swell() {
        // There everybody sleeps.
        assert_eq!(conn.reply().text(), "OK");
    }
    let mut publisher = server.conn();
    assert_eq!(publisher.cmd(&["PUBLISH", "c", "now"]).int(), 1);
    assert_eq!(texts(&conn.reply()), ["message", "c", "now"]);
    if Subject::is_swell() {
        assert_eq!(conn.reply().text(), "OK");
    }
}

fn publish_counts_who_is_there(topology: Topology) {
    let server = Subject::resp_in(topology);
    let mut publisher = server.conn();
    let mut count = |channel: &str| publisher.cmd(&["PUBLISH", channel, "m"]).int();
    let mut one = subscriber(&server, "SUBSCRIBE", &["c"]);
    assert_eq!(count("c"), 1);
    let mut two = subscriber(&server, "SUBSCRIBE", &["c"]);
    let mut three = subscriber(&server, "PSUBSCRIBE", &["c*"]);
    assert_eq!((count("c"), count("cc"), count("d")), (3, 1, 0));
    for reply in ["message", "message"] {
        assert_eq!(one.reply().items()[0].text(), reply);
    }
    subscribe(&mut one, "UNSUBSCRIBE", &["c"]);
    assert_eq!(count("c"), 2);
    assert_eq!(one.cmd(&["PING"]).text(), "PONG");
    let mut asking = server.conn();
    assert_eq!(asking.cmd(&["PUBSUB", "NUMSUB", "c", "x"]).items()[1].int(), 1);
    assert_eq!(asking.cmd(&["PUBSUB", "NUMPAT"]).int(), 1);
    assert_eq!(texts(&asking.cmd(&["PUBSUB", "CHANNELS"])), ["c"]);
    // Whoever leaves is counted no more, though nobody waits for that.
    drop(two.frame());
    drop((two, three.frame(), three));
    wait_for("those who have left to be forgotten", DEADLINE, || (count("c") == 0).then_some(()));
    assert_eq!(asking.cmd(&["PUBSUB", "CHANNELS"]).items(), []);
}

fn events_of_keys_reach_subscribers(topology: Topology) {
    let server = Subject::resp_in(topology);
    let mut conn = server.conn();
    assert_eq!(conn.cmd(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]).text(), "OK");
    let mut events = subscriber(&server, "PSUBSCRIBE", &["__key*__:*"]);
    let mut one = subscriber(&server, "SUBSCRIBE", &["__keyspace@0__:key:7"]);
    for n in 0..20 {
        let key = format!("key:{n}");
        assert_eq!(conn.cmd(&["SET", &key, "v"]).text(), "OK");
        assert_eq!(texts(&events.reply())[2..], [format!("__keyspace@0__:{key}"), "set".to_owned()]);
        assert_eq!(texts(&events.reply())[2..], ["__keyevent@0__:set".to_owned(), key]);
    }
    assert_eq!(texts(&one.reply()), ["message", "__keyspace@0__:key:7", "set"]);
    assert_quiet(&mut one);
    assert_eq!(conn.cmd(&["CONFIG", "SET", "notify-keyspace-events", ""]).text(), "OK");
    assert_eq!(conn.cmd(&["DEL", "key:7"]).int(), 1);
    assert_quiet(&mut one);
}

/// The channel's slot is another than the key's: a channel is no key.
fn a_transaction_publishes_on_any_channel(topology: Topology) {
    let server = Subject::resp_in(topology);
    let mut one = subscriber(&server, "SUBSCRIBE", &["a", "b", "c"]);
    let mut conn = server.conn();
    for words in
        [&["MULTI"][..], &["SET", "k", "v"], &["PUBLISH", "a", "1"], &["PUBLISH", "b", "2"], &["PUBLISH", "c", "3"]]
    {
        assert!(!conn.cmd(words).is_error(), "{words:?}");
    }
    let answers = conn.cmd(&["EXEC"]);
    assert_eq!(answers.items()[1..], [1, 1, 1].map(Reply::Int));
    for (channel, message) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(texts(&one.reply()), ["message", channel, message]);
    }
}

#[test]
fn two_proxies_hand_messages_on_to_each_other() {
    let first = Topology::Remote3.start(&[]);
    let second = Swell::join(&first, &[]);
    for (here, there) in [(&first, &second), (&second, &first)] {
        let mut near = subscriber(here, "SUBSCRIBE", &["c"]);
        let mut far = subscriber(there, "SUBSCRIBE", &["c"]);
        let mut publisher = here.conn();
        for n in 0..50 {
            assert_eq!(publisher.cmd(&["PUBLISH", "c", &n.to_string()]).int(), 2);
        }
        for n in 0..50 {
            assert_eq!(texts(&near.reply()), ["message", "c", &n.to_string()]);
            assert_eq!(texts(&far.reply()), ["message", "c", &n.to_string()]);
        }
        near.cmd(&["RESET"]);
        far.cmd(&["RESET"]);
    }
}

/// No message is lost and none comes twice, whoever owns its channel's slot meanwhile.
#[test]
fn messages_are_neither_lost_nor_doubled_while_slots_move() {
    let first = Topology::Moving3.start(&[]);
    let second = Swell::join(&first, &[]);
    let channels: Vec<String> = (0..PUBLISHERS).map(|n| format!("channel:{n}")).collect();
    let names: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut subscribers = [
        subscriber(&first, "SUBSCRIBE", &names),
        subscriber(&second, "SUBSCRIBE", &names),
        subscriber(&first, "PSUBSCRIBE", &["channel:*"]),
    ];
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (n, channel) in channels.iter().enumerate() {
            let mut publisher = if n % 2 == 0 { first.conn() } else { second.conn() };
            let failed = &failed;
            scope.spawn(move || {
                for message in 0..MESSAGES {
                    let reply = publisher.cmd(&["PUBLISH", channel, &message.to_string()]);
                    if reply != Reply::Int(3) {
                        failed.store(true, Ordering::Relaxed);
                        panic!("message {message} on {channel}: {reply:?}");
                    }
                }
            });
        }
        for conn in &mut subscribers {
            let failed = &failed;
            scope.spawn(move || {
                let mut counts: HashMap<String, Vec<usize>> = HashMap::new();
                for _ in 0..PUBLISHERS * MESSAGES {
                    if failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let parts = texts(&conn.reply());
                    let [.., channel, message] = &parts[..] else { panic!("no message: {parts:?}") };
                    counts.entry(channel.clone()).or_default().push(message.parse().expect("it is a number"));
                }
                for (channel, mut messages) in counts {
                    messages.sort_unstable();
                    assert!(messages.into_iter().eq(0..MESSAGES), "{channel}: not each message once");
                }
                assert_quiet(conn);
            });
        }
    });
}

/// It is closed at its limit, and nobody else notices.
#[test]
fn a_subscriber_that_never_reads_is_closed() {
    let server = Swell::start(&["--workers", "1"]);
    let mut conn = server.conn();
    assert_eq!(conn.cmd(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 4mb 0 0"]).text(), "OK");
    let mut deaf = subscriber(&server, "SUBSCRIBE", &["c"]);
    let message = "m".repeat(100_000);
    wait_for("the deaf subscriber to be closed", DEADLINE, || {
        (conn.cmd(&["PUBLISH", "c", &message]).int() == 0).then_some(())
    });
    assert!(deaf.until_closed().expect("it is closed").len() < 16 << 20);
    let resident = server.proc_status("VmRSS");
    assert!(resident < 200_000, "{resident} kB");
}

#[test]
fn subscribers_are_told_by_type_and_killed_by_type() {
    let server = Subject::resp();
    let mut one = subscriber(&server, "PSUBSCRIBE", &["c"]);
    let mut conn = server.conn();
    let listed = conn.cmd(&["CLIENT", "LIST", "TYPE", "PUBSUB"]).text();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("flags=P ") && listed.contains(" sub=0 psub=1 ssub=0 "), "{listed}");
    assert_eq!(conn.cmd(&["CLIENT", "KILL", "TYPE", "pubsub"]).int(), 1);
    assert_eq!(one.until_closed(), Ok(Vec::new()));
    wait_for("the pattern to be forgotten", DEADLINE, || (conn.cmd(&["PUBSUB", "NUMPAT"]).int() == 0).then_some(()));
}
