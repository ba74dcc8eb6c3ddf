//! The tree of a sorted set: elements in order of (score, member), with ranks.
//!
//! Its pages have numbers that stay; whoever keeps a number beside a member is told when the member moves to another page.

use std::ops::Range;
use std::sync::Arc;

use super::leaf::{Leaf, PAGE_BYTES};
use super::node::{FANOUT, Kids, Leaves, Node, Separator, Sibling};

/// Pages and nodes below a quarter are joined with a neighbour if both together stay below three quarters.
const SMALL_PAGE: usize = PAGE_BYTES / 4;
const JOINED_PAGE: usize = PAGE_BYTES * 3 / 4;
const SMALL_NODE: usize = FANOUT / 4;
const JOINED_NODE: usize = FANOUT * 3 / 4;

/// Told about elements that moved or went: the member, the page it was in, and the page it is in now.
pub(super) trait Follow {
    fn moved(&mut self, member: &[u8], from: u32, to: u32);
    fn gone(&mut self, member: &[u8], from: u32);
}

/// An element to be put in.
#[derive(Clone, Copy)]
pub(super) struct New<'a> {
    pub(super) score: f64,
    pub(super) member: &'a [u8],
    pub(super) tag: u8,
}

/// The tree. A clone shares nodes and pages.
#[derive(Clone)]
pub(super) struct Tree {
    root: Arc<Node>,
    leaves: Leaves,
    len: usize,
    /// Bytes of the nodes on the heap.
    node_bytes: usize,
}

/// What is changed together on the way down.
struct Walk<'a> {
    leaves: &'a mut Leaves,
    node_bytes: &'a mut usize,
    follow: &'a mut dyn Follow,
}

/// Which ends of the whole tree a node lies at.
#[derive(Clone, Copy)]
struct Ends {
    first: bool,
    last: bool,
}

impl Default for Tree {
    fn default() -> Self {
        let mut leaves = Leaves::default();
        let leaf = leaves.add(Leaf::default());
        let root = Node::over_leaf(leaf, 0);
        Tree { node_bytes: root.own_bytes(), root: Arc::new(root), leaves, len: 0 }
    }
}

