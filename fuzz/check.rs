//! What must hold for any bytes a client may send; shared by the fuzz targets and by wire's own tests.
#![allow(dead_code, reason = "every binary that includes this file uses a part of it")]

use crate::random::Random;
use swell_wire::limits::{self, INLINE_BYTES_MAX, MEMCACHED_KEY_BYTES_MAX};
use swell_wire::{Arg, Limits, Reject, Requests, SEGMENT_BYTES, memcached, resp};

/// In fuzz input, this byte and the next one stand for `n` KiB of `x`: so short inputs reach long arguments.
pub const FILL: u8 = 0xf5;
/// Inputs are not expanded beyond this.
const INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longer inputs are not fed byte by byte.
const BYTEWISE_BYTES_MAX: usize = 20_000;

/// One request as it came out of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// Served; `noreply` as the item says.
    Args { args: Vec<Vec<u8>>, noreply: bool },
    /// Refused.
    Reject { reject: Reject, noreply: bool },
    /// Refused for its size: verb and key.
    TooLarge { args: Vec<Vec<u8>>, noreply: bool },
}

/// The decoders' common surface.
pub trait Decoder: Default {
    fn decode(&mut self, buf: &[u8], limits: &Limits, out: &mut Requests) -> usize;
    fn rewind(&mut self);
    fn heap_bytes(&self) -> usize;
    fn bytes_wanted(&self, have: usize) -> usize;
}

impl Decoder for resp::Decoder {
    fn decode(&mut self, buf: &[u8], limits: &Limits, out: &mut Requests) -> usize {
        self.decode(buf, limits, out)
    }
    fn rewind(&mut self) {
        self.rewind();
    }
    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }
    fn bytes_wanted(&self, have: usize) -> usize {
        self.bytes_wanted(have)
    }
}

impl Decoder for memcached::Decoder {
    fn decode(&mut self, buf: &[u8], limits: &Limits, out: &mut Requests) -> usize {
        self.decode(buf, limits, out)
    }
    fn rewind(&mut self) {
        self.rewind();
    }
    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }
    fn bytes_wanted(&self, have: usize) -> usize {
        self.bytes_wanted(have)
    }
}

/// How a reader hands bytes to a decoder.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    /// All at once.
    Whole,
    /// So many bytes a time.
    Of(usize),
    /// Two pieces, torn here.
    TornAt(usize),
    /// Pieces of random length up to 32 KiB, and now and then a batch that is served only in part, from this seed.
    Random(u64),
}

/// The fuzz target for RESP.
pub fn resp_requests(data: &[u8]) {
    let input = expand(data);
    every_limit(&input, |limits| {
        let whole = agree::<resp::Decoder>(&input, limits);
        for got in &whole {
            check_resp(got, limits);
        }
    });
}

/// The fuzz target for memcached text.
pub fn memcached_requests(data: &[u8]) {
    let input = expand(data);
    every_limit(&input, |limits| {
        let whole = agree::<memcached::Decoder>(&input, limits);
        for got in &whole {
            check_memcached(got, limits);
        }
    });
}

