//! Long replies of this process's own node: others are served between two slices, and the reader gets what the command saw.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::{Context, Outcome};
use swell_meter::{Ledger, Profile, Tariff};
use swell_node::Node;
use swell_proxy::shared::unix_ms;
use swell_proxy::{Listeners, Proxy, ProxyConfig};
use swell_ring::NodeId;
use swell_wire::{Out, OwnedArgs};

/// As in the program: what freeing costs is the allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MANY: usize = 200_000;

struct Running {
    proxy: Option<Proxy>,
    node: Arc<Node>,
    address: SocketAddr,
}

impl Running {
    /// With one worker, so that whatever takes long takes it from everybody.
    fn start() -> Running {
        let config = ProxyConfig {
            workers: 1,
            maxclients: 100,
            query_buffer_bytes_max: 1 << 30,
            output_buffer_bytes_max: 64 << 20,
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
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listeners = Listeners { resp: vec![listener], memcached: Vec::new() };
        let node = Node::new(1);
        let proxy = Proxy::start(&config, listeners, node.clone(), Arc::new(Ledger::new(unix_ms(), 0))).unwrap();
        Running { proxy: Some(proxy), node, address }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, read: Vec::new(), taken: 0 }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.proxy.take().unwrap().stop();
    }
}

struct Client {
    stream: TcpStream,
    /// What was read; the first bytes are taken.
    read: Vec<u8>,
    taken: usize,
}

impl Client {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// So many bytes.
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        while self.read.len() - self.taken < bytes {
            self.fill_buffer();
        }
        self.taken += bytes;
        self.read[self.taken - bytes..self.taken].to_vec()
    }

    fn fill_buffer(&mut self) {
        self.read.drain(..std::mem::take(&mut self.taken));
        let mut buf = [0; 64 * 1024];
        let read = self.stream.read(&mut buf).unwrap();
        assert!(read > 0, "closed with {} bytes unread", self.read.len());
        self.read.extend_from_slice(&buf[..read]);
    }

    fn expect(&mut self, reply: &str) {
        let got = self.take(reply.len());
        assert!(got == reply.as_bytes(), "{} is not {}", start_of(&got), start_of(reply.as_bytes()));
    }

    fn call(&mut self, request: &str, reply: &str) {
        self.send(&format!("{request}\r\n"));
        self.expect(reply);
    }

    /// One line.
    fn line(&mut self) -> String {
        loop {
            let unread = &self.read[self.taken..];
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                return String::from_utf8(self.take(end + 1)).unwrap();
            }
            self.fill_buffer();
        }
    }

    /// A bulk string.
    fn text(&mut self) -> String {
        let len: usize = self.line()[1..].trim_end().parse().unwrap();
        String::from_utf8(self.take(len + 2)).unwrap()
    }

    /// Pipelines one command for every thousand of `count` elements.
    fn fill(&mut self, verb: &str, count: usize, each: impl Fn(usize) -> String) {
        for from in (0..count).step_by(1000) {
            let words: Vec<String> = (from..from + 1000).map(&each).collect();
            self.send(&format!("{verb} {}\r\n", words.join(" ")));
            self.line();
        }
    }
}

fn start_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

fn element(n: usize) -> String {
    format!("element-of-a-long-list-that-nobody-reads-in-one-go:{n}")
}

fn listed() -> String {
    let lines: String = (0..MANY).map(element).map(|text| format!("${}\r\n{text}\r\n", text.len())).collect();
    format!("*{MANY}\r\n{lines}")
}

#[test]
fn others_are_served_while_a_long_reply_waits_for_its_reader() {
    let running = Running::start();
    let (mut reader, mut other) = (running.client(), running.client());
    other.fill("RPUSH list", MANY, element);
    reader.call("CLIENT SETNAME reader", "+OK\r\n");
    reader.send("PING before\r\nLRANGE list 0 -1\r\nPING after\r\n");
    for n in 0..100 {
        other.call(&format!("SET k{n} v"), "+OK\r\n");
    }
    other.call("DEL list", ":1\r\n");
    other.send("CLIENT LIST\r\n");
    let list = other.text();
    let line = list.lines().find(|line| line.contains("name=reader")).unwrap();
    let held: usize = line.split(' ').find_map(|field| field.strip_prefix("omem=")).unwrap().parse().unwrap();
    assert!(held < 2 << 20, "{held} bytes are held for one who does not read");
    reader.expect("$6\r\nbefore\r\n");
    reader.expect(&listed());
    reader.expect("$5\r\nafter\r\n");
}

