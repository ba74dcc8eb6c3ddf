//! One server with the clients of a script, and one connection more that only watches.

use std::time::{Duration, Instant};

use super::super::Request;
use super::super::run::{pipeline, words};
use super::script::CLIENTS_MAX;
use crate::harness::{Conn, DEADLINE, Heard, Reply, encode, wait_for};

/// What any answer may take.
pub const PATIENCE: Duration = DEADLINE;

/// Stands in a client's replies for the end of its connection.
pub const CLOSED: &str = "<closed>";

/// Stands in a client's replies for one that has not come in time.
pub const SILENT: &str = "<silent>";

/// One of the two servers.
pub struct Side {
    address: String,
    pub control: Conn,
    clients: [Option<Client>; CLIENTS_MAX],
    /// The ids of all clients of the script, in the order in which they came.
    pub given: Vec<i64>,
    barriers: u64,
    /// Checks the test: whether the clients do not hear what begins with these words.
    pub deaf_to: Option<&'static [u8]>,
    /// What an answer may take; reducing what is known to differ takes less.
    pub patience: Duration,
}

struct Client {
    conn: Conn,
    id: i64,
}

/// What a server says of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    pub protocol: u8,
    /// Waits for a key.
    pub blocked: bool,
    /// Between MULTI and EXEC.
    pub queueing: bool,
    pub watching: bool,
    /// In RESP2 it may do little else then.
    pub subscribed: bool,
    pub tracking: bool,
}

/// Something that a client asks so that its answer shows where the earlier ones end.
pub struct Barrier(Reply);

impl Side {
    pub fn new(address: &str) -> Side {
        let control = Conn::open(address);
        Side {
            address: address.to_owned(),
            control,
            clients: Default::default(),
            given: Vec::new(),
            barriers: 0,
            deaf_to: None,
            patience: PATIENCE,
        }
    }

    /// Leaves nothing of an earlier script. What a server does not know (yet) it does not have to forget.
    pub fn clear(&mut self, has_scripts: bool) {
        let ids: Vec<i64> = self.clients.iter_mut().filter_map(Option::take).map(Client::abort).collect();
        self.await_gone(&ids);
        self.given.clear();
        let mut requests = vec![
            words(&["SELECT", "0"]),
            words(&["FLUSHALL"]),
            words(&["CONFIG", "SET", "notify-keyspace-events", ""]),
        ];
        if has_scripts {
            requests.extend([words(&["SCRIPT", "FLUSH"]), words(&["FUNCTION", "FLUSH"])]);
        }
        let replies = pipeline(&mut self.control, &requests);
        assert!(replies[..2].iter().all(|reply| reply.text() == "OK"), "{} says {replies:?}", self.address);
    }

    pub fn connect(&mut self, client: usize, protocol: u8) {
        let mut conn = Conn::open(&self.address);
        let requests = [words(&["HELLO", "3"]), words(&["CLIENT", "ID"])];
        let replies = pipeline(&mut conn, if protocol == 3 { &requests } else { &requests[1..] });
        let id = replies.last().expect("one at least").int();
        self.given.push(id);
        self.clients[client] = Some(Client { conn, id });
    }

    /// The client goes away as one whose process ends.
    pub fn disconnect(&mut self, client: usize) {
        let Some(Client { conn, id }) = self.clients[client].take() else { return };
        drop(conn);
        self.await_gone(&[id]);
    }

    /// The client is gone already.
    pub fn forget(&mut self, client: usize) {
        self.clients[client] = None;
    }

    pub fn is_open(&self, client: usize) -> bool {
        self.clients[client].is_some()
    }

    /// The ids of all clients; 0 where there is none.
    pub fn ids(&self) -> [i64; CLIENTS_MAX] {
        let mut ids = [0; CLIENTS_MAX];
        self.clients.iter().zip(&mut ids).for_each(|(client, id)| *id = client.as_ref().map_or(0, |client| client.id));
        ids
    }

    /// Sends requests in one write.
    pub fn send(&mut self, client: usize, requests: &[Request]) {
        let ids = self.ids();
        let bytes: Vec<u8> = requests.iter().flat_map(|request| encode(&with_ids(request, &ids))).collect();
        self.conn(client).send(&bytes);
    }

    /// Asks for an answer that tells where the earlier ones end.
    pub fn bar(&mut self, client: usize, state: State) -> Barrier {
        self.barriers += 1;
        let token = format!("barrier {}", self.barriers);
        let answer = Reply::Bulk(token.clone().into_bytes());
        let in_mode = state.subscribed && state.protocol == 2;
        let (name, answer) = if in_mode {
            ("PING", Reply::Array(vec![Reply::Bulk(b"pong".to_vec()), answer]))
        } else {
            ("ECHO", answer)
        };
        self.conn(client).send(&encode(&[name, &token]));
        Barrier(answer)
    }

    /// What a client has been told before the barrier.
    pub fn before(&mut self, client: usize, barrier: &Barrier) -> Vec<Reply> {
        let mut told = Vec::new();
        let until = Instant::now() + self.patience;
        loop {
            match self.hear(client, until.saturating_duration_since(Instant::now())) {
                Some(reply) if reply == barrier.0 => return told,
                Some(reply) => {
                    let is_last = is_end(&reply);
                    told.push(reply);
                    if is_last {
                        return told;
                    }
                }
                None => {
                    told.push(Reply::Simple(SILENT.to_owned()));
                    return told;
                }
            }
        }
    }