/// Decodes `input` whole and in several kinds of pieces, which must all come to the same requests.
pub fn agree<D: Decoder>(input: &[u8], limits: &Limits) -> Vec<Got> {
    let whole = run::<D>(input, Pieces::Whole, limits);
    let seed =
        input.iter().fold(input.len() as u64 | 1, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let bytewise = if input.len() <= BYTEWISE_BYTES_MAX { Pieces::Of(1) } else { Pieces::Of(1021) };
    for pieces in [bytewise, Pieces::Of(7919), Pieces::Random(seed), Pieces::Random(!seed)] {
        let torn = run::<D>(input, pieces, limits);
        assert!(torn == whole, "{pieces:?} under {limits:?}: {} requests, whole {}", torn.len(), whole.len());
    }
    whole
}

/// Decodes `input` as a reader would that gets it in `pieces`, keeps what is not consumed and calls again while requests
/// come. Checks what must hold for every call.
pub fn run<D: Decoder>(input: &[u8], pieces: Pieces, limits: &Limits) -> Vec<Got> {
    let mut decoder = D::default();
    let mut out = Requests::new();
    let mut all = Vec::new();
    let mut random = Random(if let Pieces::Random(seed) = pieces { seed } else { 1 });
    // What is not consumed is input[front..fed]; bytes before `front` are gone.
    let (mut front, mut fed) = (0, 0);
    while fed < input.len() {
        let step = match pieces {
            Pieces::Whole => input.len(),
            Pieces::Of(bytes) => bytes,
            Pieces::TornAt(at) if fed == 0 => at.max(1),
            Pieces::TornAt(_) => input.len(),
            Pieces::Random(_) => {
                let longest = [200, 200, 200, 32 * 1024][random.below(4)];
                1 + random.below(longest)
            }
        };
        fed = input.len().min(fed + step);
        loop {
            out.clear();
            let buf = &input[front..fed];
            let consumed = decoder.decode(buf, limits, &mut out);
            check_call(&out, buf, consumed, limits);
            let partly = matches!(pieces, Pieces::Random(_)) && !out.is_empty() && random.below(3) == 0;
            let served = if partly { 1 + random.below(out.len()) } else { out.len() };
            all.extend((0..served).map(|index| got(&out, index, buf)));
            if served < out.len() {
                front += out.item(served - 1).end as usize;
                decoder.rewind();
            } else {
                front += consumed;
            }
            assert!(decoder.heap_bytes() <= 4 * fed + 4096, "a decoder holds in proportion to what came");
            assert!(decoder.bytes_wanted(fed - front) <= limits.bulk_bytes_max.max(i32::MAX as usize) + (1 << 20));
            if out.is_empty() {
                break;
            }
        }
    }
    all
}

/// What holds for each call, whatever the bytes.
fn check_call(out: &Requests, buf: &[u8], consumed: usize, limits: &Limits) {
    assert!(consumed <= buf.len());
    assert!(out.len() <= if limits.authenticated { limits.requests_max.max(1) } else { 1 });
    let mut end = 0;
    for (index, item) in out.items().iter().enumerate() {
        assert!(item.end as usize >= end && item.end as usize <= consumed, "ends are in order and consumed");
        end = item.end as usize;
        if let swell_wire::Kind::Reject(reject) = item.kind {
            assert!(!reject.closes() || (index + 1 == out.len() && consumed == buf.len()), "nothing follows the end");
        }
        if let Some(args) = out.get(index, buf) {
            assert!(!args.is_empty(), "a request has a name");
            for at in 0..args.len() {
                match args.get(at) {
                    Arg::Slice(bytes) => assert!(bytes.len() <= SEGMENT_BYTES),
                    Arg::Segments(segments) => assert!(segments.len() > SEGMENT_BYTES),
                }
            }
        }
    }
}

fn got(out: &Requests, index: usize, buf: &[u8]) -> Got {
    let noreply = out.item(index).noreply;
    let args = |index| {
        let args = out.get(index, buf).expect("it has arguments");
        (0..args.len()).map(|at| args.get(at).to_bytes().into_owned()).collect()
    };
    match out.item(index).kind {
        swell_wire::Kind::Reject(reject) => Got::Reject { reject, noreply },
        swell_wire::Kind::TooLarge(_) => Got::TooLarge { args: args(index), noreply },
        _ => Got::Args { args: args(index), noreply },
    }
}

fn check_resp(got: &Got, limits: &Limits) {
    match got {
        Got::Args { args, noreply } => {
            assert!(!noreply);
            assert!(args.len() <= limits.args_max.max(INLINE_BYTES_MAX / 2 + 1));
            let longest = if limits.authenticated {
                limits.bulk_bytes_max
            } else {
                limits.bulk_bytes_max.min(limits::UNAUTHENTICATED_BULK_BYTES_MAX)
            };
            assert!(args.iter().all(|arg| arg.len() <= longest.max(INLINE_BYTES_MAX)));
        }
        Got::Reject { reject, .. } => assert!(reject.closes(), "every RESP protocol error ends the connection"),
        Got::TooLarge { .. } => panic!("memcached's alone"),
    }
}

fn check_memcached(got: &Got, limits: &Limits) {
    match got {
        Got::Args { args, noreply } => check_command(args, *noreply, limits),
        Got::TooLarge { args, .. } => {
            assert_eq!(args.len(), 2);
            assert!(args[1].len() <= MEMCACHED_KEY_BYTES_MAX);
        }
        Got::Reject { reject, .. } => {
            assert!(!matches!(reject, Reject::ObjectTooLarge));
        }
    }
}

fn check_command(args: &[Vec<u8>], noreply: bool, limits: &Limits) {
    let (verb, rest) = args.split_first().expect("a verb");
    let storage = match &verb[..] {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" => Some(5),
        b"cas" => Some(6),
        _ => None,
    };
    let words = if let Some(data_at) = storage {
        assert_eq!(args.len(), data_at + 1, "the data block has a fixed place");
        let len = memcached::number::signed(&args[4]).expect("a valid length");
        assert_eq!(args[data_at].len() as i64, len);
        assert!(args[1].len() + args[data_at].len() < limits.item_bytes_max);
        assert!(memcached::number::flags(&args[2]).is_some() && memcached::number::exptime(&args[3]).is_some());
        &args[..data_at]
    } else {
        args
    };
    assert!(words.iter().all(|word| !word.is_empty() && !word.contains(&b' ') && !word.contains(&b'\n')));
    match &verb[..] {
        b"get" | b"gets" => {
            assert!(!noreply && rest.iter().all(|key| key.len() <= MEMCACHED_KEY_BYTES_MAX));
            assert!(rest.len() <= limits.args_max + 1);
        }
        _ => {
            assert!(words.iter().map(|word| word.len() + 1).sum::<usize>() <= limits::MEMCACHED_GET_LINE_BYTES_MAX + 1)
        }
    }
}

/// Runs `check` under the usual limits and under tight ones.
fn every_limit(input: &[u8], check: impl Fn(&Limits)) {
    check(&Limits::default());
    check(&Limits {
        requests_max: 1 + input.len() % 5,
        args_max: 3,
        bulk_bytes_max: 70_000,
        item_bytes_max: 90,
        ..Limits::default()
    });
    check(&Limits { authenticated: false, ..Limits::default() });
}

fn expand(data: &[u8]) -> Vec<u8> {
    let mut input = Vec::with_capacity(data.len());
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            FILL if input.len() < INPUT_BYTES_MAX => {
                let kib = usize::from(*bytes.next().unwrap_or(&0));
                input.resize(input.len() + kib * 1024, b'x');
            }
            byte => input.push(byte),
        }
    }
    input
}
