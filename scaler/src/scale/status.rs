//! Everything at a glance, for whoever asks.

use swell_node::control::{NodeStatus, ScalingStatus, Status};
use tokio::time::Instant;

use crate::nodes::Node;
use crate::provider::process::Process;
use crate::writer::Writer;

impl Writer {
    /// As of now.
    pub(crate) fn status(&self, now: Instant) -> Status {
        let totals = self.scale.totals;
        Status {
            nodes: self.nodes.values().map(|node| self.node_status(node, now)).collect(),
            epoch: self.kept.map.epoch(),
            slots_moved_total: totals.slots,
            keys_moved_total: totals.keys,
            handover_retries_total: totals.retries,
            slots_moving: self.moving().len() as u32,
            scaling: self.scaling_status(),
        }
    }

    fn node_status(&self, node: &Node, now: Instant) -> NodeStatus {
        let id = node.member.id;
        let rates = self.scale.observer.rates(id, now);
        NodeStatus {
            line: node.line(&self.kept.map),
            ecpu_milli: self.scale.observer.ecpu_milli(id),
            busy_share: self.busy_share(node, now),
            ecpu_per_second: rates.ecpu_per_second,
            network_bytes_per_second: rates.network_bytes_per_second,
        }
    }

    fn scaling_status(&self) -> ScalingStatus {
        let (scale, bounds) = (&self.scale, &self.scale.bounds);
        let decisions =
            scale.decisions.iter().map(|((signal, action), count)| (signal.clone(), (*action).to_owned(), *count));
        ScalingStatus {
            mode: scale.mode,
            configured_mode: scale.configured_mode,
            nodes_min: bounds.nodes_min,
            nodes_max: bounds.nodes_max,
            node_memory_bytes: bounds.node_memory_bytes,
            node_ecpu_per_second: bounds.node_ecpu_per_second,
            node_network_bytes_per_second: bounds.node_network_bytes_per_second,
            nodes_starting: self.starting(),
            limits_enforced: self.provider.as_ref().and_then(Process::limits_enforced),
            last_decision: scale.last_decision.clone(),
            decisions: decisions.collect(),
        }
    }
}
