//! Memory at its limit: refused in Redis's words or evicted by the policy, and never much more than was allowed.

use crate::harness::{
    Conn, DEADLINE, Reply, Server, Subject, Swell, Topology, encode, everywhere, wait_for, with_one_node,
};

const LIMIT: usize = 64 << 20;

/// The process as a whole may hold this much more than its data.
const RSS_FACTOR: f64 = 1.15;

/// What a process with an embedded node holds beside its data.
const EMBEDDED_KB: u64 = 4 * 1024;

/// What a process that holds no data may take beside the nodes.
const PROXY_KB: u64 = 16 * 1024;

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Requests that are sent before their replies are read.
const PIPELINE: usize = 64;

everywhere! {
    expired_keys_give_their_memory_back_unasked
}

// Each of several nodes may hold as much as the limit says so far.
with_one_node! {
    without_eviction_writes_are_refused_and_the_rest_works
    keys_are_evicted
    a_lowered_limit_is_reached_unasked
}

fn start(policy: &str) -> Server {
    start_in(Topology::Embedded, policy)
}

fn start_in(place: Topology, policy: &str) -> Server {
    Subject::resp_with(place, &["--maxmemory", &LIMIT.to_string(), "--maxmemory-policy", policy])
}

/// A number of `INFO`.
fn info(conn: &mut Conn, field: &str) -> u64 {
    let text = conn.cmd(&["INFO"]).text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field} is not in:\n{text}"))
}

/// What workers may not have reported yet of what they stored, in bytes.
const REPORTED_LATE: u64 = 64 * 1024;

/// Writes `times` the limit in values of mixed sizes, and says how many were refused.
fn fill(conn: &mut Conn, times: usize, options: &[&str]) -> usize {
    let sizes = [16, 100, 512, 1000, 4096, 30_000, 70_000, 200_000];
    let value = vec![b'v'; 200_000];
    let (mut sent, mut number, mut refused) = (0, 0, 0);
    while sent < times * LIMIT {
        let mut bytes = Vec::new();
        for _ in 0..PIPELINE {
            let size = sizes[number % sizes.len()];
            let key = format!("key:{number}");
            let mut words: Vec<&[u8]> = vec![b"SET", key.as_bytes(), &value[..size]];
            words.extend(options.iter().map(|option| option.as_bytes()));
            bytes.extend(encode(&words));
            (sent, number) = (sent + size, number + 1);
        }
        conn.send(&bytes);
        for _ in 0..PIPELINE {
            match conn.reply() {
                Reply::Simple(ok) if ok == "OK" => {}
                Reply::Error(text) if text == OOM => refused += 1,
                other => panic!("neither OK nor OOM: {other:?}"),
            }
        }
    }
    refused
}

/// About as many values of 100 bytes as the limit holds.
fn fill_with_short_values(conn: &mut Conn) {
    let value = [b'v'; 100];
    for round in 0..400 {
        let keys: Vec<String> = (0..1000).map(|number| format!("short:{round}:{number}")).collect();
        let bytes: Vec<u8> = keys.iter().flat_map(|key| encode(&[b"SET", key.as_bytes(), &value])).collect();
        conn.send(&bytes);
        for _ in &keys {
            assert_eq!(conn.reply().text(), "OK");
        }
    }
}

fn assert_within_limit(server: &Server) {
    // The threads of scaler and link hold memory of their own.
    let proxy_kb = if server.topology == Topology::Embedded { EMBEDDED_KB } else { PROXY_KB };
    let most_kb = (LIMIT as f64 * RSS_FACTOR / 1024.0) as u64 + proxy_kb;
    // Without the pages of the binary's file, which are shared and in a debug build many.
    let rss_kb = server.proc_status("RssAnon");
    assert!(rss_kb <= most_kb, "{rss_kb} KiB resident, {most_kb} allowed");
}

fn without_eviction_writes_are_refused_and_the_rest_works(place: Topology) {
    let server = start_in(place, "noeviction");
    let mut conn = server.conn();
    assert!(fill(&mut conn, 2, &[]) > 100, "nothing was refused");
    assert_within_limit(&server);
    let slack = 1 << 20;
    let used = info(&mut conn, "used_memory");
    assert!((LIMIT as u64 / 10 * 9..LIMIT as u64 + slack).contains(&used), "used_memory is {used}");
    // Real servers count buffers, which have been given back since: far over the limit, that makes no difference.
    assert_eq!(conn.cmd(&["CONFIG", "SET", "maxmemory", "32mb"]).text(), "OK");
    assert_eq!(conn.cmd(&["APPEND", "key:0", "x"]), Reply::Error(OOM.to_owned()));
    assert_eq!(conn.cmd(&["INCR", "n"]), Reply::Error(OOM.to_owned()));
    assert_eq!(conn.cmd(&["STRLEN", "key:0"]).int(), 16);
    assert_eq!(conn.cmd(&["EXPIRE", "key:0", "100"]).int(), 1);
    assert_eq!(conn.cmd(&["DEL", "key:0", "key:1"]).int(), 2);
    assert_eq!(info(&mut conn, "evicted_keys"), 0);
    assert_eq!(conn.cmd(&["FLUSHALL", "SYNC"]).text(), "OK");
    assert_eq!(conn.cmd(&["SET", "k", "v"]).text(), "OK");
}

