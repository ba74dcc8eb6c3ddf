//! Transcripts: exact bytes in, exact bytes out, the same files against Swell in several ways of sending and against
//! the real servers, so that the expectations themselves are checked.
//!
//! A file is read line by line. `# comment`. `== name @not-valkey` starts a case: a fresh connection to an empty
//! server; a tag says where it does not hold (`@not-swell`, `@not-valkey`, `@not-redis`, `@not-memcached`; `@not-several`:
//! where the data is on several nodes; `@not-remote`: where it is on one or more over links), or that it holds for several nodes only (`@several`).
//!
//! | line | meaning |
//! | --- | --- |
//! | `resp3` | HELLO 3 first |
//! | `same-slot a b` | where the data is on several nodes, these words in requests become `{s}a`, `{s}b`: what is atomic works within a slot only |
//! | `> SET k "a\r\nb"` | a request, split into words as redis-cli does; memcached: the line with its escapes |
//! | `2> GET k` | the same on a second connection; the replies that follow are read there |
//! | `>- *1\r\n$4\r\nPI` | bytes with their escapes and nothing behind them |
//! | `< $1` | one line of the reply with its escapes; a bulk's payload is one line |
//! | `<~ :\d+` | one line as a regular expression that fits it whole; `(?<name>…)` is `${name}` from then on |
//! | `<* 3` | an array or set of three, in any order: the elements' lines follow; `<% 3`: a map of three |
//! | `<any` | any one whole reply; memcached: any one line |
//! | `<eof` | the server closes the connection |
//! | `<none` | nothing arrives before what comes next |
//!
//! At the end of a case nothing unread may be left.

mod format;
mod memcached;
mod reply;
mod resp;

/// How requests are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One request, then its reply.
    Plain,
    /// The same, byte by byte.
    Split,
    /// Everything that does not depend on a reply in one write.
    Pipelined,
}

/// Beyond this many bytes of one request, Split goes on in larger pieces.
const SINGLE_BYTES_MAX: usize = 4096;

/// A prime, so that pieces and the server's buffers never fall into step.
const PIECE_LEN: usize = 1021;

/// Sends bytes in the way of the mode.
fn send(conn: &mut crate::harness::Conn, bytes: &[u8], mode: Mode) {
    if mode != Mode::Split {
        return conn.send(bytes);
    }
    let (single, rest) = bytes.split_at(bytes.len().min(SINGLE_BYTES_MAX));
    single.chunks(1).chain(rest.chunks(PIECE_LEN)).for_each(|piece| conn.send(piece));
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::Plain, Mode::Split, Mode::Pipelined];
}

/// One test per way of sending for a file, against what is tested, and one in all ways for each place of the data.
/// `$run`: file, name, mode, server. `$start`: from a place to a server.
macro_rules! ways {
    ($run:path, $file:expr, $name:expr, $start:expr) => {
        #[test]
        fn swell() {
            $run($file, $name, Mode::Plain, &$start(Topology::Embedded));
        }

        #[test]
        fn swell_split() {
            $run($file, $name, Mode::Split, &$start(Topology::Embedded));
        }

        #[test]
        fn swell_pipelined() {
            $run($file, $name, Mode::Pipelined, &$start(Topology::Embedded));
        }

        #[test]
        fn one_remote_node() {
            in_all_ways($start(Topology::Remote1));
        }

        #[test]
        fn three_remote_nodes() {
            in_all_ways($start(Topology::Remote3));
        }

        #[test]
        fn three_nodes_with_moving_slots() {
            in_all_ways($start(Topology::Moving3));
        }

        /// On one server: they come one after the other.
        fn in_all_ways(server: Server) {
            for mode in Mode::ALL {
                eprintln!("{mode:?}");
                $run($file, $name, mode, &server);
            }
        }
    };
}

/// All tests of RESP files, beside both other servers. `$more`: arguments Swell is started with.
macro_rules! resp_files {
    ($more:expr; $($name:ident)*) => {$(
        mod $name {
            use super::{Mode, resp};
            use crate::harness::{Real, Server, Subject, Topology};

            const FILE: &str = concat!(stringify!($name), ".txt");

            fn start(topology: Topology) -> Server {
                Subject::resp_with(topology, &$more)
            }

            ways! { resp::run, FILE, Subject::name(), start }

            #[test]
            fn valkey() {
                resp::run(FILE, "valkey", Mode::Plain, &Real::valkey(&[]));
            }

            #[test]
            fn redis() {
                resp::run(FILE, "redis", Mode::Plain, &Real::redis(&[]));
            }
        }
    )*};
}

resp_files! {
    [];
    acl string hash set generic connection server introspection transactions bad_input help list stream hyperloglog bitmap
    blocking scripting
}

// With one worker, what one connection is told has come when another reads its reply, and who has left has left before the
// next case begins.
resp_files! { ["--workers", "1"]; tracking pubsub }

mod auth {
    use super::{Mode, resp};
    use crate::harness::{Real, Server, Subject, Topology};

    const FILE: &str = "auth.txt";

    const PASSWORD: &str = "secret";

    fn start(topology: Topology) -> Server {
        Subject::resp_with(topology, &["--requirepass", PASSWORD])
    }

    fn run(file: &str, name: &str, mode: Mode, server: &Server) {
        resp::run_with_password(file, name, mode, server, Some(PASSWORD));
    }

    ways! { run, FILE, Subject::name(), start }

    #[test]
    fn valkey() {
        run(FILE, "valkey", Mode::Plain, &Real::valkey(&["--requirepass", PASSWORD]));
    }

    #[test]
    fn redis() {
        run(FILE, "redis", Mode::Plain, &Real::redis(&["--requirepass", PASSWORD]));
    }
}

mod cluster {
    use super::{Mode, resp};
    use crate::harness::{Real, Server, Subject, Topology};

    const FILE: &str = "cluster.txt";

    /// Not "valkey": what it checks here is a cluster.
    fn name() -> &'static str {
        if Subject::is_swell() { "swell" } else { "valkey-cluster" }
    }

    ways! { resp::run, FILE, name(), Subject::cluster_in }

    #[test]
    fn valkey() {
        resp::run(FILE, "valkey-cluster", Mode::Plain, &Real::valkey_cluster());
    }
}

mod memcached_text {
    use super::{Mode, memcached};
    use crate::harness::{Real, Server, Subject, Topology};

    const FILE: &str = "memcached.txt";

    fn name() -> &'static str {
        if Subject::is_swell() { "swell" } else { "memcached" }
    }

    ways! { memcached::run, FILE, name(), Subject::memcached_in }

    #[test]
    fn memcached() {
        memcached::run_on_new_ones(FILE, "memcached", Mode::Plain, || Real::memcached(&[]));
    }
}
