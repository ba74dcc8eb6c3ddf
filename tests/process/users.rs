//! Users over the whole process: on every proxy at once, in a file, over a restart, at every listener, on the bill.

use crate::harness::{Conn, DEADLINE, Dir, Reply, Server, Swell, get, request, wait_for};

/// "look:pw" and "reader:pw" in base64.
const LOOK: &str = "Basic bG9vazpwdw==";
const READER: &str = "Basic cmVhZGVyOnB3";
/// Changes that each of several clients makes at once.
const CHANGES: usize = 30;

fn ok(conn: &mut Conn, words: &[&str]) {
    let reply = conn.cmd(words);
    assert_eq!(reply, Reply::Simple("OK".to_owned()), "{words:?}");
}

fn names(conn: &mut Conn) -> Vec<String> {
    conn.cmd(&["ACL", "USERS"]).items().iter().map(Reply::text).collect()
}

fn is_let_in(server: &Server, name: &str, password: &str) -> bool {
    !server.conn().cmd(&["AUTH", name, password]).is_error()
}

#[test]
fn a_change_holds_on_every_proxy_when_it_is_answered() {
    let one = Swell::start(&["--first-node", "process", "--nodes-min", "2", "--nodes-max", "2"]);
    let other = Swell::join(&one, &[]);
    let (mut here, mut there) = (one.conn(), other.conn());
    ok(&mut here, &["ACL", "SETUSER", "a", "on", ">pw", "+get", "~k*"]);
    let mut client = other.conn();
    ok(&mut client, &["AUTH", "a", "pw"]);
    for round in 0..100 {
        let (rule, may) = if round % 2 == 0 { ("-get", false) } else { ("+get", true) };
        ok(&mut here, &["ACL", "SETUSER", "a", rule]);
        assert_eq!(!client.cmd(&["GET", "k1"]).is_error(), may, "round {round}");
    }
    // At both at once: none is lost.
    std::thread::scope(|scope| {
        for (who, server) in [("p", &one), ("q", &other), ("r", &one), ("s", &other)] {
            scope.spawn(move || {
                let mut conn = server.conn();
                (0..CHANGES).for_each(|n| ok(&mut conn, &["ACL", "SETUSER", &format!("{who}{n}"), "on"]));
            });
        }
    });
    assert_eq!(names(&mut here).len(), 4 * CHANGES + 2);
    assert_eq!(names(&mut here), names(&mut there));
    // Gone here, closed there.
    assert_eq!(here.cmd(&["ACL", "DELUSER", "a"]).int(), 1);
    assert!(client.until_closed().is_ok());
    ok(&mut there, &["CONFIG", "SET", "requirepass", "secret"]);
    assert!(one.conn().cmd(&["GET", "k"]).is_error() && is_let_in(&one, "default", "secret"));
}

#[test]
fn users_outlive_the_process_and_a_new_password_in_the_configuration_counts() {
    let data = Dir::new("users");
    let start = |args: &[&str]| Swell::start_at("serve", data.path(), args);
    let server = start(&["--requirepass", "one"]);
    let mut conn = server.conn();
    ok(&mut conn, &["AUTH", "one"]);
    ok(&mut conn, &["ACL", "SETUSER", "a", "on", ">pw", "~*", "+@all"]);
    drop((conn, server));
    let server = start(&["--requirepass", "one"]);
    wait_for("the users of the last start", DEADLINE, || is_let_in(&server, "a", "pw").then_some(()));
    drop(server);
    let server = start(&["--requirepass", "two"]);
    wait_for("the users of the configuration", DEADLINE, || (!is_let_in(&server, "a", "pw")).then_some(()));
    assert!(is_let_in(&server, "default", "two") && !is_let_in(&server, "default", "one"));
}

#[test]
fn a_file_of_users_is_read_at_the_start_saved_and_loaded() {
    let dir = Dir::new("users");
    let file = dir.path().join("users.acl");
    let path = file.to_str().expect("a path of text");
    std::fs::write(&file, "user default on nopass ~* &* +@all\nuser a on >pw ~* +@all\n").unwrap();
    let server = Swell::start(&["--aclfile", path]);
    let (mut conn, mut a) = (server.conn(), server.conn());
    ok(&mut a, &["AUTH", "a", "pw"]);
    ok(&mut conn, &["ACL", "SETUSER", "b", "on", "nopass", "+ping"]);
    ok(&mut conn, &["ACL", "SAVE"]);
    let saved = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = saved.lines().collect();
    assert_eq!(lines.len(), 3, "{saved}");
    assert!(lines[0].starts_with("user a on #") && !saved.contains("pw"), "{saved}");
    assert_eq!(lines[1], "user b on nopass resetchannels -@all +ping");
    std::fs::write(&file, "user default on nopass ~* &* +@all\nuser c nosuch\n").unwrap();
    let Reply::Error(text) = conn.cmd(&["ACL", "LOAD"]) else { panic!("a wrong file is refused") };
    assert!(text.starts_with(&format!("ERR {path}:2: Syntax error. WARNING: ACL errors detected")), "{text}");
    assert_eq!(names(&mut conn), ["a", "b", "default"]);
    std::fs::write(&file, "user default on nopass ~* &* +@all\nuser c on\n").unwrap();
    ok(&mut conn, &["ACL", "LOAD"]);
    assert_eq!(names(&mut conn), ["c", "default"]);
    assert!(a.until_closed().is_ok(), "its user is gone");
}

