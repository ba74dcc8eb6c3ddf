//! Where arcs should live: a hash ring with weights says who takes what has to move, bounds say what has to move.
//!
//! A node's points on the ring and an arc's place on it are hashes; an arc belongs to the next point clockwise (Karger,
//! Lehman, Leighton, Panigrahy, Levine, Lewin: *Consistent Hashing and Random Trees*, STOC 1997). No node may hold much
//! more than its share: an arc whose node is full goes on clockwise to the next with room (Mirrokni, Thorup,
//! Zadimoghaddam: *Consistent Hashing with Bounded Loads*, 2016, arXiv:1608.01350).
//!
//! One thing differs from both papers: they have no memory, this has the slot map. So a slot stays where it is as long
//! as its node is within its bounds; a full node's overflow does not ripple round the ring when another one joins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::arc::{SlotArc, arc_slots, arcs};
use crate::map::{NodeId, SlotMap, all_slots};
use crate::points::Points;
use crate::slot::{SLOTS, Slot};
use crate::slots::SlotSet;

/// A node holds at most this many percent of its share, rounded up to whole arcs.
pub const LOAD_PERCENT_MAX: u64 = 110;

/// A node that holds less than this many percent of its share, rounded down to whole arcs, is filled up to its share.
pub const LOAD_PERCENT_MIN: u64 = 90;

/// Slots that go in one group, by one hand-over, at most: whoever plans and whoever hands over cut alike.
pub const GROUP_SLOTS_MAX: usize = 256;

/// A node that may hold slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: NodeId,
    /// How much it should hold, beside the others' weights. 0: nothing, which empties it.
    pub weight: u32,
}

/// A group of slots that has to go from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// At most [`GROUP_SLOTS_MAX`].
    pub slots: SlotSet,
    /// Nobody: there is nothing to hand over, they begin empty.
    pub from: Option<NodeId>,
    pub to: NodeId,
}

/// The node that should hold each slot: all slots, by node in ascending order. Nothing when no candidate has weight.
///
/// A node's share is proportional to its weight. With `n` nodes and arcs of [`arc_slots`]`(n)` slots it holds at most
/// `⌈1.1 × share⌉` arcs, and at least `⌊0.9 × share⌋` and one (less only where tiny weights got their one arc at its
/// cost, or where there are more nodes than slots). A slot moves only when
/// - nobody in `nodes` has it now, or
/// - its node holds more than it may: down to what it may, or
/// - it goes to a node that holds less than it has to (a new one, say), which is filled up to its share, rounded to
///   whole arcs, by those who hold more than theirs.
///
/// So placing again moves nothing; when a node leaves or joins, only its slots move, but for those of nodes that
/// rounding then puts outside their bounds. The order of `nodes` does not matter; of two with one id the first counts.
pub fn place(nodes: &[Candidate], current: &SlotMap) -> Vec<(SlotSet, NodeId)> {
    let Some(mut plan) = Plan::new(nodes, current) else { return Vec::new() };
    plan.give_up();
    plan.settle(Seat::is_short);
    plan.settle(|seat| seat.load < seat.target);
    plan.owned()
}

/// What has to move to turn the current map into the wanted placement (whose sets share no slot): each slot whose owner
/// is another, once. Slots that nobody has come first, because nobody serves them.
pub fn moves(current: &SlotMap, wanted: &[(SlotSet, NodeId)]) -> Vec<Move> {
    let mut pairs: BTreeMap<(Option<NodeId>, NodeId), Vec<Slot>> = BTreeMap::new();
    for (slots, to) in wanted {
        for (slot, from) in slots.iter().map(|slot| (slot, current.owner(slot))).filter(|(_, from)| *from != Some(*to))
        {
            pairs.entry((from, *to)).or_default().push(slot);
        }
    }
    let groups = pairs.iter().flat_map(|(pair, slots)| slots.chunks(GROUP_SLOTS_MAX).map(move |group| (pair, group)));
    groups.map(|(&(from, to), group)| Move { slots: group.iter().copied().collect(), from, to }).collect()
}

