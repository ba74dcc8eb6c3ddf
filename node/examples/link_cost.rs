//! What a link's sessions cost beside the engine alone: nanoseconds of CPU time for a GET of one of a million keys, in frames of one
//! and of sixteen requests. `cargo run --release -p swell-node --example link_cost`

use std::hint::black_box;
use std::sync::Arc;
use std::task::Waker;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::{Context, Db};
use swell_node::link::frame::{self, Kind, RequestHead};
use swell_node::link::serve::Sessions;
use swell_node::view::View;
use swell_node::{Handle, Node};
use swell_wire::{Limits, Out, Proto, Requests, resp};

const KEYS: u64 = 1_000_000;
const ROUNDS: usize = 20_000;
/// Requests that one read brings.
const READ: usize = 64;
const NOW_MS: u64 = 1_700_000_000_000;

fn main() {
    let node = Node::new(7);
    let mut handle = node.handle(3);
    let view = Arc::<View>::default();
    view.set_epoch(1);
    let mut sessions = Sessions::new(node.clone(), view);
    for first in (0..KEYS).step_by(READ) {
        let body: Vec<Vec<u8>> = (first..first + READ as u64).map(|n| set(n % KEYS)).collect();
        serve(&mut sessions, &mut handle, &frames(&body, 16));
    }
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        random.wrapping_mul(0x2545_f491_4f6c_dd1d) % KEYS
    };
    let reads: Vec<Vec<Vec<u8>>> = (0..ROUNDS).map(|_| (0..READ).map(|_| get(next())).collect()).collect();
    for _ in 0..3 {
        for per_frame in [1, 16] {
            let bytes: Vec<Vec<u8>> = reads.iter().map(|requests| frames(requests, per_frame)).collect();
            let started = cpu_ns();
            bytes.iter().for_each(|bytes| serve(&mut sessions, &mut handle, bytes));
            report(&format!("sessions, {per_frame} in a frame, {} bytes each", bytes[0].len() / READ), started);
        }
        for group in [1, 16, 32] {
            let bytes: Vec<Vec<u8>> = reads.iter().map(|requests| requests.concat()).collect();
            let started = cpu_ns();
            execute(&mut handle, &bytes, group);
            report(&format!("engine alone, prefetched by {group}"), started);
        }
    }
}

fn report(what: &str, started: u64) {
    println!("{what}: {:.1} ns", (cpu_ns() - started) as f64 / (ROUNDS * READ) as f64);
}

/// CPU time of this thread so far: others on the machine do not count. Linux only.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn serve(sessions: &mut Sessions, handle: &mut Handle, bytes: &[u8]) {
    let consumed = sessions.take(handle, bytes, NOW_MS, Waker::noop());
    assert_eq!(consumed.ok(), Some(bytes.len()));
    while let Some(part) = sessions.outbox().chunk() {
        let len = black_box(part).len();
        sessions.outbox().advance(len);
    }
}

/// Decodes and executes as the embedded proxy does, without its sessions and its meter.
fn execute(handle: &mut Handle, reads: &[Vec<u8>], group: usize) {
    let (limits, mut requests, mut out) = (Limits::default(), Requests::new(), Out::new(Proto::Resp2));
    let mut keys = Vec::new();
    let context = Context { db: Db::default(), now_ms: NOW_MS, ..Context::default() };
    for bytes in reads {
        requests.clear();
        out.clear();
        assert_eq!(resp::Decoder::new().decode(bytes, &limits, &mut requests), bytes.len());
        let mut index = 0;
        while index < requests.len() {
            let end = requests.len().min(index + group);
            keys.clear();
            let mut planned = [None; 32];
            for at in index..end {
                let Some(args) = requests.get(at, bytes) else { continue };
                let Found::Command(command) = tables().resp.find(args) else { continue };
                if command.spec.arity_fits(args.len()) {
                    command.spec.hash_keys(handle.engine(), args, &mut keys);
                    planned[at - index] = Some((command.spec, args));
                }
            }
            if group > 1 {
                handle.prefetch(Db::default(), &keys);
            }
            for (at, planned) in planned.iter().take(end - index).enumerate() {
                let Some((spec, args)) = planned else { continue };
                let call = Admitted::from_link(spec, *args).call(&keys[at..at + 1], context);
                black_box(handle.execute(&call, None, &mut out));
            }
            index = end;
        }
        black_box(out.as_contiguous());
    }
}

fn key(n: u64) -> String {
    format!("key:{n:012}")
}

fn get(n: u64) -> Vec<u8> {
    format!("*2\r\n$3\r\nGET\r\n$16\r\n{}\r\n", key(n)).into_bytes()
}

fn set(n: u64) -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n$16\r\n{}\r\n$100\r\n{}\r\n", key(n), "v".repeat(100)).into_bytes()
}

/// Frames of so many requests each, of one session each.
fn frames(requests: &[Vec<u8>], per_frame: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (session, requests) in requests.chunks(per_frame).enumerate() {
        let at = frame::begin(Kind::Request, &mut bytes);
        let count = requests.len() as u16;
        RequestHead { session: session as u32, epoch: 1, count, ..RequestHead::default() }.write(&mut bytes);
        requests.iter().for_each(|request| bytes.extend_from_slice(request));
        frame::end(at, &mut bytes);
    }
    bytes
}
