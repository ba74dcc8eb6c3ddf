//! Changing a large list in the middle. Which nodes are split, filled and joined is Valkey's way.

use super::node::{Node, Run};
use super::{Chunks, Fill, Item, fresh};
use crate::value::element::Element;

/// A run that overwriting has made larger than this is split.
const RUN_BYTES_MAX: usize = 128 * 1024;

impl Chunks {
    /// Puts an element before or after the one with this index, which exists.
    pub fn insert(&mut self, index: usize, after: bool, item: Item<'_>, fill: &Fill) {
        let Some((at, inside)) = self.locate(index) else { return };
        let count = self.nodes[at].count();
        let (is_tail, is_head) = (after && inside + 1 == count, !after && inside == 0);
        let place = inside + usize::from(after);
        let Some(element) = fill.short(item) else {
            if !is_tail && !is_head {
                self.split(at, place);
            }
            return self.put(at + usize::from(place > 0), fresh(item, fill));
        };
        if self.allows(at, element, fill) {
            self.edit_run(at, |run| run.insert(place, element));
        } else if is_tail && self.allows(at + 1, element, fill) {
            self.edit_run(at + 1, |run| run.push_front(element, false));
        } else if is_head && self.allows(at.wrapping_sub(1), element, fill) {
            self.edit_run(at - 1, |run| run.push_back(element, false));
        } else if is_tail || is_head {
            self.put(at + usize::from(after), fresh(item, fill));
        } else {
            self.split(at, place);
            if after {
                self.edit_run(at + 1, |run| run.push_front(element, false));
                self.join_around(at, fill);
            } else {
                self.edit_run(at, |run| run.push_back(element, false));
                self.join_around(at + 1, fill);
            }
        }
    }

    /// Puts an element in the place of the one with this index, which exists.
    pub fn set(&mut self, index: usize, item: Item<'_>, fill: &Fill) {
        let Some((at, inside)) = self.locate(index) else { return };
        match (&self.nodes[at], fill.short(item)) {
            (Node::Run(_), Some(element)) => {
                self.edit_run(at, |run| run.replace(inside, element));
                self.split_if_huge(at);
            }
            (Node::Run(_), None) => {
                self.split(at, inside + 1);
                self.put(at + 1, fresh(item, fill));
                self.edit_run(at, |run| run.remove(inside, 1));
                self.drop_if_empty(at);
            }
            (Node::Long(_), short) => {
                match short {
                    Some(_) => self.insert(index, true, item, fill),
                    None => self.put(at + 1, fresh(item, fill)),
                }
                self.take(at);
            }
        }
    }

    fn allows(&self, at: usize, element: Element<'_>, fill: &Fill) -> bool {
        matches!(self.nodes.get(at), Some(Node::Run(run)) if fill.allows(run.len(), run.count(), element))
    }

    /// Makes two nodes of a run; one, if the second would be empty.
    fn split(&mut self, at: usize, inside: usize) {
        if let Some(right) = self.edit_run(at, |run| run.split_off(inside))
            && right.count() > 0
        {
            self.put(at + 1, Node::Run(right));
        }
    }

    fn split_if_huge(&mut self, at: usize) {
        if let Some(Node::Run(run)) = self.nodes.get(at)
            && run.len() > RUN_BYTES_MAX
            && run.count() > 1
        {
            let half = run.count() / 2;
            self.split(at, half);
        }
    }

    fn drop_if_empty(&mut self, at: usize) {
        if self.nodes.get(at).is_some_and(|node| node.count() == 0) {
            self.take(at);
        }
    }

    /// Joins the nodes around one where they fit together: the two before it, the two after it, then it with its
    /// neighbours.
    fn join_around(&mut self, center: usize, fill: &Fill) {
        let mut center = center;
        if center >= 2 && self.join(center - 2, fill) {
            center -= 1;
        }
        self.join(center + 1, fill);
        if center >= 1 && self.join(center - 1, fill) {
            center -= 1;
        }
        self.join(center, fill);
    }

    /// Joins a node with the next one, if both are runs and fit into one.
    fn join(&mut self, at: usize, fill: &Fill) -> bool {
        let (Some(Node::Run(left)), Some(Node::Run(right))) = (self.nodes.get(at), self.nodes.get(at + 1)) else {
            return false;
        };
        if fill.run_exceeds(left.len() + right.len(), left.count() + right.count()) {
            return false;
        }
        if let Some(Node::Run(right)) = self.take(at + 1) {
            self.edit_run(at, |left: &mut Run| left.join(&right));
        }
        true
    }
}
