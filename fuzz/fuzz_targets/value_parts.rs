//! Fuzz target: parts of large values.

#![no_main]

#[path = "../values.rs"]
mod values;

libfuzzer_sys::fuzz_target!(|data: &[u8]| values::value_parts(data));
