//! Trimming: entries leave from the front, whole nodes where they can.

use super::node::{self, NodeView};
use super::{Log, StreamId};

/// What is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At most this many entries.
    Length(u64),
    /// No entry below this ID.
    Id(StreamId),
}

/// A way of trimming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub until: Until,
    /// Only whole nodes are taken away (`~`).
    pub approximate: bool,
    /// No more entries than this are taken away; 0 for any number.
    pub limit: u64,
}

impl Log {
    /// Trims; returns how many entries are gone.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut gone = 0u64;
        while !self.is_short_enough(trim.until) {
            let Some((master, bytes)) = self.nodes.first() else { break };
            let Some(view) = NodeView::new(bytes, master) else { break };
            let live = view.live.max(0) as u64;
            if trim.limit > 0 && gone + live > trim.limit {
                break;
            }
            let whole = match trim.until {
                Until::Length(most) => self.length - live >= most,
                Until::Id(lowest) => node::last_id(view) < lowest,
            };
            if whole {
                self.remove_node(master);
                self.length -= live;
                gone += live;
            } else {
                if !trim.approximate {
                    gone += self.trim_inside(master, trim.until);
                }
                break;
            }
        }
        if gone > 0 || self.length == 0 {
            self.find_first();
        }
        gone
    }

    /// An exact form of what an approximate trimming has done just now.
    pub fn trimmed_until(&self, until: Until) -> Until {
        match until {
            Until::Length(_) => Until::Length(self.length),
            Until::Id(_) => Until::Id(self.lowest_id_held()),
        }
    }

    /// The lowest ID of an entry, deleted or not; the highest ID without any.
    fn lowest_id_held(&self) -> StreamId {
        let first = self.nodes.first().and_then(|(master, bytes)| NodeView::new(bytes, master)?.entries().next());
        first.map_or(StreamId::MAX, |entry| entry.id)
    }

    fn is_short_enough(&self, until: Until) -> bool {
        matches!(until, Until::Length(most) if self.length <= most)
    }

    /// Marks entries of one node as deleted.
    fn trim_inside(&mut self, master: StreamId, until: Until) -> u64 {
        let Some(view) = self.nodes.get(&master).and_then(|bytes| NodeView::new(bytes, master)) else { return 0 };
        let mut length = self.length;
        let mut places = Vec::new();
        for entry in view.entries() {
            let stop = match until {
                Until::Length(most) => length <= most,
                Until::Id(lowest) => entry.id >= lowest,
            };
            if stop {
                break;
            }
            if !entry.is_deleted() {
                places.push(entry.at());
                length -= 1;
            }
        }
        if places.is_empty() {
            return 0;
        }
        self.length = length;
        let gone = places.len();
        self.delete_from_node(master, &places);
        gone as u64
    }
}
