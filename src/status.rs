//! `/status`, `/events` and the metrics of nodes: what the scaler says, asked over its link by whichever process serves
//! HTTP.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swell_meter::Bill;
use swell_node::control::{Answer, Ask, NodeStatus, Status};

use crate::nodes::asking::Asking;
use swell_node::link::socket::Address;

/// A scaler that did not answer is left alone for so long: asking one that hangs takes time.
const LEAVE_ALONE: Duration = Duration::from_secs(2);

/// Asks the scaler, over one link that is kept.
pub struct Scaler {
    address: Option<Address>,
    secret: String,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    asking: Option<Asking>,
    not_before: Option<Instant>,
}

impl Scaler {
    /// Where it listens. None: there is none.
    pub fn new(address: Option<Address>, secret: String) -> Scaler {
        Scaler { address, secret, link: Mutex::default() }
    }

    /// Everything at a glance. None: it does not answer.
    pub fn status(&self) -> Option<Status> {
        match self.ask(Ask::Status)? {
            Answer::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// What `/events` answers.
    pub fn events(&self, after: u64) -> Option<Value> {
        match self.ask(Ask::Events { after })? {
            Answer::Events(events) => Some(json!({ "events": events })),
            _ => None,
        }
    }

    fn ask(&self, ask: Ask) -> Option<Answer> {
        let address = self.address.as_ref()?;
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if link.not_before.is_some_and(|from| Instant::now() < from) {
            return None;
        }
        // A kept link may have been lost since: then a new one is asked.
        let kept =
            link.asking.take().and_then(|mut asking| asking.ask(ask.clone()).ok().map(|answer| (asking, answer)));
        let asked = kept.map_or_else(
            || {
                Asking::begin(address, &self.secret)
                    .and_then(|mut asking| asking.ask(ask).map(|answer| (asking, answer)))
            },
            Ok,
        );
        match asked {
            Ok((asking, answer)) => {
                (link.asking, link.not_before) = (Some(asking), None);
                Some(answer)
            }
            Err(error) => {
                tracing::debug!(%error, "the scaler does not answer");
                link.not_before = Some(Instant::now() + LEAVE_ALONE);
                None
            }
        }
    }
}

/// What `/status` answers. ECPUs and the bill are what this process's proxy has charged; a node's are all proxies'.
pub fn page(status: &Status, bill: &Bill) -> Value {
    let scaling = &status.scaling;
    let nodes: Vec<Value> = status.nodes.iter().map(node).collect();
    json!({
        "nodes": nodes,
        "epoch": status.epoch,
        "slots_moved_total": status.slots_moved_total,
        "keys_moved_total": status.keys_moved_total,
        "handover_retries_total": status.handover_retries_total,
        "slots_moving": status.slots_moving,
        "ecpu_total": bill.ecpu_milli_total as f64 / 1e3,
        "bill_total": bill.cost.total,
        "scaling": {
            "mode": scaling.mode,
            "configured_mode": scaling.configured_mode,
            "nodes_min": scaling.nodes_min,
            "nodes_max": scaling.nodes_max,
            "limits_enforced": scaling.limits_enforced,
            "nodes_starting": scaling.nodes_starting,
            "node_memory_bytes": scaling.node_memory_bytes,
            "node_ecpu_per_second": scaling.node_ecpu_per_second,
            "node_network_bytes_per_second": scaling.node_network_bytes_per_second,
            "last_decision": scaling.last_decision,
        },
    })
}

fn node(node: &NodeStatus) -> Value {
    let (line, stats) = (&node.line, &node.line.stats);
    json!({
        "id": line.id,
        "state": line.state,
        "pid": line.pid,
        "address": line.address,
        "zone": line.zone,
        "slots": line.slots,
        "keys": stats.keys,
        "used_bytes": stats.used_bytes,
        "resident_bytes": stats.resident_bytes,
        "cpu_us": stats.cpu_us,
        "requests": stats.requests,
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "ecpu": node.ecpu_milli as f64 / 1e3,
        "loop_delay_us": stats.loop_delay_us,
        "busy_share": node.busy_share,
        "ecpu_per_second": node.ecpu_per_second,
        "network_bytes_per_second": node.network_bytes_per_second,
    })
}
