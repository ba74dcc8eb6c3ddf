//! Fuzz target: memcached requests.

#![no_main]

#[path = "../check.rs"]
mod check;
#[path = "../random.rs"]
mod random;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::memcached_requests(data));
