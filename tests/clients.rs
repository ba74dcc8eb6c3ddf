//! Clients that people use, against Swell: each script asserts what it reads and ends with "ok".

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::harness::{Conn, Dir, Server, Subject, Topology, client_script, everywhere, node_modules, program, python};

/// Seconds after which a client has hung.
const CLIENT_S_MAX: &str = "100";

/// Connections of the load generators.
const CONNECTIONS: &str = "1000";

/// Open files that those need.
const FILES: &str = "4096";

/// A command that is ended when it hangs.
fn client(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.arg(CLIENT_S_MAX).arg(program);
    command
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    checked(command, &output)
}

fn checked(command: &Command, output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().expect("an address has a port")
}

fn script(name: &str, args: &[&str]) {
    let mut command = client(python());
    let said = run(command.arg(client_script(name)).args(args));
    assert_eq!(said, "ok\n", "{name}");
}

fn node(args: &[&str]) {
    let mut command = client(program("node"));
    command.env("NODE_PATH", node_modules()).arg(client_script("ioredis.js")).args(args);
    assert_eq!(run(&mut command), "ok\n");
}

everywhere! {
    redis_py_in_resp2
    redis_py_in_resp3
    redis_py_and_users
    redis_py_cluster
    pymemcache
    ioredis
    ioredis_cluster
    redis_cli_one_by_one
    redis_cli_as_a_cluster_client
    redis_cli_reads_commands_and_pipes
    redis_benchmark_pipelined
    redis_benchmark_with_many_connections
    libmemcached_tools
    memccapable_is_content
}

/// What keys that are named together begin with: with several nodes they have to share a slot.
fn tag(place: Topology) -> &'static str {
    if place.is_several() { "{t}" } else { "" }
}

fn redis_py_in_resp2(place: Topology) {
    script("resp.py", &[port(&Subject::resp_in(place).resp), "2", tag(place)]);
}

fn redis_py_in_resp3(place: Topology) {
    script("resp.py", &[port(&Subject::resp_in(place).resp), "3", tag(place)]);
}

fn redis_py_and_users(place: Topology) {
    let server = Subject::resp_in(place);
    for protocol in ["2", "3"] {
        script("acl.py", &[port(&server.resp), protocol]);
    }
}

fn redis_py_cluster(place: Topology) {
    let server = Subject::cluster_in(place);
    for protocol in ["2", "3"] {
        script("cluster.py", &[port(&server.resp), protocol]);
    }
}

fn pymemcache(place: Topology) {
    script("memcached.py", &[port(&Subject::memcached_in(place).memcached)]);
}

fn ioredis(place: Topology) {
    node(&[port(&Subject::resp_in(place).resp)]);
}

fn ioredis_cluster(place: Topology) {
    node(&[port(&Subject::cluster_in(place).resp), "cluster"]);
}

fn redis_cli(server: &Server, args: &[&str]) -> String {
    run(client(program("redis-cli")).args(["-p", port(&server.resp)]).args(args))
}

fn redis_cli_one_by_one(place: Topology) {
    let server = Subject::resp_in(place);
    let cases: &[(&[&str], &str)] = &[
        (&["PING"], "PONG\n"),
        (&["SET", "k", "v"], "OK\n"),
        (&["GET", "k"], "v\n"),
        (&["--csv", "MGET", "k", "nosuch"], "\"v\",NULL\n"),
        (&["-3", "GET", "nosuch"], "\n"),
        (&["-n", "3", "DBSIZE"], "0\n"),
        (&["-r", "3", "INCR", "n"], "1\n2\n3\n"),
        (&["--no-raw", "CONFIG", "GET", "databases"], "1) \"databases\"\n2) \"16\"\n"),
        (&["-3", "--no-raw", "CONFIG", "GET", "databases"], "1# \"databases\" => \"16\"\n"),
        (&["--scan", "--pattern", "k*"], "k\n"),
    ];
    for (args, wanted) in cases {
        assert_eq!(redis_cli(&server, args), *wanted, "redis-cli {args:?}");
    }
    assert!(redis_cli(&server, &["--bigkeys"]).contains("Sampled 2 keys in the keyspace!"));
    assert!(redis_cli(&server, &["--memkeys"]).contains("Sampled 2 keys in the keyspace!"));
    assert!(redis_cli(&server, &["INFO", "server"]).contains("redis_version:7.2.4"));
}

fn redis_cli_as_a_cluster_client(place: Topology) {
    let server = Subject::cluster_in(place);
    assert_eq!(redis_cli(&server, &["-c", "SET", "foo", "bar"]), "OK\n");
    assert_eq!(redis_cli(&server, &["-c", "GET", "foo"]), "bar\n");
    assert_eq!(redis_cli(&server, &["-c", "CLUSTER", "KEYSLOT", "foo"]), "12182\n");
}

