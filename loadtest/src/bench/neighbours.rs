//! Bad neighbours: a client that writes and reads a huge string, and one whose slot is moved again and again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use super::args::Protocol;
use super::client::Client;
use super::cluster;
use super::peer::Server;
use super::sys;

/// What the neighbours did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Neighbours {
    /// Whole huge values.
    pub written: u64,
    pub read: u64,
    /// Moves of the one slot, one after the other.
    pub moves: u64,
    /// Requests for a key of that slot, and the longest.
    pub increments: u64,
    pub worst_increment_us: f64,
    /// Of their threads, and of the commands that moved the slot.
    pub cpu_seconds: f64,
}

/// The slot that is moved, between these nodes.
#[derive(Debug, Clone, Copy)]
pub struct Paused {
    slot: usize,
    home: u32,
    other: u32,
}

const BIG_KEY: &str = "a-huge-value";
const PAUSED_KEY: &str = "a-counter-that-moves";
/// What the huge value repeats, and what is sent at once.
const PATTERN_BYTES: usize = 64 << 10;
/// Between two requests for the moving slot.
const INCREMENT_EVERY: Duration = Duration::from_millis(1);
/// How long a whole huge value may take to be stored, once sent, or to begin to come.
const BIG_WAIT_MAX: Duration = Duration::from_secs(30);

impl Paused {
    /// The slot of a counter, which is at `home` now as the huge value is.
    pub fn new(server: &Server, home: u32, other: u32) -> Result<Paused> {
        let mut client = server.client()?;
        let (slot, big) = (client.slot_of(PAUSED_KEY)?, client.slot_of(BIG_KEY)?);
        if slot == big {
            bail!("the slot that moves holds the huge value");
        }
        Ok(Paused { slot: usize::try_from(slot)?, home, other })
    }
}

impl Neighbours {
    /// Errors when they were no trouble.
    pub fn check(&self) -> Result<()> {
        if self.written == 0 || self.read == 0 {
            bail!(
                "the huge value was written {} times and read {} times: use more --phase-seconds",
                self.written,
                self.read
            );
        }
        if self.moves == 0 || self.increments == 0 {
            bail!("the slot moved {} times, with {} requests for it", self.moves, self.increments);
        }
        Ok(())
    }
}

/// Writes and reads the huge value (`rounds`: how often both), moves the slot and counts in it until `stop` says so; then
/// the slot is home again.
///
/// Errors when anything is answered wrongly: an error, a huge value with other bytes, a counter that is not one more.
pub fn run(
    server: &Server,
    paused: &Paused,
    big_bytes: u64,
    rounds: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Neighbours> {
    let commands_before = sys::ended_children_cpu()?;
    let (big, moves, counted) = thread::scope(|scope| {
        let big = scope.spawn(|| write_and_read(server.address, big_bytes, rounds, stop));
        let moves = scope.spawn(|| to_and_fro(server, paused, stop));
        let counted = scope.spawn(|| count(server, stop));
        (big.join(), moves.join(), counted.join())
    });
    let failed = |_| anyhow!("a neighbour failed");
    let (written, read, big_cpu) = big.map_err(failed)?.context("the huge value")?;
    let moves = moves.map_err(failed)?.context("the moving slot")?;
    let (increments, worst, count_cpu) = counted.map_err(failed)?.context("the counter in the moving slot")?;
    let commands = sys::ended_children_cpu()?.saturating_sub(commands_before);
    Ok(Neighbours {
        written,
        read,
        moves,
        increments,
        worst_increment_us: worst.as_secs_f64() * 1e6,
        cpu_seconds: (big_cpu + count_cpu + commands).as_secs_f64(),
    })
}

/// How often a whole value was written, and read, and the CPU time of it.
fn write_and_read(
    address: SocketAddr,
    bytes: u64,
    rounds: &AtomicU64,
    stop: &AtomicBool,
) -> Result<(u64, u64, Duration)> {
    let mut client = Client::connect(address, Protocol::Resp)?;
    client.set_wait(BIG_WAIT_MAX)?;
    let pattern = pattern();
    let (mut written, mut read) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        if !write_whole(&mut client, bytes, &pattern, stop)? {
            break;
        }
        written += 1;
        if !read_whole(&mut client, bytes, &pattern, stop)? {
            break;
        }
        read += 1;
        rounds.store(read, Ordering::Relaxed);
    }
    Ok((written, read, sys::thread_cpu()?))
}

/// False when it was told to stop on the way; the connection is of no use then.
fn write_whole(client: &mut Client, bytes: u64, pattern: &[u8], stop: &AtomicBool) -> Result<bool> {
    client.send(format!("*3\r\n$3\r\nSET\r\n${}\r\n{BIG_KEY}\r\n${bytes}\r\n", BIG_KEY.len()).as_bytes())?;
    let mut left = bytes;
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let part = left.min(pattern.len() as u64) as usize;
        client.send(&pattern[..part])?;
        left -= part as u64;
    }
    client.send(b"\r\n")?;
    let reply = line(client)?;
    if reply != b"+OK\r\n" {
        bail!("SET of {bytes} bytes was answered by {}", reply.escape_ascii());
    }
    Ok(true)
}

