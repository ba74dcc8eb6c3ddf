//! Requests run straight on a node, as a worker would.

use std::sync::Arc;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, Table, tables};
use swell_engine::{Context, Outcome};
use swell_node::Node;
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;

/// Runs one request; its reply, or why it did not run.
pub fn run(node: &Arc<Node>, text: &str) -> Result<String, Outcome> {
    run_of(&tables().resp, node, text)
}

/// A memcached unique that this node gives out.
pub fn unique_of(node: &Arc<Node>) -> u64 {
    run(node, "set unique v").unwrap();
    let reply = run_of(&tables().memcached, node, "gets unique").unwrap();
    reply.lines().next().and_then(|line| line.rsplit(' ').next()).and_then(|cas| cas.parse().ok()).expect(&reply)
}

fn run_of(table: &Table, node: &Arc<Node>, text: &str) -> Result<String, Outcome> {
    let words: Vec<&str> = text.split(' ').collect();
    let args = OwnedArgs::from_slices(&words);
    let Found::Command(command) = table.find(args.as_args()) else { panic!("{text}") };
    let mut keys = Vec::new();
    command.spec.hash_keys(node.engine(), args.as_args(), &mut keys);
    let context = Context { now_ms: NOW_MS, ..Context::default() };
    let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
    let mut out = Out::new(Proto::Resp2);
    match node.handle(1).execute(&call, None, &mut out) {
        Outcome::Done { .. } => Ok(String::from_utf8(out.to_vec()).unwrap()),
        other => Err(other),
    }
}
