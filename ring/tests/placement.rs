//! The laws of placement: everything placed, bounds kept, the same for the same input, no more moved than must be.

use std::collections::BTreeMap;

use proptest::prelude::*;
use swell_ring::placement::GROUP_SLOTS_MAX;
use swell_ring::{
    Candidate, Member, Move, NodeId, SLOTS, Slot, SlotArc, SlotMap, SlotSet, all_slots, arc_slots, arcs, moves, place,
};

/// What a node may hold, in slots, worked out here by the text of the rule.
struct Bounds {
    least: usize,
    most: usize,
    /// Its share, rounded up to an arc.
    share: usize,
}

fn bounds(nodes: &[Candidate]) -> BTreeMap<NodeId, Bounds> {
    let arc = arc_slots(nodes.len());
    let total: usize = nodes.iter().map(|node| node.weight as usize).sum();
    let bounds = |node: &Candidate| {
        let weighed = node.weight as usize * (SLOTS / arc);
        let least = (weighed * 9 / (total * 10)).max(1) * arc;
        Bounds { least, most: (weighed * 11).div_ceil(total * 10) * arc, share: weighed.div_ceil(total) * arc }
    };
    nodes.iter().map(|node| (node.id, bounds(node))).collect()
}

fn node(id: u32, weight: u32) -> Candidate {
    Candidate { id: NodeId(id), weight }
}

fn equal(ids: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
    ids.into_iter().map(|id| node(id, 1)).collect()
}

/// The map after this placement has come true.
fn applied(map: &SlotMap, wanted: &[(SlotSet, NodeId)]) -> SlotMap {
    let member = |id: NodeId| Member { id, address: format!("unix:/{id}"), zone: String::new() };
    wanted.iter().fold(map.clone(), |map, (slots, id)| map.with_member(member(*id)).assigned(slots, *id))
}

fn placed(nodes: &[Candidate], map: &SlotMap) -> SlotMap {
    applied(map, &place(nodes, map))
}

fn loads(map: &SlotMap) -> BTreeMap<NodeId, usize> {
    let mut loads = BTreeMap::new();
    all_slots().filter_map(|slot| map.owner(slot)).for_each(|id| *loads.entry(id).or_default() += 1);
    loads
}

/// Slots with another owner: who had them, who has them.
fn changed(before: &SlotMap, after: &SlotMap) -> Vec<(Option<NodeId>, NodeId)> {
    let pairs = all_slots().map(|slot| (before.owner(slot), after.owner(slot).expect("an owner")));
    pairs.filter(|(from, to)| *from != Some(*to)).collect()
}

/// The laws that hold from any map to what is placed next.
fn check(nodes: &[Candidate], before: &SlotMap) -> Result<SlotMap, TestCaseError> {
    let wanted = place(nodes, before);
    let slots: usize = wanted.iter().map(|(slots, _)| slots.len()).sum();
    let mut all = SlotSet::new();
    wanted.iter().for_each(|(slots, _)| all.add(slots));
    prop_assert_eq!((slots, all), (SLOTS, SlotSet::all()), "every slot once");

    let after = applied(before, &wanted);
    let (bounds, had, has) = (bounds(nodes), loads(before), loads(&after));
    for node in nodes {
        let (load, bound) = (has.get(&node.id).copied().unwrap_or(0), &bounds[&node.id]);
        prop_assert!(load <= bound.most, "node {} has {load} of at most {}", node.id, bound.most);
        prop_assert!(load >= bound.least, "node {} has {load} of at least {}", node.id, bound.least);
    }

    let had = |id: &NodeId| had.get(id).copied().unwrap_or(0);
    let over = |id: &NodeId| bounds.get(id).map_or(usize::MAX, |bound| had(id).saturating_sub(bound.most));
    let short = |id: &NodeId| had(id) < bounds[id].least;
    let moved = changed(before, &after);
    for (from, to) in &moved {
        let must = from.as_ref().is_none_or(|from| over(from) > 0);
        prop_assert!(must || short(to), "a slot went from {from:?} to {to} without need");
    }
    let homeless = SLOTS - nodes.iter().map(|node| had(&node.id)).sum::<usize>();
    let shed: usize = nodes.iter().map(|node| over(&node.id)).sum();
    let lack = |node: &&Candidate| bounds[&node.id].share - had(&node.id);
    let lacking: usize = nodes.iter().filter(|node| short(&node.id)).map(|node| lack(&node)).sum();
    let limit = (homeless + shed).max(lacking);
    prop_assert!(moved.len() <= limit, "{} moved, {limit} at most", moved.len());
    Ok(after)
}