/// A candidate's place in the plan. Everything in slots.
struct Seat {
    id: NodeId,
    /// What it should hold: its share, rounded so that all shares make up all slots.
    target: usize,
    least: usize,
    most: usize,
    /// What it holds so far.
    load: usize,
}

impl Seat {
    fn is_short(&self) -> bool {
        self.load < self.least
    }

    fn room(&self) -> usize {
        self.target.saturating_sub(self.load)
    }
}

/// The slots of one arc that are with one seat, or with none.
struct Piece {
    arc: SlotArc,
    holder: Option<usize>,
    slots: usize,
}

struct Plan {
    /// By id, ascending.
    seats: Vec<Seat>,
    points: Points,
    /// The seat of each slot.
    holders: Vec<Option<usize>>,
}

impl Plan {
    /// Every slot with who has it now.
    fn new(nodes: &[Candidate], current: &SlotMap) -> Option<Plan> {
        let mut nodes: Vec<Candidate> = nodes.iter().copied().filter(|node| node.weight > 0).collect();
        nodes.sort_by_key(|node| node.id);
        nodes.dedup_by_key(|node| node.id);
        let points = Points::new(&nodes)?;
        let mut seats = seats(&nodes);
        let seat_of = |id: NodeId| seats.binary_search_by_key(&id, |seat| seat.id).ok();
        let by_member: Vec<Option<usize>> = current.nodes().iter().map(|member| seat_of(member.id)).collect();
        let holders: Vec<Option<usize>> =
            all_slots().map(|slot| current.owner_index(slot).and_then(|member| by_member[member])).collect();
        holders.iter().flatten().for_each(|&seat| seats[seat].load += 1);
        Some(Plan { seats, points, holders })
    }

    /// Takes from nodes what has to move, first of all what the ring gives to those who are short.
    fn give_up(&mut self) {
        let mut gives = self.gives();
        let mut pieces = self.pieces(|holder| holder.is_some_and(|seat| gives[seat] > 0));
        pieces.sort_by_cached_key(|piece| self.reluctance(piece));
        for (piece, holder) in pieces.iter().filter_map(|piece| Some((piece, piece.holder?))) {
            let count = gives[holder].min(piece.slots);
            gives[holder] -= count;
            self.pass(piece, None, count);
        }
    }

    /// How many slots each seat has to give up: what is over its bound, and of what is over its share as much as those
    /// who are short need, from whoever has the most.
    fn gives(&self) -> Vec<usize> {
        let mut gives: Vec<usize> = self.seats.iter().map(|seat| seat.load.saturating_sub(seat.most)).collect();
        let needed: usize = self.seats.iter().filter(|seat| seat.is_short()).map(Seat::room).sum();
        let mut free = self.holders.iter().filter(|holder| holder.is_none()).count() + gives.iter().sum::<usize>();
        let over = |index: usize, given: usize| self.seats[index].load.saturating_sub(self.seats[index].target + given);
        let mut richest: BinaryHeap<(usize, Reverse<usize>)> =
            gives.iter().enumerate().map(|(index, &given)| (over(index, given), Reverse(index))).collect();
        while free < needed {
            let Some((surplus, Reverse(index))) = richest.pop() else { break };
            let count = surplus.min(arc_slots(self.seats.len())).min(needed - free);
            if count == 0 {
                break;
            }
            gives[index] += count;
            free += count;
            richest.push((surplus - count, Reverse(index)));
        }
        gives
    }

    /// The higher, the later its holder gives it up. The hash spreads what is given over the arcs.
    fn reluctance(&self, piece: &Piece) -> (u8, u64) {
        let owner = self.points.owner(piece.arc);
        let rank = match self.seats[owner].is_short() {
            true => 0,
            false if Some(owner) != piece.holder => 1,
            false => 2,
        };
        (rank, self.points.hash(piece.arc))
    }