fn redis_cli_reads_commands_and_pipes(place: Topology) {
    let server = Subject::resp_in(place);
    let feed = |args: &[&str], bytes: &[u8]| {
        let mut command = client(program("redis-cli"));
        command.args(["-p", port(&server.resp)]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().expect("it is piped").write_all(bytes).unwrap();
        checked(&command, &child.wait_with_output().unwrap())
    };
    assert_eq!(feed(&[], b"MULTI\nSET a 1\nINCR a\nEXEC\n"), "OK\nQUEUED\nQUEUED\nOK\n2\n");
    let many: Vec<u8> = (0..10_000)
        .flat_map(|n| crate::harness::encode(&["SET".to_owned(), format!("k:{n}"), "v".to_owned()]))
        .collect();
    let said = feed(&["--pipe"], &many);
    assert!(said.contains("errors: 0, replies: 10000"), "{said}");
    assert_eq!(server.conn().cmd(&["DBSIZE"]).int(), 10_001);
}

/// Runs redis-benchmark and checks that it measured every test that it was asked for.
fn benchmark(server: &Server, args: &[&str], tests: &[&str]) {
    let mut command = client("sh");
    command.args(["-c", &format!("ulimit -n {FILES} && exec \"$0\" \"$@\"")]).arg(program("redis-benchmark"));
    // Over links each costs two processes their share of a busy machine.
    let requests = if server.topology == Topology::Embedded { "100000" } else { "20000" };
    command.args(["-p", port(&server.resp), "--csv", "-n", requests, "-t", &tests.join(",")]).args(args);
    let said = run(&mut command);
    assert!(!said.to_lowercase().contains("error"), "{said}");
    let measured = said.lines().filter(|line| line.starts_with('"') && !line.starts_with("\"test\"")).count();
    assert_eq!(measured, tests.len(), "{said}");
    assert_eq!(server.conn().cmd(&["PING"]).text(), "PONG");
}

fn redis_benchmark_pipelined(place: Topology) {
    let server = Subject::resp_in(place);
    // -t names both kinds of PING and MSET (10 keys) by these words, one line of results each.
    let tests = ["ping_inline", "ping_mbulk", "set", "get", "incr", "mset"];
    // Its MSET names keys of many slots.
    let tests = if place.is_several() { &tests[..5] } else { &tests };
    benchmark(&server, &["-P", "1000", "-c", "20", "-r", "1000"], tests);
    assert!(server.conn().cmd(&["DBSIZE"]).int() > 1000);
}

fn redis_benchmark_with_many_connections(place: Topology) {
    let server = Subject::resp_in(place);
    benchmark(&server, &["-c", CONNECTIONS, "-r", "10000", "-d", "100"], &["set", "get"]);
    wait_for_clients(&server);
}

/// Connections that have ended are forgotten.
fn wait_for_clients(server: &Server) {
    let mut conn: Conn = server.conn();
    crate::harness::wait_for("the clients to be gone", crate::harness::DEADLINE, || {
        conn.cmd(&["INFO", "clients"]).text().contains("connected_clients:1\r").then_some(())
    });
}

fn libmemcached_tools(place: Topology) {
    let server = Subject::memcached_in(place);
    let dir = Dir::new("libmemcached");
    let file = dir.path().join("ours");
    std::fs::write(&file, "some text\n").unwrap();
    let path = file.to_str().expect("a path of ours is UTF-8");
    let servers = format!("--servers={}", server.memcached);
    let tool = |name: &str, args: &[&str]| {
        let mut command = client(program(name));
        let output = command.arg(&servers).args(args).stdin(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(tool("memcping", &[]).0);
    assert!(tool("memccp", &["--set", path]).0);
    assert_eq!(tool("memccat", &["ours"]), (true, "some text\n\n".to_owned()));
    assert!(tool("memcexist", &["ours"]).0 && !tool("memcexist", &["nosuch"]).0);
    assert!(tool("memctouch", &["--expire=100", "ours"]).0);
    let (fine, stats) = tool("memcstat", &[]);
    assert!(fine && stats.contains("curr_items: ") && stats.contains("cmd_set: "), "{stats}");
    assert!(tool("memcrm", &["ours"]).0 && !tool("memcexist", &["ours"]).0);
    assert!(tool("memccp", &["--add", path]).0 && tool("memcflush", &[]).0 && !tool("memcexist", &["ours"]).0);
    for test in ["set", "get"] {
        let (fine, said) = tool("memcslap", &["--concurrency=20", "--execute-number=500", &format!("--test={test}")]);
        assert!(fine, "memcslap {test}: {said}");
    }
}

/// libmemcached's own check of the text protocol.
fn memccapable_is_content(place: Topology) {
    let server = Subject::memcached_in(place);
    let said = run(client(program("memccapable")).args(["-a", "-h", "127.0.0.1", "-p", port(&server.memcached)]));
    assert!(said.contains("All tests passed"), "{said}");
}