impl Tree {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.node_bytes + self.leaves.heap_bytes()
    }

    #[inline]
    pub(super) fn leaf(&self, leaf: u32) -> &Leaf {
        self.leaves.get(leaf)
    }

    /// The page and the place in it of the element of this rank.
    pub(super) fn locate(&self, rank: usize) -> Option<(&Leaf, usize)> {
        if rank >= self.len {
            return None;
        }
        let (mut node, mut rank) = (&self.root, rank);
        loop {
            let (index, rest) = node.child_at(rank);
            match &node.kids {
                Kids::Leaves(kids) => return Some((self.leaves.get(kids[index]), rest)),
                Kids::Nodes(kids) => (node, rank) = (&kids[index], rest),
            }
        }
    }

    /// How many elements stand before this one, in it or not.
    pub(super) fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.rank_with(|node| node.child_for(score, member), |leaf| leaf.lower_bound(score, member))
    }

    /// How many elements, from the first on, `before` holds for.
    pub(super) fn rank_by(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        self.rank_with(
            |node| node.child_by(&before),
            |leaf| leaf.partition(|index| before(leaf.score(index), leaf.member(index))),
        )
    }

    /// Puts in an element that is not there yet; answers its page.
    pub(super) fn insert(&mut self, new: New<'_>, follow: &mut dyn Follow) -> u32 {
        let mut walk = Walk { leaves: &mut self.leaves, node_bytes: &mut self.node_bytes, follow };
        let (leaf, sibling) = walk.insert(&mut self.root, new, Ends { first: true, last: true });
        if let Some(sibling) = sibling {
            let left = std::mem::replace(&mut self.root, Arc::new(Node::over_leaf(0, 0)));
            let root = Node::over_nodes(left, sibling);
            self.node_bytes += root.own_bytes();
            self.root = Arc::new(root);
        }
        self.len += 1;
        leaf
    }

    /// Changes an element's score without moving it, if its neighbours in the page allow that.
    pub(super) fn try_set_score(&mut self, leaf: u32, index: usize, score: f64, member: &[u8]) -> bool {
        let stays = self.leaves.get(leaf).stays(index, score, member);
        if stays {
            self.leaves.edit(leaf, |page| page.set_score(index, score));
        }
        stays
    }

    /// Takes out an element that is there. `follow` hears of others only.
    pub(super) fn remove(&mut self, score: f64, member: &[u8], follow: &mut dyn Follow) {
        let mut walk = Walk { leaves: &mut self.leaves, node_bytes: &mut self.node_bytes, follow };
        walk.remove(&mut self.root, score, member);
        self.len -= 1;
        self.lower_root();
        self.renumber(2, follow);
    }

    /// Takes out the elements of a range of ranks.
    pub(super) fn remove_ranks(&mut self, range: Range<usize>, follow: &mut dyn Follow) {
        let count = range.len();
        if count == 0 {
            return;
        }
        let mut walk = Walk { leaves: &mut self.leaves, node_bytes: &mut self.node_bytes, follow };
        walk.cut(&mut self.root, range);
        self.len -= count;
        self.lower_root();
        self.renumber(count, follow);
    }

    /// Frees some pages; true while there are more. The tree is of no use afterwards.
    pub(super) fn free_some(&mut self, elements: usize) -> bool {
        self.leaves.free_some(elements)
    }

    /// The numbers of the pages in order; panics if anything about the tree is not as it should be.
    #[cfg(test)]
    pub(super) fn audit(&self) -> Vec<u32> {
        let (mut leaves, mut bytes) = (Vec::new(), 0);
        assert_eq!(audit_node(&self.root, &self.leaves, &mut leaves, &mut bytes), self.len);
        assert_eq!(bytes, self.node_bytes);
        assert_eq!(leaves.iter().map(|&leaf| self.leaf(leaf).heap_bytes()).sum::<usize>(), self.leaves.page_bytes());
        leaves
    }

    fn rank_with(&self, child: impl Fn(&Node) -> usize, within: impl Fn(&Leaf) -> usize) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            let index = child(node);
            rank += node.counts[..index].iter().sum::<usize>();
            match &node.kids {
                Kids::Leaves(kids) => return rank + within(self.leaves.get(kids[index])),
                Kids::Nodes(kids) => node = &kids[index],
            }
        }
    }

    /// A root with one node below it is not needed.
    fn lower_root(&mut self) {
        while let Kids::Nodes(kids) = &self.root.kids {
            let [only] = &kids[..] else { return };
            let only = only.clone();
            self.node_bytes -= self.root.own_bytes();
            self.root = only;
        }
    }

    /// Gives up to `pages` pages lower numbers if many are free, so that the list of pages gets shorter.
    fn renumber(&mut self, pages: usize, follow: &mut dyn Follow) {
        for _ in 0..pages {
            let Some((from, to)) = self.leaves.sparse() else { return };
            let page = self.leaves.get(from);
            if page.count() > 0 {
                rename(&mut self.root, &mut self.node_bytes, page.score(0), page.member(0), from, to);
                (0..page.count()).for_each(|index| follow.moved(page.member(index), from, to));
            }
            self.leaves.renumber_last(to);
        }
    }
}

