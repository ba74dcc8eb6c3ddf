//! The integration tests of Swell: one binary, every test against processes of its own, in parallel.
//!
//! `SWELL_BIN` names another binary to test. `SWELL_SUBJECT=valkey` runs the tests that compare with an oracle
//! against valkey-server itself, which checks the tests rather than Swell. `SWELL_APPS_FACTOR=10` gives the
//! applications ten times as much to do.

mod apps;
mod billing;
mod charts;
mod clients;
mod consistency;
mod differential;
mod events;
mod harness;
mod laws;
mod ledger;
mod metadata;
mod payloads;
mod process;
mod transcripts;