#[derive(Clone, Debug)]
enum Change {
    Join(u32),
    Leave(usize),
    Weigh(usize, u32),
    Assign(u16, u16, usize),
    Lose(usize),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (1..=8u32).prop_map(Change::Join),
        3 => any::<usize>().prop_map(Change::Leave),
        1 => (any::<usize>(), 1..=8u32).prop_map(|(at, weight)| Change::Weigh(at, weight)),
        1 => (0..SLOTS as u16, 1..2000u16, any::<usize>()).prop_map(|(at, length, to)| Change::Assign(at, length, to)),
        1 => any::<usize>().prop_map(Change::Lose),
    ]
}

/// Makes one change to the nodes, or to the map behind the placement's back.
fn change(change: &Change, nodes: &mut Vec<Candidate>, map: SlotMap, id: u32) -> SlotMap {
    let len = nodes.len();
    match *change {
        Change::Join(weight) => nodes.push(node(id, weight)),
        Change::Leave(at) if len > 1 => drop(nodes.remove(at % len)),
        Change::Weigh(at, weight) => nodes[at % len].weight = weight,
        Change::Assign(first, length, to) => {
            let slots = (first..(first + length).min(SLOTS as u16)).filter_map(Slot::new).collect();
            return applied(&map, &[(slots, nodes[to % len].id)]);
        }
        Change::Lose(at) if len > 1 => return map.without_member(nodes.remove(at % len).id),
        Change::Leave(_) | Change::Lose(_) => {}
    }
    map
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn laws_hold_through_any_history(
        weights in prop::collection::vec(1..=8u32, 1..40),
        history in prop::collection::vec(changes(), 1..12),
    ) {
        let mut nodes: Vec<Candidate> = (0..).zip(weights).map(|(id, weight)| node(id, weight)).collect();
        let mut map = check(&nodes, &SlotMap::empty())?;
        for (id, step) in (1000..).zip(&history) {
            map = change(step, &mut nodes, map, id);
            map = check(&nodes, &map)?;
            prop_assert!(moves(&map, &place(&nodes, &map)).is_empty(), "placing again moves nothing");
            nodes.reverse();
            prop_assert!(moves(&map, &place(&nodes, &map)).is_empty(), "the order of nodes does not matter");
        }
    }

    #[test]
    fn a_node_that_joins_takes_its_share_and_nothing_else_moves(count in 1..200u32) {
        let before = placed(&equal(0..count), &SlotMap::empty());
        let nodes = equal(0..=count);
        let after = placed(&nodes, &before);
        let moved = changed(&before, &after);
        prop_assert!(moved.iter().all(|(_, to)| *to == NodeId(count)));
        let arc = arc_slots(nodes.len());
        prop_assert!(moved.len().abs_diff(SLOTS / nodes.len()) <= arc, "{} slots", moved.len());
    }

    #[test]
    fn of_a_node_that_leaves_only_its_slots_move(count in 2..200u32, which in any::<prop::sample::Index>()) {
        let before = placed(&equal(0..count), &SlotMap::empty());
        let leaver = which.index(count as usize) as u32;
        let after = placed(&equal((0..count).filter(|id| *id != leaver)), &before);
        let moved = changed(&before, &after);
        prop_assert!(moved.iter().all(|(from, _)| *from == Some(NodeId(leaver))));
        prop_assert_eq!(moved.len(), before.slots_of(NodeId(leaver)).len());
    }

    #[test]
    fn moves_turn_one_map_into_the_other(from in 1..30u32, to in 1..30u32, shift in 0..10u32) {
        let before = placed(&equal(0..from), &SlotMap::empty()).without_member(NodeId(shift));
        let wanted = place(&equal(shift..shift + to), &before);
        let plan = moves(&before, &wanted);
        let after = applied(&before, &wanted);
        prop_assert_eq!(plan.iter().map(|group| group.slots.len()).sum::<usize>(), changed(&before, &after).len());
        let mut done = after.clone();
        for Move { slots, from, to } in &plan {
            prop_assert!((1..=GROUP_SLOTS_MAX).contains(&slots.len()));
            prop_assert!(slots.iter().all(|slot| before.owner(slot) == *from && *from != Some(*to)));
            prop_assert!(slots.iter().all(|slot| after.owner(slot) == Some(*to)));
            done = done.assigned(slots, *to);
        }
        prop_assert!(all_slots().all(|slot| done.owner(slot) == after.owner(slot)));
        prop_assert!(plan.is_sorted_by_key(|group| group.from.is_some()), "what nobody serves comes first");
        let mut pairs: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        plan.iter().for_each(|group| pairs.entry((group.from, group.to)).or_default().push(group.slots.len()));
        let full = |groups: &Vec<usize>| groups.iter().rev().skip(1).all(|slots| *slots == GROUP_SLOTS_MAX);
        prop_assert!(pairs.values().all(full), "groups are full but for a pair's last");
    }
}