    /// Gives the slots that nobody has to these seats: each arc clockwise to the first with room.
    fn settle(&mut self, takes: impl Fn(&Seat) -> bool) {
        let open = self.seats.iter().map(|seat| takes(seat) && seat.room() > 0).collect();
        let mut walk = self.points.walk(open);
        for mut piece in self.pieces(|holder| holder.is_none()) {
            while piece.slots > 0 {
                let Some(seat) = walk.first_open(&self.points, piece.arc) else { return };
                let count = piece.slots.min(self.seats[seat].room());
                self.pass(&piece, Some(seat), count);
                piece.slots -= count;
                if self.seats[seat].room() == 0 {
                    walk.close(seat);
                }
            }
        }
    }

    /// The pieces with these holders, by arc.
    fn pieces(&self, wanted: impl Fn(Option<usize>) -> bool) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for arc in arcs(self.seats.len()) {
            let before = pieces.len();
            for holder in arc.slots().map(|slot| self.holders[slot.index()]).filter(|holder| wanted(*holder)) {
                match pieces[before..].iter_mut().find(|piece| piece.holder == holder) {
                    Some(piece) => piece.slots += 1,
                    None => pieces.push(Piece { arc, holder, slots: 1 }),
                }
            }
        }
        pieces
    }

    /// Passes the first slots of a piece on.
    fn pass(&mut self, piece: &Piece, to: Option<usize>, count: usize) {
        let holders = &mut self.holders;
        let slots = piece.arc.slots().map(Slot::index);
        let passed: Vec<usize> = slots.filter(|&slot| holders[slot] == piece.holder).take(count).collect();
        passed.iter().for_each(|&slot| holders[slot] = to);
        if let Some(holder) = piece.holder {
            self.seats[holder].load -= passed.len();
        }
        if let Some(seat) = to {
            self.seats[seat].load += passed.len();
        }
    }

    fn owned(self) -> Vec<(SlotSet, NodeId)> {
        let mut owned: BTreeMap<usize, SlotSet> = BTreeMap::new();
        for (slot, holder) in all_slots().zip(&self.holders) {
            if let Some(seat) = holder {
                owned.entry(*seat).or_default().insert(slot);
            }
        }
        owned.into_iter().map(|(seat, slots)| (slots, self.seats[seat].id)).collect()
    }
}

/// A seat for each node, with its bounds.
fn seats(nodes: &[Candidate]) -> Vec<Seat> {
    let arc = arc_slots(nodes.len());
    let count = (SLOTS / arc) as u64;
    let total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let percent = |weight: u32, percent: u64| u128::from(weight) * u128::from(count * percent);
    let whole = u128::from(total) * 100;
    let seat = |(node, target): (&Candidate, usize)| Seat {
        id: node.id,
        target: target * arc,
        least: ((percent(node.weight, LOAD_PERCENT_MIN) / whole) as usize).max(1).min(target) * arc,
        most: percent(node.weight, LOAD_PERCENT_MAX).div_ceil(whole) as usize * arc,
        load: 0,
    };
    nodes.iter().zip(targets(nodes, count as usize)).map(seat).collect()
}

/// The arcs each node should hold: one each, if there are as many, then one by one to whoever is furthest below its
/// share. Nobody gets more than its share rounded up, and together they are all arcs.
fn targets(nodes: &[Candidate], arcs: usize) -> Vec<usize> {
    let total: i128 = nodes.iter().map(|node| i128::from(node.weight)).sum();
    let each = usize::from(arcs >= nodes.len());
    let missing = |index: usize, target: usize| i128::from(nodes[index].weight) * arcs as i128 - target as i128 * total;
    let mut targets = vec![each; nodes.len()];
    let mut poorest: BinaryHeap<(i128, Reverse<usize>)> =
        (0..nodes.len()).map(|index| (missing(index, each), Reverse(index))).collect();
    for _ in each * nodes.len()..arcs {
        let Some((_, Reverse(index))) = poorest.pop() else { break };
        targets[index] += 1;
        poorest.push((missing(index, targets[index]), Reverse(index)));
    }
    targets
}