#[test]
fn it_does_not_begin_with_users_that_make_no_sense() {
    let dir = Dir::new("users");
    let file = dir.path().join("users.acl");
    std::fs::write(&file, "user a +nosuch\n").unwrap();
    let output = Swell::command().args(["serve", "--resp", "127.0.0.1:0", "--aclfile"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(":1: Error in applying operation '+nosuch'"), "{said}");
}

#[test]
fn one_set_of_users_for_all_listeners() {
    let server = Swell::start(&["--requirepass", "secret"]);
    let mut conn = server.conn();
    ok(&mut conn, &["AUTH", "secret"]);
    ok(&mut conn, &["ACL", "SETUSER", "look", "on", ">pw", "+info"]);
    ok(&mut conn, &["ACL", "SETUSER", "reader", "on", ">pw", "+get", "~k*"]);
    let status = |header| request(&server.http, "GET", "/usage", &[("Authorization", header)]).status;
    assert_eq!((get(&server.http, "/usage").status, status(LOOK), status(READER)), (401, 200, 401));
    let mut memcached = Conn::open(&server.memcached);
    let mut say = |bytes: &str| {
        memcached.send(bytes.as_bytes());
        String::from_utf8(memcached.line().unwrap()).unwrap()
    };
    assert_eq!(say("get k1\r\n"), "CLIENT_ERROR unauthenticated");
    assert_eq!(say("set a 0 0 8\r\nreader x\r\n"), "CLIENT_ERROR authentication failure");
    assert_eq!(say("set a 0 0 9\r\nreader pw\r\n"), "STORED");
    assert_eq!(say("get k1\r\n"), "END");
    assert_eq!(say("get x\r\n"), "CLIENT_ERROR No permissions to access a key");
    assert_eq!(say("set k1 0 0 1\r\nx\r\n"), "CLIENT_ERROR User reader has no permissions to run the 'set' command");
    let log = conn.cmd(&["ACL", "LOG"]);
    let reasons: Vec<String> = log.items().iter().map(|entry| entry.field("reason").unwrap().text()).collect();
    assert_eq!(reasons, ["command", "key", "auth"]);
}

#[test]
fn the_bill_tells_users_apart() {
    let data = Dir::new("users");
    let server = Swell::start_at("serve", data.path(), &[]);
    let mut conn = server.conn();
    ok(&mut conn, &["ACL", "SETUSER", "ann", "on", "nopass", "+@all", "~*"]);
    let mut ann = server.conn();
    ok(&mut ann, &["AUTH", "ann", "x"]);
    (0..10).for_each(|_| ok(&mut ann, &["SET", "k", "v"]));
    wait_for("what ann has used", DEADLINE, || {
        let page = get(&server.http, "/usage?by=user");
        page.body.contains("\"ann\"").then_some(())
    });
}

#[test]
fn subscribers_end_who_may_not_hear_any_more() {
    let server = Swell::start(&[]);
    let mut conn = server.conn();
    ok(&mut conn, &["ACL", "SETUSER", "a", "on", "nopass", "+@all", "&news*"]);
    let mut one = server.conn();
    ok(&mut one, &["AUTH", "a", "x"]);
    assert!(one.cmd(&["SUBSCRIBE", "other"]).is_error());
    assert!(!one.cmd(&["SUBSCRIBE", "news1"]).is_error());
    ok(&mut conn, &["ACL", "SETUSER", "a", "&more"]);
    assert_eq!(conn.cmd(&["PUBLISH", "news1", "x"]).int(), 1);
    one.reply();
    ok(&mut conn, &["ACL", "SETUSER", "a", "resetchannels", "&more"]);
    assert!(one.until_closed().is_ok());
}

#[test]
fn a_client_that_deletes_its_own_user_has_its_answer_first() {
    let server = Swell::start(&[]);
    ok(&mut server.conn(), &["ACL", "SETUSER", "a", "on", "nopass", "+@all"]);
    let mut conn = server.conn();
    ok(&mut conn, &["AUTH", "a", "x"]);
    assert_eq!(conn.cmd(&["ACL", "DELUSER", "a"]).int(), 1);
    assert!(conn.until_closed().is_ok());
}
