//! The fuzz targets' checks on stable: every seed of their corpora, and a bounded run of mutated seeds.

#[path = "../../fuzz/check.rs"]
mod check;
#[path = "../../fuzz/drive.rs"]
mod drive;
#[path = "../../fuzz/random.rs"]
mod random;

use drive::replay_and_mutate;

#[test]
fn resp_requests() {
    replay_and_mutate("resp_requests", "resp.dict", Some(check::FILL), check::resp_requests);
}

#[test]
fn memcached_requests() {
    replay_and_mutate("memcached_requests", "memcached.dict", Some(check::FILL), check::memcached_requests);
}