impl Walk<'_> {
    fn insert(&mut self, node: &mut Arc<Node>, new: New<'_>, ends: Ends) -> (u32, Option<Sibling<Arc<Node>>>) {
        let node = own(node, self.node_bytes);
        let index = node.child_for(new.score, new.member);
        let ends = Ends { first: ends.first && index == 0, last: ends.last && index + 1 == node.len() };
        let leaf = match &mut node.kids {
            Kids::Leaves(kids) => {
                let leaf = kids[index];
                if self.leaves.get(leaf).fits(new.member.len()) {
                    self.leaves.edit(leaf, |page| {
                        page.insert(page.lower_bound(new.score, new.member), new.score, new.member, new.tag)
                    });
                    node.counts[index] += 1;
                    return (leaf, None);
                }
                let before = node.own_bytes();
                let leaf = self.insert_splitting(node, index, new, ends);
                *self.node_bytes = *self.node_bytes + node.own_bytes() - before;
                leaf
            }
            Kids::Nodes(kids) => {
                let (leaf, sibling) = self.insert(&mut kids[index], new, ends);
                node.counts[index] += 1;
                let Some(sibling) = sibling else { return (leaf, None) };
                let before = node.own_bytes();
                node.counts[index] -= sibling.count;
                node.add_node(index, sibling);
                *self.node_bytes = *self.node_bytes + node.own_bytes() - before;
                leaf
            }
        };
        (leaf, (node.len() > FANOUT).then(|| self.split(node, ends)))
    }

    /// The page that the element belongs to is full. Where elements come in order, full pages stay full.
    fn insert_splitting(&mut self, node: &mut Node, index: usize, new: New<'_>, ends: Ends) -> u32 {
        let Kids::Leaves(kids) = &node.kids else { unreachable!("a node over pages") };
        let leaf = kids[index];
        let page = self.leaves.get(leaf);
        let at = page.lower_bound(new.score, new.member);
        let count = page.count();
        if ends.last && at == count {
            let last = (page.score(count - 1), page.member(count - 1));
            let separator = Separator::between(last, (new.score, new.member));
            let kid = self.leaves.add(Leaf::with_one(new.score, new.member, new.tag));
            node.add_leaf(index, Sibling { separator, kid, count: 1 });
            return kid;
        }
        if ends.first && at == 0 {
            let separator = Separator::between((new.score, new.member), (page.score(0), page.member(0)));
            let kid = self.leaves.add(Leaf::with_one(new.score, new.member, new.tag));
            node.add_first_leaf(Sibling { separator, kid, count: 1 });
            return kid;
        }
        let middle = page.middle();
        let (left, right) = (page.part(0..middle), page.part(middle..count));
        let separator = Separator::between(
            (page.score(middle - 1), page.member(middle - 1)),
            (page.score(middle), page.member(middle)),
        );
        let into_left = separator.is_after(new.score, new.member);
        let kid = self.leaves.add(right);
        self.leaves.edit(leaf, |page| *page = left);
        let right = self.leaves.get(kid);
        (0..right.count()).for_each(|index| self.follow.moved(right.member(index), leaf, kid));
        let target = if into_left { leaf } else { kid };
        self.leaves
            .edit(target, |page| page.insert(page.lower_bound(new.score, new.member), new.score, new.member, new.tag));
        node.counts[index] = middle + usize::from(into_left);
        node.add_leaf(index, Sibling { separator, kid, count: count - middle + usize::from(!into_left) });
        target
    }

    fn split(&mut self, node: &mut Node, ends: Ends) -> Sibling<Arc<Node>> {
        let at = match ends {
            Ends { last: true, .. } => node.len() - 1,
            Ends { first: true, .. } => 1,
            _ => node.len() / 2,
        };
        *self.node_bytes -= node.own_bytes();
        let sibling = node.split_off(at);
        *self.node_bytes += node.own_bytes() + sibling.kid.own_bytes();
        sibling
    }

    fn remove(&mut self, node: &mut Arc<Node>, score: f64, member: &[u8]) {
        let node = own(node, self.node_bytes);
        let index = node.child_for(score, member);
        node.counts[index] -= 1;
        match &mut node.kids {
            Kids::Leaves(kids) => {
                self.leaves.edit(kids[index], |page| page.remove(page.lower_bound(score, member)));
            }
            Kids::Nodes(kids) => self.remove(&mut kids[index], score, member),
        }
        self.tidy(node, index);
    }

    /// Takes out the elements of a range of ranks below this node, which is not empty; children that lie within it as a
    /// whole.
    fn cut(&mut self, node: &mut Arc<Node>, range: Range<usize>) {
        let node = own(node, self.node_bytes);
        let (first, within) = node.child_at(range.start);
        let (mut index, mut base) = (first, range.start - within);
        let mut whole = first..first;
        while base < range.end && index < node.len() {
            let count = node.counts[index];
            let inner = range.start.max(base) - base..range.end.min(base + count) - base;
            node.counts[index] -= inner.len();
            if inner.len() == count {
                self.drop_kid(node, index);
                whole = if whole.is_empty() { index..index + 1 } else { whole.start..index + 1 };
            } else {
                self.cut_kid(node, index, inner);
            }
            base += count;
            index += 1;
        }
        if whole.len() == node.len() {
            // The root keeps one page, empty.
            let leaf = self.leaves.add(Leaf::default());
            self.resize(node, |node| *node = Node::over_leaf(leaf, 0));
        } else if !whole.is_empty() {
            self.resize(node, |node| node.drop_kids(whole));
        }
        // What is left of the last child, which has come next to the first, and what is left of that.
        if index > first + 1 {
            self.tidy(node, first + 1);
        }
        self.tidy(node, first);
    }

    fn cut_kid(&mut self, node: &mut Node, index: usize, range: Range<usize>) {
        match &mut node.kids {
            Kids::Leaves(kids) => {
                let (leaf, page) = (kids[index], self.leaves.get(kids[index]));
                range.clone().for_each(|index| self.follow.gone(page.member(index), leaf));
                self.leaves.edit(leaf, |page| page.remove_span(range));
            }
            Kids::Nodes(kids) => self.cut(&mut kids[index], range),
        }
    }

    /// Frees everything below a child, which the caller takes out.
    fn drop_kid(&mut self, node: &Node, index: usize) {
        match &node.kids {
            Kids::Leaves(kids) => {
                let (leaf, page) = (kids[index], self.leaves.get(kids[index]));
                (0..page.count()).for_each(|index| self.follow.gone(page.member(index), leaf));
                self.leaves.remove(leaf);
            }
            Kids::Nodes(kids) => {
                let kid = &kids[index];
                (0..kid.len()).for_each(|index| self.drop_kid(kid, index));
                *self.node_bytes -= kid.own_bytes();
            }
        }
    }

    /// Drops a child that has become empty, joins one that has become small with a neighbour.
    fn tidy(&mut self, node: &mut Node, index: usize) {
        if index >= node.len() || node.len() == 1 {
            return;
        }
        if node.counts[index] == 0 {
            self.drop_kid(node, index);
            self.resize(node, |node| node.drop_kids(index..index + 1));
        } else if self.is_small(node, index) {
            if index + 1 < node.len() && self.may_join(node, index) {
                self.join(node, index);
            } else if index > 0 && self.may_join(node, index - 1) {
                self.join(node, index - 1);
            }
        }
    }

    fn is_small(&self, node: &Node, index: usize) -> bool {
        match &node.kids {
            Kids::Leaves(kids) => self.leaves.get(kids[index]).used() < SMALL_PAGE,
            Kids::Nodes(kids) => kids[index].len() < SMALL_NODE,
        }
    }

    fn may_join(&self, node: &Node, left: usize) -> bool {
        match &node.kids {
            Kids::Leaves(kids) => {
                let used = |leaf: u32| self.leaves.get(leaf).used();
                used(kids[left]) + used(kids[left + 1]) <= JOINED_PAGE
            }
            Kids::Nodes(kids) => kids[left].len() + kids[left + 1].len() <= JOINED_NODE,
        }
    }

    /// Joins a child and the one after it.
    fn join(&mut self, node: &mut Node, left: usize) {
        let separator = node.separator(left + 1);
        match &mut node.kids {
            Kids::Leaves(kids) => {
                let (into, from) = (kids[left], kids[left + 1]);
                let page = self.leaves.get(from).clone();
                (0..page.count()).for_each(|index| self.follow.moved(page.member(index), from, into));
                self.leaves.edit(into, |left| left.append(&page));
                self.leaves.remove(from);
            }
            Kids::Nodes(kids) => {
                let right = kids[left + 1].clone();
                let left = own(&mut kids[left], self.node_bytes);
                *self.node_bytes -= left.own_bytes() + right.own_bytes();
                left.append(separator, &right);
                *self.node_bytes += left.own_bytes();
            }
        }
        node.counts[left] += node.counts[left + 1];
        self.resize(node, |node| node.drop_kids(left + 1..left + 2));
    }

    fn resize(&mut self, node: &mut Node, change: impl FnOnce(&mut Node)) {
        let before = node.own_bytes();
        change(node);
        *self.node_bytes = *self.node_bytes + node.own_bytes() - before;
    }
}