#[test]
fn weights_are_shares() {
    let map = placed(&[node(1, 1), node(2, 2), node(3, 5)], &SlotMap::empty());
    let loads: Vec<usize> = loads(&map).into_values().collect();
    assert_eq!(loads, [2048, 4096, 10240]);
}

#[test]
fn a_node_of_little_weight_has_one_arc_and_one_of_none_has_nothing() {
    let nodes = [node(1, u32::MAX), node(2, 1), node(3, 0)];
    let map = placed(&nodes, &placed(&equal(1..=3), &SlotMap::empty()));
    assert_eq!(loads(&map), BTreeMap::from([(NodeId(1), SLOTS - 64), (NodeId(2), 64)]));
    let nobody: Vec<Candidate> = vec![];
    assert_eq!(place(&nobody, &map), []);
    assert_eq!(place(&[node(3, 0)], &map), []);
}

#[test]
fn more_nodes_than_slots() {
    let wanted = place(&equal(0..SLOTS as u32 + 100), &SlotMap::empty());
    assert_eq!(wanted.len(), SLOTS);
    assert!(wanted.iter().all(|(slots, _)| slots.len() == 1));
}

#[test]
fn a_slot_moved_by_hand_stays_within_the_bounds() {
    let nodes = equal(1..=4);
    let map = placed(&nodes, &SlotMap::empty());
    let slots = map.slots_of(NodeId(1)).iter().take(100).collect();
    let map = applied(&map, &[(slots, NodeId(2))]);
    assert_eq!(moves(&map, &place(&nodes, &map)), []);
}

#[test]
fn fewer_nodes_have_longer_arcs_which_moves_nothing_by_itself() {
    let map = placed(&equal(1..=17), &SlotMap::empty());
    let after = placed(&equal(1..=16), &map);
    assert_eq!(changed(&map, &after).len(), map.slots_of(NodeId(17)).len());
}

/// Whoever works it out must come to the same, on every machine and with every later version: so it is written out.
#[test]
fn the_same_on_every_machine() {
    let mut nodes = vec![node(1, 1), node(2, 2), node(3, 1)];
    let map = placed(&nodes, &SlotMap::empty());
    let owner = |map: &SlotMap, arc: SlotArc| map.owner(arc.first()).expect("an owner").0.to_string();
    let owners = |map: &SlotMap| arcs(4).map(|arc| owner(map, arc)).collect::<String>();
    let three = [
        "2233221322113321212221323312233123321222213231122223232222332223",
        "3133222222132221132223221321132121323323223313222321212312233111",
        "1323212222222121123222223312221123322113221211313321132122122322",
        "1213221122111112212212313222323233123232332233222112221212222122",
    ];
    assert_eq!(owners(&map), three.concat());
    nodes.push(node(4, 2));
    let four = [
        "2234241322113424212224344314234124441422213431142223232224332423",
        "4133422422132241432423241424432124443323243343222421442342243441",
        "1344212422422121444422243314244423322114441211343341144422144344",
        "1443221144111144212442344242344234124232342234222412221412422124",
    ];
    assert_eq!(owners(&placed(&nodes, &map)), four.concat());
}
