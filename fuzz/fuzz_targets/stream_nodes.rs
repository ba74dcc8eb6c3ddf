//! Fuzz target: nodes of streams.

#![no_main]

#[path = "../values.rs"]
mod values;

libfuzzer_sys::fuzz_target!(|data: &[u8]| values::stream_nodes(data));