    /// The next that many that a client is told; fewer, and the word for it, where they do not come.
    pub fn next(&mut self, client: usize, count: usize) -> Vec<Reply> {
        let mut told: Vec<Reply> = Vec::new();
        let until = Instant::now() + self.patience;
        while told.len() < count && !told.last().is_some_and(is_end) {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            told.push(self.hear(client, left).unwrap_or_else(|| Reply::Simple(SILENT.to_owned())));
        }
        told
    }

    /// What a client is told until that many replies that are no pushes have come.
    pub fn replies(&mut self, client: usize, count: usize) -> Vec<Reply> {
        let mut told = Vec::new();
        let mut answered = 0;
        while answered < count {
            told.extend(self.next(client, 1));
            if told.last().is_some_and(is_end) {
                return told;
            }
            answered += usize::from(!matches!(told.last(), Some(Reply::Push(_))));
        }
        told
    }

    /// What has arrived at a client by now.
    pub fn arrived(&mut self, client: usize) -> Vec<Reply> {
        std::iter::from_fn(|| self.hear(client, Duration::ZERO)).take_while(|reply| !is_end(reply)).collect()
    }

    /// What the server says of the clients: None of one that it does not know any more.
    pub fn states(&mut self) -> [Option<State>; CLIENTS_MAX] {
        let ids = self.ids();
        let mut states = [None; CLIENTS_MAX];
        let list = self.list(&ids);
        for line in list.lines() {
            let field = |name: &str| line.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            let id = field("id").and_then(|id| id.parse::<i64>().ok());
            let flags = field("flags").unwrap_or_default();
            let at = ids.iter().position(|have| Some(*have) == id && *have != 0);
            // On its way out: to be closed behind its reply, or as soon as possible.
            let (Some(at), false) = (at, flags.contains(['c', 'A'])) else { continue };
            states[at] = Some(State {
                protocol: if field("resp") == Some("3") { 3 } else { 2 },
                blocked: flags.contains('b'),
                queueing: flags.contains('x'),
                watching: !matches!(field("watch"), None | Some("0")),
                subscribed: flags.contains('P'),
                tracking: flags.contains('t'),
            });
        }
        states
    }

    /// A round that ends after everything has been done that had been asked before it.
    pub fn round(&mut self) {
        self.control.cmd(&["PING"]);
    }

    /// Whether the server comes to say that a client waits.
    pub fn comes_to_wait(&mut self, client: usize) -> bool {
        let until = Instant::now() + self.patience;
        loop {
            if self.states()[client].is_some_and(|state| state.blocked) {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            std::thread::yield_now();
        }
    }

    fn await_gone(&mut self, ids: &[i64]) {
        if !ids.is_empty() {
            wait_for("clients to be gone", DEADLINE * 2, || self.list(ids).trim().is_empty().then_some(()));
        }
    }

    fn list(&mut self, ids: &[i64]) -> String {
        let ids: Vec<String> = ids.iter().filter(|id| **id != 0).map(i64::to_string).collect();
        if ids.is_empty() {
            return String::new();
        }
        let words: Vec<&str> = ["CLIENT", "LIST", "ID"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        self.control.cmd(&words).text()
    }

    fn hear(&mut self, client: usize, limit: Duration) -> Option<Reply> {
        match self.conn(client).hear(limit) {
            Ok(Heard::Reply(reply)) if self.deaf_to.is_some_and(|word| begins(&reply, word)) => {
                self.hear(client, limit)
            }
            Ok(Heard::Reply(reply)) => Some(reply),
            Ok(Heard::Closed) => Some(Reply::Simple(CLOSED.to_owned())),
            Ok(Heard::Nothing) => None,
            Err(why) => panic!("client {client} of {}: {why}", self.address),
        }
    }

    fn conn(&mut self, client: usize) -> &mut Conn {
        &mut self.clients[client].as_mut().expect("the client is open").conn
    }
}

impl Client {
    fn abort(self) -> i64 {
        self.conn.abort();
        self.id
    }
}

/// Whether nothing follows that reply.
pub fn is_end(reply: &Reply) -> bool {
    matches!(reply, Reply::Simple(text) if text == CLOSED || text == SILENT)
}

fn begins(reply: &Reply, word: &[u8]) -> bool {
    let (Reply::Push(items) | Reply::Array(items)) = reply else { return false };
    matches!(items.first(), Some(Reply::Bulk(first)) if first == word)
}

/// A request with the ids of clients in the places of their names.
fn with_ids(request: &Request, ids: &[i64; CLIENTS_MAX]) -> Request {
    let word = |word: &Vec<u8>| {
        let named = word.strip_prefix(b"<id:").and_then(|rest| rest.strip_suffix(b">"));
        let client = named.and_then(|digit| std::str::from_utf8(digit).ok()?.parse::<usize>().ok());
        client.and_then(|client| ids.get(client)).map_or_else(|| word.clone(), |id| id.to_string().into_bytes())
    };
    request.iter().map(word).collect()
}
