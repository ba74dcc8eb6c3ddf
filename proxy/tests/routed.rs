//! A proxy whose slots are not all in its own process: requests travel in frames, here to the node in this process and to
//! one that does not exist.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use swell_meter::{Ledger, Profile, Tariff};
use swell_node::Node;
use swell_node::view::View;
use swell_proxy::shared::unix_ms;
use swell_proxy::{Listeners, Proxy, ProxyConfig};
use swell_ring::{Epoch, Member, NodeId, SlotMap, SlotSet};

struct Running {
    proxy: Option<Proxy>,
    view: Arc<View>,
    address: std::net::SocketAddr,
}

fn config() -> ProxyConfig {
    ProxyConfig {
        workers: 1,
        maxclients: 100,
        query_buffer_bytes_max: 1 << 30,
        output_buffer_bytes_max: 1 << 20,
        timeout_seconds: 0,
        requirepass: None,
        acl_file: None,
        metering: true,
        prefix_separator: None,
        tariff: Tariff::new(Profile::Elasticache),
        node_id: "0".repeat(40),
        version: "1.2.3",
        control: None,
        local: Some(NodeId(1)),
        view: Arc::default(),
    }
}

impl Running {
    /// Everything in this process, but requests go in frames: slots from `elsewhere` on belong to a node that is not there.
    fn start(elsewhere: u16) -> Running {
        let running = Running::start_alone();
        running.split(elsewhere);
        running
    }

    /// Everything in this process, as function calls.
    fn start_alone() -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listeners = Listeners { resp: vec![listener], memcached: Vec::new() };
        let config = config();
        let ledger = Arc::new(Ledger::new(unix_ms(), 0));
        let proxy = Proxy::start(&config, listeners, Node::new(1), ledger).unwrap();
        Running { proxy: Some(proxy), view: config.view, address }
    }

    /// Slots from `elsewhere` on go to a node that is not there.
    fn split(&self, elsewhere: u16) {
        let member = |id: u32| Member { id: NodeId(id), address: "unix:/nowhere/n".to_owned(), zone: String::new() };
        let slots: SlotSet = format!("{elsewhere}-16383").parse().unwrap();
        let map = SlotMap::single(Epoch(1), member(1)).with_member(member(2)).assigned(&slots, NodeId(2));
        self.view.set_epoch(map.epoch().0);
        assert!(self.proxy.as_ref().unwrap().shared().route.set_map(map));
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.proxy.take().unwrap().stop();
    }
}

fn ask(stream: &mut TcpStream, request: &[u8], reply: &[u8]) {
    stream.write_all(request).unwrap();
    let mut read = vec![0; reply.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(reply));
}

// Slots: a 15495, b 3300, c 7365, {b}x 3300.
const B: &[u8] = b"b";

#[test]
fn requests_run_at_their_node_and_replies_keep_their_order() {
    let running = Running::start(16000);
    let mut client = running.connect();
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    for n in 0..200 {
        requests.extend_from_slice(
            format!("SET k{n} v{n}\r\n*2\r\n$3\r\nGET\r\n$2\r\nk0\r\nPING\r\nGET k{n}\r\n").as_bytes(),
        );
        let value = format!("v{n}");
        replies.extend_from_slice(b"+OK\r\n$2\r\nv0\r\n+PONG\r\n");
        replies.extend_from_slice(format!("${}\r\n{value}\r\n", value.len()).as_bytes());
    }
    // Some of the keys may belong to the node that is not there: choose those that do not.
    let is_here = |n: usize| swell_ring::slot_of(format!("k{n}").as_bytes()).number() < 16000;
    assert!((0..200).all(is_here) || !(0..200).all(is_here));
    if (0..200).all(is_here) {
        ask(&mut client, &requests, &replies);
    }
    ask(&mut client, b"MSET b 1 {b}x 2\r\n", b"+OK\r\n");
    ask(&mut client, b"SET a 3\r\nMGET b a c {b}x\r\n", b"+OK\r\n*4\r\n$1\r\n1\r\n$1\r\n3\r\n$-1\r\n$1\r\n2\r\n");
    ask(
        &mut client,
        b"MULTI\r\nINCR b\r\nPING\r\nGET {b}x\r\nEXEC\r\n",
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n:2\r\n+PONG\r\n$1\r\n2\r\n",
    );
    ask(&mut client, b"DEL a b {b}x\r\n", b":3\r\n");
    assert_eq!(swell_ring::slot_of(B).number(), 3300);
}

#[test]
fn what_all_have_to_confirm_is_refused_inside_a_transaction() {
    const WHY: &str = "ERR Command 'swapdb' not allowed inside a transaction: all nodes and proxies have to confirm it";
    let running = Running::start(16000);
    let mut client = running.connect();
    ask(
        &mut client,
        b"MULTI\r\nSET b 1\r\nSWAPDB 0 1\r\nEXEC\r\nGET b\r\n",
        format!("+OK\r\n+QUEUED\r\n-{WHY}\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")
            .as_bytes(),
    );
    // Alone, it goes to the scaler, and there is none here.
    ask(&mut client, b"SWAPDB 0 1\r\n", b"-TRYAGAIN The scaler did not answer in time; nothing was changed\r\n");
    // What is for all nodes does not run on one of them only.
    ask(
        &mut client,
        b"MULTI\r\nFLUSHALL\r\nEXEC\r\n",
        b"+OK\r\n+QUEUED\r\n-CROSSSLOT Keys in request don't hash to the same slot\r\n",
    );

    // Alone in the world it runs inside, unless other nodes come before EXEC.
    let running = Running::start_alone();
    let mut client = running.connect();
    ask(
        &mut client,
        b"SET b 1\r\nMULTI\r\nSWAPDB 0 1\r\nGET b\r\nSELECT 1\r\nGET b\r\nSELECT 0\r\nEXEC\r\n",
        b"+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n\
          *5\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\n1\r\n+OK\r\n",
    );
    ask(&mut client, b"MULTI\r\nSWAPDB 0 1\r\n", b"+OK\r\n+QUEUED\r\n");
    running.split(16000);
    ask(
        &mut client,
        b"EXEC\r\nGET b\r\n",
        format!("-EXECABORT Transaction discarded because of: {}\r\n$-1\r\n", &WHY[4..]).as_bytes(),
    );
}

