//! Fuzz target: scripts, their libraries and payloads of functions.

#![no_main]

#[path = "../scripts.rs"]
mod scripts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scripts::script_bindings(data));