#[test]
fn a_refused_write_inside_a_transaction_aborts_it() {
    let server = start("noeviction");
    let mut conn = server.conn();
    fill(&mut conn, 2, &[]);
    assert_eq!(conn.cmd(&["CONFIG", "SET", "maxmemory", "32mb"]).text(), "OK");
    assert_eq!(conn.cmd(&["MULTI"]).text(), "OK");
    assert_eq!(conn.cmd(&["SET", "a", "b"]), Reply::Error(OOM.to_owned()));
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(conn.cmd(&["EXEC"]), Reply::Error(aborted.to_owned()));
}

/// Wherever its keys are, a transaction for which there is no room any more is refused as a whole.
#[test]
fn a_transaction_that_finds_no_room_does_not_run() {
    for first_node in ["embedded", "process"] {
        let server = Swell::start(&["--maxmemory-policy", "noeviction", "--first-node", first_node]);
        let (mut conn, mut other) = (server.conn(), server.conn());
        assert_eq!(conn.cmd(&["SET", "a", &"1".repeat(100_000)]).text(), "OK");
        for (request, reply) in [(&["MULTI"][..], "OK"), (&["DEL", "a"], "QUEUED"), (&["SET", "a", "2"], "QUEUED")] {
            assert_eq!(conn.cmd(request).text(), reply);
        }
        assert_eq!(other.cmd(&["CONFIG", "SET", "maxmemory", "10000"]).text(), "OK");
        let refused = format!("EXECABORT Transaction discarded because of: {OOM}");
        assert_eq!(conn.cmd(&["EXEC"]), Reply::Error(refused), "{first_node}");
        assert_eq!(conn.cmd(&["STRLEN", "a"]).int(), 100_000, "{first_node}");
        assert_eq!(conn.cmd(&["EXEC"]), Reply::Error("ERR EXEC without MULTI".to_owned()));
    }
}

/// What several nodes may hold together is what one may: the limit is the cache's.
#[test]
fn several_nodes_share_the_limit() {
    let args = ["--nodes-min", "3", "--maxmemory", "48mb", "--maxmemory-policy", "noeviction"];
    let server = Swell::start(&args);
    let mut conn = server.conn();
    let (value, mut stored, mut refused) = ("v".repeat(60_000), 0, 0);
    for number in 0..1200 {
        match conn.cmd(&["SET", &format!("key:{number}"), &value]) {
            Reply::Error(text) if text == OOM => refused += 1,
            reply => {
                assert_eq!(reply.text(), "OK");
                stored += 1;
            }
        }
    }
    let whole = (48 << 20) / 60_000;
    assert!(refused > 0 && (whole / 10 * 8..=whole + 10).contains(&stored), "{stored} stored, {refused} refused");
    let shown = conn.cmd(&["CONFIG", "GET", "maxmemory"]);
    assert_eq!(shown.items()[1].text(), (48 << 20).to_string(), "what people see is the whole");
    assert_eq!(info(&mut conn, "maxmemory"), 48 << 20);
}

#[test]
fn volatile_policies_refuse_when_nothing_may_go() {
    let server = start("volatile-lru");
    let mut conn = server.conn();
    assert!(fill(&mut conn, 2, &[]) > 100, "nothing was refused");
    assert_eq!(info(&mut conn, "evicted_keys"), 0);
    assert_within_limit(&server);
}

/// One test per policy that evicts.
macro_rules! evicts {
    ($($name:ident $policy:literal $options:expr;)*) => {$(
        #[test]
        fn $name() {
            evicts(&start($policy), $options);
        }
    )*};
}

fn keys_are_evicted(place: Topology) {
    evicts(&start_in(place, "allkeys-lru"), &[]);
}

fn evicts(server: &Server, options: &[&str]) {
    let mut conn = server.conn();
    assert_eq!(fill(&mut conn, 4, options), 0, "writes were refused");
    assert_within_limit(server);
    let evicted = info(&mut conn, "evicted_keys");
    assert!(evicted > 1000, "{evicted} keys were evicted");
    let used = info(&mut conn, "used_memory");
    assert!((LIMIT as u64 / 2..LIMIT as u64 + (1 << 20)).contains(&used), "used_memory is {used}");
}

evicts! {
    allkeys_lfu "allkeys-lfu" &[];
    allkeys_random "allkeys-random" &[];
    volatile_lru "volatile-lru" &["EX", "1000"];
    volatile_lfu "volatile-lfu" &["EX", "1000"];
    volatile_random "volatile-random" &["EX", "1000"];
    volatile_ttl "volatile-ttl" &["EX", "1000"];
}