#[test]
fn a_long_value_goes_there_and_comes_back() {
    let running = Running::start(16000);
    let mut client = running.connect();
    let value: Vec<u8> = (0..5_000_000u32).map(|n| n as u8).collect();
    let set = [format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    ask(&mut client, &set, b"+OK\r\n");
    let reply = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n+PONG\r\n"].concat();
    ask(&mut client, b"GET b\r\nPING\r\n", &reply);
}

#[test]
fn a_slot_without_a_node_that_can_be_reached_is_waited_for_and_others_are_untouched() {
    let running = Running::start(10_000);
    let (mut client, mut other) = (running.connect(), running.connect());
    let began = Instant::now();
    client.write_all(b"SET a 1\r\n").unwrap();
    ask(&mut other, b"SET b 1\r\nGET b\r\n", b"+OK\r\n$1\r\n1\r\n");
    assert!(began.elapsed() < Duration::from_secs(1));
    ask(&mut client, b"", b"-CLUSTERDOWN Hash slot not served\r\n");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(1900) && waited < Duration::from_secs(4), "{waited:?}");
    ask(&mut client, b"GET b\r\n", b"$1\r\n1\r\n");
}

#[test]
fn requests_longer_than_a_frame_do_not_end_the_link() {
    let running = Running::start(16000);
    let mut client = running.connect();
    let word = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    // Nine megabytes in short arguments of one slot.
    let (pairs, value) = (150, vec![b'v'; 60_000]);
    let mut mset = format!("*{}\r\n$4\r\nMSET\r\n", 1 + 2 * pairs).into_bytes();
    for n in 0..pairs {
        mset.extend(word(format!("{{b}}{n}").as_bytes()));
        mset.extend(word(&value));
    }
    ask(&mut client, &mset, b"+OK\r\n");
    // A long key, alone and beside another one.
    let key = vec![b'k'; 5_000_000];
    let is_here = swell_ring::slot_of(&key).number() < 16000;
    assert!(is_here);
    ask(&mut client, &[b"*2\r\n$3\r\nGET\r\n", &word(&key)[..]].concat(), b"$-1\r\n");
    ask(&mut client, &[b"*4\r\n$3\r\nDEL\r\n", &word(&key)[..], &word(b"b"), &word(&key)].concat(), b":0\r\n");
    // A long pattern. Slots of the node that is not there are waited for, in vain.
    ask(&mut client, &[b"*2\r\n$4\r\nKEYS\r\n", &word(&key)[..]].concat(), b"-CLUSTERDOWN Hash slot not served\r\n");
    ask(&mut client, b"GET {b}0x\r\n", b"$-1\r\n");
}

#[test]
fn a_long_transaction_is_one_unit() {
    let running = Running::start(16000);
    let mut client = running.connect();
    let value = "v".repeat(5_000);
    let (mut requests, mut replies) = (b"MULTI\r\n".to_vec(), b"+OK\r\n".to_vec());
    let count = 3_000;
    for _ in 0..count {
        requests.extend_from_slice(format!("SET b {value}\r\n").as_bytes());
        replies.extend_from_slice(b"+QUEUED\r\n");
    }
    requests.extend_from_slice(b"EXEC\r\n");
    replies.extend_from_slice(format!("*{count}\r\n{}", "+OK\r\n".repeat(count)).as_bytes());
    ask(&mut client, &requests, &replies);
    // More than a frame can count.
    let count = 40_000;
    let requests = format!("MULTI\r\n{}EXEC\r\n", "GET b\r\n".repeat(count));
    let replies = format!("+OK\r\n{}", "+QUEUED\r\n".repeat(count));
    ask(&mut client, requests.as_bytes(), replies.as_bytes());
    let error = b"-EXECABORT Transaction discarded because of: more than 32767 commands in one transaction\r\n";
    ask(&mut client, b"", error);
    ask(&mut client, b"DEL b\r\n", b":1\r\n");
}

#[test]
fn a_request_with_very_many_keys_goes_in_parts_a_few_at_a_time() {
    let running = Running::start(16000);
    let mut client = running.connect();
    let keys: Vec<String> = (0..)
        .map(|n| format!("k{n}"))
        .filter(|key| swell_ring::slot_of(key.as_bytes()).number() < 16000)
        .take(5_000)
        .collect();
    let mut exists = format!("*{}\r\n$6\r\nEXISTS\r\n", keys.len() + 1);
    keys.iter().for_each(|key| exists += &format!("${}\r\n{key}\r\n", key.len()));
    ask(&mut client, b"SET k0 1\r\n", b"+OK\r\n");
    ask(&mut client, format!("{exists}PING\r\n").as_bytes(), b":1\r\n+PONG\r\n");
}