/// As [`write_whole`].
fn read_whole(client: &mut Client, bytes: u64, pattern: &[u8], stop: &AtomicBool) -> Result<bool> {
    client.send(format!("*2\r\n$3\r\nGET\r\n${}\r\n{BIG_KEY}\r\n", BIG_KEY.len()).as_bytes())?;
    let head = line(client)?;
    if head != format!("${bytes}\r\n").as_bytes() {
        bail!("GET of {bytes} bytes was answered by {}", head.escape_ascii());
    }
    let mut at = 0;
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if client.arrived().is_empty() {
            client.fill(PATTERN_BYTES)?;
        }
        let len = (client.arrived().len() as u64).min(bytes - at) as usize;
        if !repeats(&client.arrived()[..len], at, pattern) {
            bail!("a byte in {at}..{} is wrong", at + len as u64);
        }
        client.take(len);
        at += len as u64;
    }
    Ok(line(client)? == b"\r\n")
}

fn line(client: &mut Client) -> Result<Vec<u8>> {
    client.receive(|bytes| bytes.iter().position(|&byte| byte == b'\n').map(|end| end + 1))
}

fn pattern() -> Vec<u8> {
    // 251 is prime, so that a shift by any number of whole kilobytes shows.
    (0..PATTERN_BYTES).map(|at| b'A'.wrapping_add((at % 251) as u8)).collect()
}

/// Whether `part` is what an endless repetition of the pattern has from `at` on.
fn repeats(part: &[u8], at: u64, pattern: &[u8]) -> bool {
    let mut start = (at % pattern.len() as u64) as usize;
    let mut rest = part;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(pattern.len() - start));
        if now != &pattern[start..start + now.len()] {
            return false;
        }
        (rest, start) = (later, 0);
    }
    true
}

/// Moves the slot away and back; ends with it at home.
fn to_and_fro(server: &Server, paused: &Paused, stop: &AtomicBool) -> Result<u64> {
    let mut moves = 0;
    while !stop.load(Ordering::Relaxed) || moves % 2 == 1 {
        let to = if moves % 2 == 0 { paused.other } else { paused.home };
        cluster::move_slots(server, &[paused.slot], to)?;
        moves += 1;
    }
    Ok(moves)
}

/// Counts in the moving slot: how often, the longest it took, and the CPU time.
fn count(server: &Server, stop: &AtomicBool) -> Result<(u64, Duration, Duration)> {
    let mut client = server.client()?;
    let first = client.increment(PAUSED_KEY)?;
    let (mut count, mut worst) = (first, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let now = client.increment(PAUSED_KEY)?;
        worst = worst.max(asked.elapsed());
        if now != count + 1 {
            bail!("it was {now} after {count}");
        }
        count = now;
        thread::sleep(INCREMENT_EVERY);
    }
    Ok((count - first, worst, sys::thread_cpu()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Takes one huge SET and answers the GET after it with what it was given, one byte changed if so asked.
    fn echo(bytes: usize, change: Option<usize>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let take = |len: usize, stream: &mut std::net::TcpStream| {
                let mut taken = vec![0; len];
                stream.read_exact(&mut taken).map(|()| taken)
            };
            let head = format!("*3\r\n$3\r\nSET\r\n$12\r\n{BIG_KEY}\r\n${bytes}\r\n").len();
            let get = format!("*2\r\n$3\r\nGET\r\n$12\r\n{BIG_KEY}\r\n").len();
            while let Ok(set) = take(head + bytes + 2, &mut stream) {
                let mut value = set[head..].to_vec();
                if let Some(at) = change {
                    value[at] ^= 1;
                }
                stream.write_all(b"+OK\r\n").expect("it listens");
                take(get, &mut stream).expect("a GET follows");
                let reply = [format!("${bytes}\r\n").as_bytes(), &value].concat();
                if stream.write_all(&reply).is_err() {
                    return;
                }
            }
        });
        address
    }

    #[test]
    fn a_huge_value_is_written_read_and_compared() {
        let bytes = 3 * PATTERN_BYTES + 7;
        let stop = AtomicBool::new(false);
        let pattern = pattern();
        let mut client = Client::connect(echo(bytes, None), Protocol::Resp).expect("it listens");
        for _ in 0..3 {
            assert!(write_whole(&mut client, bytes as u64, &pattern, &stop).expect("written"));
            assert!(read_whole(&mut client, bytes as u64, &pattern, &stop).expect("read"));
        }
        let wrong = write_and_read(echo(bytes, Some(bytes - 1)), bytes as u64, &AtomicU64::new(0), &stop)
            .expect_err("a wrong byte");
        assert!(wrong.to_string().contains("is wrong"), "{wrong}");
        stop.store(true, Ordering::Relaxed);
        assert!(!write_whole(&mut client, bytes as u64, &pattern, &stop).expect("it stops on the way"));
    }

    #[test]
    fn the_pattern_is_recognised_from_anywhere() {
        let pattern = pattern();
        let twice = pattern.repeat(3);
        for at in [0, 1, PATTERN_BYTES - 1, PATTERN_BYTES, PATTERN_BYTES + 5] {
            assert!(repeats(&twice[at..at + PATTERN_BYTES], at as u64, &pattern), "{at}");
        }
        assert!(!repeats(&twice[1024..4096], 0, &pattern), "a shift shows");
    }

    #[test]
    fn neighbours_that_did_nothing_are_found_out() {
        let done = Neighbours { written: 1, read: 1, moves: 2, increments: 9, ..Neighbours::default() };
        done.check().expect("all of it happened");
        for idle in [
            Neighbours { read: 0, ..done.clone() },
            Neighbours { moves: 0, ..done.clone() },
            Neighbours { increments: 0, ..done },
        ] {
            assert!(idle.check().is_err(), "{idle:?}");
        }
    }
}