/// The clock of LRU counts seconds, so the old have to become old first.
#[test]
fn what_was_just_used_stays_under_lru() {
    let server = start("allkeys-lru");
    let mut conn = server.conn();
    let value = "v".repeat(10_000);
    let keys = |name: &str, count: usize| (0..count).map(|n| format!("{name}:{n}")).collect::<Vec<_>>();
    for key in keys("hot", 500).iter().chain(&keys("cold", 5000)) {
        assert_eq!(conn.cmd(&["SET", key, &value]).text(), "OK");
    }
    wait_for("the keys to be old", DEADLINE, || {
        (conn.cmd(&["OBJECT", "IDLETIME", "cold:4999"]).int() >= 2).then_some(())
    });
    for key in keys("hot", 500) {
        assert_eq!(conn.cmd(&["GET", &key]).text().len(), value.len());
    }
    for key in keys("new", 3000) {
        assert_eq!(conn.cmd(&["SET", &key, &value]).text(), "OK");
    }
    let mut left = |name: &str| conn.cmd(&["KEYS", &format!("{name}:*")]).items().len();
    let (hot, cold) = (left("hot"), left("cold"));
    assert!(hot > 475 && cold < 4000, "{hot} of 500 hot and {cold} of 5000 cold keys are left");
}

#[test]
fn volatile_ttl_takes_what_would_end_first() {
    let server = start("volatile-ttl");
    let mut conn = server.conn();
    let value = "v".repeat(10_000);
    for (name, seconds) in [("long", "100000"), ("short", "1000")] {
        for number in 0..2000 {
            assert_eq!(conn.cmd(&["SET", &format!("{name}:{number}"), &value, "EX", seconds]).text(), "OK");
        }
    }
    for number in 0..3000 {
        assert_eq!(conn.cmd(&["SET", &format!("forever:{number}"), &value]).text(), "OK");
    }
    let count = |conn: &mut Conn, pattern: &str| conn.cmd(&["KEYS", pattern]).items().len();
    assert_eq!(count(&mut conn, "forever:*"), 3000);
    let (long, short) = (count(&mut conn, "long:*"), count(&mut conn, "short:*"));
    assert!(long > 1900 && short < 1900, "{long} of the long and {short} of the short ones stayed");
}

fn expired_keys_give_their_memory_back_unasked(place: Topology) {
    let server = start_in(place, "noeviction");
    let mut conn = server.conn();
    let empty = info(&mut conn, "used_memory");
    let value = "v".repeat(1000);
    for number in 0..5000 {
        assert_eq!(conn.cmd(&["SET", &format!("key:{number}"), &value, "PX", "300"]).text(), "OK");
    }
    wait_for("all keys to be gone", DEADLINE, || (conn.cmd(&["DBSIZE"]).int() == 0).then_some(()));
    // Workers report what they counted ten times a second.
    wait_for("all keys to be counted", DEADLINE, || (info(&mut conn, "expired_keys") == 5000).then_some(()));
    let used = info(&mut conn, "used_memory");
    assert!(used < empty + (1 << 20), "{used} bytes are still used, {empty} when it was empty");
}

#[test]
fn long_values_give_their_memory_back() {
    let server = start("noeviction");
    let mut conn = server.conn();
    assert_eq!(conn.cmd(&["SET", "warm", "up"]).text(), "OK");
    let before_kb = server.proc_status("RssAnon");
    let value = "v".repeat(4 << 20);
    for number in 0..10 {
        assert_eq!(conn.cmd(&["SET", &format!("key:{number}"), &value]).text(), "OK");
    }
    assert!(server.proc_status("RssAnon") > before_kb + 40 * 1024, "the values are in memory");
    assert_eq!(conn.cmd(&["FLUSHALL"]).text(), "OK");
    wait_for("the memory to be given back", DEADLINE, || {
        (server.proc_status("RssAnon") < before_kb + 8 * 1024).then_some(())
    });
}

#[test]
fn long_values_in_place_of_short_ones_stay_within_the_limit() {
    let server = start("allkeys-lru");
    let mut conn = server.conn();
    fill_with_short_values(&mut conn);
    let value = "v".repeat(1 << 20);
    for number in 0..100 {
        assert_eq!(conn.cmd(&["SET", &format!("long:{number}"), &value]).text(), "OK");
    }
    wait_for("what is stored to be within the limit", DEADLINE, || {
        (info(&mut conn, "used_memory") <= LIMIT as u64 + REPORTED_LATE).then_some(())
    });
}

fn a_lowered_limit_is_reached_unasked(place: Topology) {
    let server = start_in(place, "allkeys-lru");
    let mut conn = server.conn();
    fill_with_short_values(&mut conn);
    let lowered = LIMIT as u64 / 4;
    assert_eq!(conn.cmd(&["CONFIG", "SET", "maxmemory", &lowered.to_string()]).text(), "OK");
    wait_for("what is stored to be within the lower limit", DEADLINE, || {
        (info(&mut conn, "used_memory") <= lowered + REPORTED_LATE).then_some(())
    });
}
