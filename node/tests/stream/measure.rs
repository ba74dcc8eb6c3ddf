//! How fast it is; by hand.

use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_ring::{Slot, SlotSet};

use crate::common::*;

#[test]
#[ignore = "a measurement, for a release build"]
fn how_many_keys_a_second() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let value = "v".repeat(100);
    for n in 0..500_000 {
        source.text(&format!("set key:{n:012} {value}"));
    }
    let mut sealed_us: Vec<u128> = Vec::new();
    let (mut out_ns, mut in_ns, mut keys, mut total) = (0, 0, 0, 0);
    // As a hand-over does it: groups of 256 slots.
    for first in (0..16384).step_by(256) {
        let group: SlotSet = (first..first + 256).filter_map(Slot::new).collect();
        let mut frame = Vec::new();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let start = std::time::Instant::now();
        let mut outgoing = Outgoing::begin(&from, &group);
        out_ns += start.elapsed().as_nanos();
        let mut sealed = None;
        while !outgoing.is_drained() {
            let start = std::time::Instant::now();
            if sealed.is_none() && outgoing.pump(500).unwrap() == Pumped::Copied {
                sealed = Some(std::time::Instant::now());
                outgoing.seal().unwrap();
            }
            frame.clear();
            outgoing.take(&mut frame, FRAME_BYTES).unwrap();
            out_ns += start.elapsed().as_nanos();
            total += frame.len();
            let start = std::time::Instant::now();
            incoming.apply(&mut target.handle, &frame).unwrap();
            in_ns += start.elapsed().as_nanos();
        }
        incoming.end(&target.handle).unwrap();
        sealed_us.push(sealed.unwrap().elapsed().as_micros());
        keys += outgoing.progress().keys;
        outgoing.release();
    }
    sealed_us.sort_unstable();
    let per_second = |ns: u128| u128::from(keys) * 1_000_000_000 / ns;
    println!("{keys} keys, {total} bytes: source {}/s, target {}/s", per_second(out_ns), per_second(in_ns));
    println!("sealed until the counts agree: median {} us, most {} us", sealed_us[32], sealed_us[63]);
    assert_eq!(keys, 500_000);
}
