//! The policy's own figures: how much room it keeps, how long it looks ahead, how long it waits.

use serde::{Deserialize, Serialize};

use super::view::Signal;

/// Whether the policy says which slots move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// New nodes get their slots by `Move` actions.
    Slots,
    /// Only nodes are added and removed, and slots moved off hot nodes: whoever carries it out spreads the slots. For
    /// the simulator, which has no slots.
    NodesOnly,
}

/// How the policy behaves. [`Tuning::for_ready_ms`] has all of it from one figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// How long it takes from asking for a node until it serves its share: the horizon of forecasts.
    pub ready_ms: u64,
    /// A node is full at this share of its memory, network and ECPU figures.
    pub out_share: f64,
    /// And at this busy share.
    pub out_busy_share: f64,
    /// Nodes are let go if those that stay would sit under this part of `out_share`.
    pub in_part: f64,
    /// Loops that are later than this wait for CPU, milliseconds.
    pub delay_ms_max: f64,
    /// Room for what forecasts miss is at most this part of what is used.
    pub margin_part_max: f64,
    /// Time constant of levels.
    pub level_ms: u64,
    /// A trend is what has gone on for this long.
    pub trend_ms: u64,
    /// Nodes are let go after so long with fewer of them enough.
    pub stable_ms: u64,
    /// And so long after the last change.
    pub in_pause_ms: u64,
    /// At most one in so many nodes leaves at once (always one, if any).
    pub in_parts: u32,
    /// A node is hot after so long far above the others, and moved again after as long.
    pub heat_ms: u64,
    pub plan: Plan,
}

impl Tuning {
    /// The share of a signal's limit at which a node is full.
    pub fn full_share(&self, signal: Signal) -> f64 {
        match signal {
            Signal::Cpu => self.out_busy_share,
            _ => self.out_share,
        }
    }

    /// For machines that are ready so many milliseconds after they were asked for.
    pub fn for_ready_ms(ready_ms: u64) -> Tuning {
        let ready_ms = ready_ms.max(READY_MS_MIN);
        Tuning {
            ready_ms,
            out_share: 0.99,
            out_busy_share: 0.8,
            in_part: 1.0,
            delay_ms_max: 20.0,
            margin_part_max: 0.1,
            level_ms: (ready_ms / 10).clamp(500, 5_000),
            trend_ms: ready_ms.clamp(2_000, 60_000),
            stable_ms: (3 * ready_ms).clamp(15_000, 300_000),
            in_pause_ms: (ready_ms / 2).clamp(5_000, 60_000),
            in_parts: 4,
            heat_ms: ready_ms.clamp(3_000, 10_000),
            plan: Plan::Slots,
        }
    }
}

/// For child processes, which serve within a second or two and are filled in a few more.
impl Default for Tuning {
    fn default() -> Tuning {
        Tuning::for_ready_ms(3_000)
    }
}

const READY_MS_MIN: u64 = 250;