#[test]
fn one_who_has_said_all_still_gets_the_whole_reply() {
    let running = Running::start();
    let mut client = running.client();
    client.fill("RPUSH list", MANY, element);
    client.send("LRANGE list 0 -1\r\n");
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect(&listed());
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn transactions_and_replies_that_nobody_wants() {
    let running = Running::start();
    let mut client = running.client();
    client.fill("RPUSH list", MANY, element);
    client.send("CLIENT REPLY SKIP\r\nLRANGE list 0 -1\r\nPING\r\n");
    client.expect("+PONG\r\n");
    client.send("CLIENT REPLY OFF\r\nLRANGE list 0 -1\r\nCLIENT REPLY ON\r\n");
    client.expect("+OK\r\n");
    client.send("MULTI\r\nLRANGE list 0 -1\r\nLLEN list\r\nEXEC\r\n");
    client.expect(&format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n{}:{MANY}\r\n", listed()));
}

#[test]
fn one_who_leaves_in_the_middle_leaves_nothing() {
    let running = Running::start();
    let (mut reader, mut other) = (running.client(), running.client());
    other.fill("RPUSH list", MANY, element);
    reader.send("LRANGE list 0 -1\r\n");
    reader.take(100_000);
    drop(reader);
    other.call("PING", "+PONG\r\n");
    other.call("LRANGE list 0 0", &format!("*1\r\n${}\r\n{}\r\n", element(0).len(), element(0)));
}

/// Two sets with so many members together.
fn fill_sets(client: &mut Client) -> usize {
    client.fill("SADD {k}a", MANY, |n| format!("member:{n}"));
    client.fill("SADD {k}b", MANY, |n| format!("member:{}", n + MANY / 2));
    MANY + MANY / 2
}

#[test]
fn others_are_served_while_a_helper_works_and_see_all_of_it_or_nothing() {
    let running = Running::start();
    let (mut worker, mut same_slot, mut other) = (running.client(), running.client(), running.client());
    let count = fill_sets(&mut worker);
    worker.send("SUNIONSTORE {k}to {k}a {k}b\r\nSCARD {k}to\r\nSUNION {k}to {k}list\r\nPING\r\n");
    same_slot.send("SCARD {k}to\r\nRPUSH {k}list x\r\n");
    other.call("SET x y", "+OK\r\n");
    other.call("GET x", "$1\r\ny\r\n");
    worker.expect(&format!(":{count}\r\n:{count}\r\n"));
    assert!([":0\r\n".to_owned(), format!(":{count}\r\n")].contains(&same_slot.line()));
    same_slot.expect(":1\r\n");
    // The list came before it or after it.
    let line = worker.line();
    if line.starts_with('*') {
        skip_to(&mut worker, "+PONG\r\n");
    } else {
        assert!(line.starts_with("-WRONGTYPE"), "{line}");
        worker.expect("+PONG\r\n");
    }
    other.call("SUNION {k}to {k}list", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
}

#[test]
fn a_helper_s_work_in_a_transaction_without_reply_and_for_one_who_leaves() {
    let running = Running::start();
    let (mut client, mut other) = (running.client(), running.client());
    let count = fill_sets(&mut client);
    client.send("MULTI\r\nSUNIONSTORE {k}to {k}a {k}b\r\nSCARD {k}to\r\nEXEC\r\n");
    client.expect(&format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:{count}\r\n:{count}\r\n"));
    client.send("DEL {k}to\r\nCLIENT REPLY SKIP\r\nSUNIONSTORE {k}to {k}a {k}b\r\nSCARD {k}to\r\n");
    client.expect(&format!(":1\r\n:{count}\r\n"));
    client.send("DEL {k}to\r\nSUNIONSTORE {k}to {k}a {k}b\r\n");
    client.expect(":1\r\n");
    drop(client);
    // What has begun is done; its slot is free again.
    other.call("SADD {k}a x", ":1\r\n");
    let scard = |client: &mut Client| {
        client.send("SCARD {k}to\r\n");
        client.line()
    };
    assert!([":0\r\n".to_owned(), format!(":{count}\r\n"), format!(":{}\r\n", count + 1)].contains(&scard(&mut other)));
}

/// What others notice of large work: run alone, in an optimised build, on a quiet machine.
#[test]
#[ignore = "measures; prints a table"]
fn what_others_notice() {
    let million = 1_000_000;
    let running = Running::start();
    let mut client = running.client();
    let field = |n: usize| format!("field:{n} value:{n}");
    let fill = |client: &mut Client, what: &str| match what {
        "hash" => client.fill("HSET hash", million, field),
        "set" => client.fill("SADD set", million, |n| format!("member:{n}")),
        "zset" => client.fill("ZADD zset", million, |n| format!("{n} member:{n}")),
        _ => client.fill("RPUSH list", million, |n| format!("element:{n}")),
    };
    for what in ["hash", "set", "zset", "list"] {
        fill(&mut client, what);
    }
    // As many bytes as the long replies have, which go out without being made: what sending alone costs.
    client.send(&format!("*3\r\n$3\r\nSET\r\n$4\r\ntext\r\n${}\r\n", 32 << 20));
    client.stream.write_all(&vec![b'x'; 32 << 20]).unwrap();
    client.send("\r\n");
    client.expect("+OK\r\n");
    for words in [
        &["HGETALL", "hash"][..],
        &["SMEMBERS", "set"],
        &["ZRANGE", "zset", "0", "-1", "WITHSCORES"],
        &["LRANGE", "list", "0", "-1"],
        &["DUMP", "hash"],
        &["DUMP", "zset"],
    ] {
        let (command, longest, slices) = time_of(&running.node, words);
        println!("{:40} {command:9.1?} under the lock, {slices} slices of at most {longest:.1?}", words.join(" "));
        assert!(command < Duration::from_millis(5) && longest < Duration::from_millis(2));
    }
    println!("{:40} {:>8} {:>8} {:>8} {:>8}  ms of another's GET; took", "", "n", "p50", "p99", "max");
    let address = running.address;
    let mut worst = Duration::ZERO;
    for request in [
        "",
        "PING",
        "GET text",
        "HGETALL hash",
        "SMEMBERS set",
        "ZRANGE zset 0 -1 WITHSCORES",
        "LRANGE list 0 -1",
        "DUMP hash",
        "DUMP zset",
        "COPY zset other",
        "DEL hash",
        "DEL set",
        "UNLINK zset",
        "DEL list",
        "SET other x",
    ] {
        let (begun, has_begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let (took, mut waits) = std::thread::scope(|scope| {
            let pinging = scope.spawn(move || pings(address, &begun, &ended));
            has_begun.recv().unwrap();
            let began = Instant::now();
            if !request.is_empty() {
                client.send(&format!("{request}\r\nECHO that-is-all\r\n"));
                skip_to(&mut client, "\r\n$11\r\nthat-is-all\r\n");
            }
            let took = began.elapsed();
            end.send(()).unwrap();
            (took, pinging.join().unwrap())
        });
        waits.sort();
        let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!(
            "{:40} {:8} {:8.3} {:8.3} {:8.3}  {:.0} ms",
            if request.is_empty() { "(nothing)" } else { request },
            waits.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            took.as_secs_f64() * 1e3
        );
        worst = worst.max(waits[(waits.len() - 1) * 99 / 100]);
    }
    assert!(worst < Duration::from_millis(10), "{worst:?}");
}

/// Another client's requests, one after the other, and what each took. What is freed afterwards counts too: after `ended`
/// there are as many again as fit into a second and more.
fn pings(address: SocketAddr, begun: &mpsc::Sender<()>, ended: &mpsc::Receiver<()>) -> Vec<Duration> {
    const PACE: Duration = Duration::from_micros(200);
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut client = Client { stream, read: Vec::new(), taken: 0 };
    let mut waits = Vec::new();
    let mut ping = || {
        let began = Instant::now();
        client.call("GET k", "$-1\r\n");
        waits.push(began.elapsed());
    };
    ping();
    begun.send(()).unwrap();
    while ended.recv_timeout(PACE).is_err() {
        ping();
    }
    let until = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < until {
        ping();
    }
    waits
}
/// Reads replies away up to and with this one, at little cost.
fn skip_to(client: &mut Client, last: &str) {
    let mut buf = vec![0; 1 << 20];
    let mut tail = Vec::new();
    while !tail.ends_with(last.as_bytes()) {
        let read = client.stream.read(&mut buf).unwrap();
        assert!(read > 0, "closed");
        tail.extend_from_slice(&buf[read.saturating_sub(last.len())..read]);
        tail.drain(..tail.len().saturating_sub(last.len()));
    }
}

/// How long a worker is kept under the lock and by the longest slice, without sockets. Of several runs the shortest time of
/// each, so that nothing else on the machine counts.
fn time_of(node: &Arc<Node>, words: &[&str]) -> (Duration, Duration, usize) {
    let runs: Vec<Vec<Duration>> = (0..5).map(|_| times_of(node, words)).collect();
    let best: Vec<Duration> = (0..runs[0].len()).filter_map(|step| runs.iter().map(|run| run[step]).min()).collect();
    (best[0], best[1..].iter().copied().max().unwrap(), best.len() - 1)
}

/// Of the command itself, then of each slice.
fn times_of(node: &Arc<Node>, words: &[&str]) -> Vec<Duration> {
    let mut handle = node.handle(5);
    let args = OwnedArgs::from_slices(words);
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
    let mut keys = Vec::new();
    command.spec.hash_keys(handle.engine(), args.as_args(), &mut keys);
    let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, Context::default());
    let mut out = Out::default();
    let began = Instant::now();
    let outcome = handle.execute(&call, None, &mut out);
    let mut times = vec![began.elapsed()];
    assert_eq!(outcome, Outcome::Deferred, "{words:?}");
    let (mut rest, mut more) = (handle.take_deferred().unwrap(), true);
    while more {
        out.clear();
        let began = Instant::now();
        more = rest.step(&mut out);
        times.push(began.elapsed());
    }
    times
}