/// The node, for changing: a copy of it if a snapshot has it too. A copy may be smaller, since lists are copied without
/// their slack.
#[inline]
fn own<'a>(node: &'a mut Arc<Node>, bytes: &mut usize) -> &'a mut Node {
    if Arc::strong_count(node) > 1 {
        let copy = Node::clone(node);
        *bytes = *bytes + copy.own_bytes() - node.own_bytes();
        *node = Arc::new(copy);
    }
    Arc::make_mut(node)
}

/// Gives the page that an element is in another number.
fn rename(node: &mut Arc<Node>, bytes: &mut usize, score: f64, member: &[u8], from: u32, to: u32) {
    let node = own(node, bytes);
    let index = node.child_for(score, member);
    match &mut node.kids {
        Kids::Leaves(kids) => {
            debug_assert_eq!(kids[index], from);
            kids[index] = to;
        }
        Kids::Nodes(kids) => rename(&mut kids[index], bytes, score, member, from, to),
    }
}

#[cfg(test)]
fn audit_node(node: &Node, pages: &Leaves, leaves: &mut Vec<u32>, bytes: &mut usize) -> usize {
    assert!(node.len() <= FANOUT);
    *bytes += node.own_bytes();
    for index in 0..node.len() {
        let begin = leaves.len();
        let count = match &node.kids {
            Kids::Leaves(kids) => {
                leaves.push(kids[index]);
                let page = pages.get(kids[index]);
                assert!(page.used() <= PAGE_BYTES);
                page.count()
            }
            Kids::Nodes(kids) => audit_node(&kids[index], pages, leaves, bytes),
        };
        assert_eq!(count, node.counts[index]);
        for &leaf in &leaves[begin..] {
            let page = pages.get(leaf);
            for element in 0..page.count() {
                let (score, member) = (page.score(element), page.member(element));
                assert_eq!(node.child_for(score, member), index);
            }
        }
    }
    node.count()
}
