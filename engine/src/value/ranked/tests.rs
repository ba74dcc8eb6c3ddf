//! The large sorted set against a model: random operations, ranges, snapshots, scans over a changing set, parts.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use arbtest::arbtest;

use super::*;
use crate::value::{Large, Malformed};

/// A score in order; never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score(f64);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).expect("not NaN")
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What a test's elements look like.
#[derive(Clone, Copy, Debug)]
struct Shape {
    members: usize,
    scores: usize,
    long: bool,
}

impl Shape {
    const ALL: [Shape; 4] = [
        Shape { members: 5000, scores: 1 << 40, long: false },
        Shape { members: 3000, scores: 3, long: false },
        Shape { members: 600, scores: 1, long: true },
        Shape { members: 300, scores: 40, long: true },
    ];

    fn member(self, number: usize) -> Vec<u8> {
        let mut member = format!("member:{number}").into_bytes();
        if self.long {
            // Same beginnings, and lengths around every limit of a record.
            let len = [0, 100, 127, 128, 250, 255, 256, 257, 900, 5000][number % 10];
            member = [vec![b'x'; len], member].concat();
            member.drain(..member.len().saturating_sub(len.max(8)).min(len));
        }
        member
    }

    fn score(self, random: &mut Random) -> f64 {
        match random.below(50) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => -0.0,
            _ => random.below(self.scores) as f64 / 4.0,
        }
    }
}

/// The set beside a plain model of it.
struct Pair {
    set: Ranked,
    order: BTreeSet<(Score, Vec<u8>)>,
    scores: HashMap<Vec<u8>, f64>,
    hasher: Hasher,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let hasher = Hasher::new(seed);
        Pair { set: Ranked::new(), order: BTreeSet::new(), scores: HashMap::new(), hasher }
    }

    fn insert(&mut self, member: Vec<u8>, score: f64) {
        let old = self.scores.get(&member).copied();
        assert_eq!(self.set.insert(&member, score, &self.hasher), old);
        if old == Some(score) {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(Score(old), member.clone()));
        }
        self.scores.insert(member.clone(), score);
        self.order.insert((Score(score), member));
    }

    fn remove(&mut self, member: &[u8]) {
        let old = self.scores.remove(member);
        assert_eq!(self.set.remove(member, &self.hasher), old);
        if let Some(old) = old {
            self.order.remove(&(Score(old), member.to_vec()));
        }
    }

    fn remove_ranks(&mut self, range: Range<usize>) {
        let gone: Vec<_> = self.order.iter().skip(range.start).take(range.len()).cloned().collect();
        assert_eq!(self.set.remove_ranks(range, &self.hasher), gone.len());
        for element in gone {
            self.scores.remove(&element.1);
            self.order.remove(&element);
        }
    }

    fn check(&self) {
        let leaves = self.set.tree.audit();
        let mut cells = Vec::new();
        for leaf in leaves {
            let page = self.set.tree.leaf(leaf);
            cells.extend((0..page.count()).map(|index| (fingerprint(page.member(index), &self.hasher), leaf)));
        }
        let mut table = self.set.table.audit();
        cells.sort_unstable();
        table.sort_unstable();
        assert_eq!(cells, table);
        assert_eq!(self.set.len(), self.order.len());
        let model = || self.order.iter().map(|(score, member)| (&member[..], score.0));
        assert!(same(self.set.forward(0), model()));
        assert!(same(self.set.backward(usize::MAX), model().rev()));
    }

    fn check_places(&self, random: &mut Random, shape: Shape) {
        for _ in 0..20 {
            let member = shape.member(random.below(shape.members));
            let score = self.scores.get(&member).copied();
            assert_eq!(self.set.score(&member, &self.hasher), score);
            let rank = score.map(|score| (self.rank_in_model(score, &member), score));
            assert_eq!(self.set.rank(&member, &self.hasher), rank);
            if let Some((rank, score)) = rank {
                assert_eq!(self.set.by_rank(rank), Some((&member[..], score)));
            }
            let score = shape.score(random);
            let below = self.order.iter().filter(|(other, _)| other.0 < score).count();
            let upto = self.order.iter().filter(|(other, _)| other.0 <= score).count();
            assert_eq!(self.set.rank_of_score(score, false), below);
            assert_eq!(self.set.rank_of_score(score, true), upto);
            let rank = random.below(self.order.len() + 2);
            let model = || self.order.iter().map(|(score, member)| (&member[..], score.0));
            assert!(same(self.set.forward(rank).take(7), model().skip(rank).take(7)));
            let skip = self.order.len().saturating_sub(rank);
            assert!(same(self.set.backward(rank).take(7), model().rev().skip(skip).take(7)));
        }
        assert_eq!(self.set.by_rank(self.set.len()), None);
    }

    fn rank_in_model(&self, score: f64, member: &[u8]) -> usize {
        self.order.iter().position(|(other, name)| other.0 == score && name == member).expect("present")
    }
}

fn same<'a>(left: impl Iterator<Item = (&'a [u8], f64)>, right: impl Iterator<Item = (&'a [u8], f64)>) -> bool {
    left.map(|(member, score)| (member, score.to_bits())).eq(right.map(|(member, score)| (member, score.to_bits())))
}

#[test]
fn random_operations_as_the_model() {
    arbtest(|u| {
        let mut random = Random(u.arbitrary()?);
        let shape = Shape::ALL[random.below(4)];
        let mut pair = Pair::new(random.next());
        let mut snapshot: Option<(Ranked, Vec<(Vec<u8>, f64)>)> = None;
        let steps = 200 + random.below(4000);
        // Growing, then shrinking, then growing again.
        for step in 0..steps {
            let shrinking = (step / 600) % 2 == 1;
            let member = shape.member(random.below(shape.members));
            match random.below(100) {
                0 => {
                    let start = random.below(pair.order.len() + 3);
                    let len = if random.below(4) == 0 { random.below(pair.order.len() + 3) } else { random.below(60) };
                    pair.remove_ranks(start..start + len);
                }
                1 if snapshot.is_none() => {
                    let set = pair.set.clone();
                    let elements = set.forward(0).map(|(member, score)| (member.to_vec(), score)).collect();
                    snapshot = Some((set, elements));
                }
                2..50 if shrinking => pair.remove(&member),
                2..10 => pair.remove(&member),
                _ => {
                    let score = shape.score(&mut random);
                    pair.insert(member, score);
                }
            }
            if step % 512 == 0 {
                pair.check();
            }
        }
        pair.check();
        pair.check_places(&mut random, shape);
        if let Some((set, elements)) = snapshot {
            assert!(same(set.forward(0), elements.iter().map(|(member, score)| (&member[..], *score))));
        }
        Ok(())
    })
    .budget_ms(4000);
}

#[test]
fn ranges_by_name_and_mixed_scores_hold_together() {
    let mut pair = Pair::new(7);
    (0..3000).for_each(|number| pair.insert(format!("{:04}", number * 2).into_bytes(), 0.0));
    for number in [0usize, 1, 2, 999, 1000, 1001, 5998, 5999, 7000] {
        let member = format!("{number:04}").into_bytes();
        let model = |inclusive: bool| {
            pair.order.iter().filter(|(_, other)| *other < member || (inclusive && *other == member)).count()
        };
        assert_eq!(pair.set.rank_of_lex(&member, false), model(false));
        assert_eq!(pair.set.rank_of_lex(&member, true), model(true));
    }
    // With several scores the answer means nothing; it must still be one.
    (0..3000).for_each(|number| pair.insert(format!("{:04}", number * 2).into_bytes(), f64::from(number % 7)));
    assert!(pair.set.rank_of_lex(b"3000", true) <= 3000);
}

#[test]
fn inserting_in_order_leaves_full_pages() {
    for step in [1i64, -1] {
        let mut pair = Pair::new(3);
        for number in 0..20_000i64 {
            pair.set.insert(format!("member:{:05}", number).as_bytes(), (number * step) as f64, &pair.hasher);
        }
        let pages = pair.set.tree.audit().len();
        assert!(pages < 20_000 * 24 / 2032 + 8, "{pages} pages going by {step}");
    }
}

/// Whoever is there all the time is seen, whatever grows, shrinks and moves between two calls.
#[test]
fn a_scan_misses_nobody() {
    arbtest(|u| {
        let mut random = Random(u.arbitrary()?);
        let shape = Shape { members: 6000, scores: [1, 5, 1 << 30][random.below(3)], long: false };
        let mut pair = Pair::new(11);
        let stay: HashSet<Vec<u8>> = (0..300).map(|number| format!("stay:{number}").into_bytes()).collect();
        for member in &stay {
            let score = shape.score(&mut random);
            pair.insert(member.clone(), score);
        }
        let (mut cursor, mut seen, mut calls) = (0, HashSet::new(), 0);
        let growing = random.below(2) == 0;
        (0..if growing { 0 } else { 3000 }).for_each(|number| pair.insert(shape.member(number), 1.0));
        loop {
            let mut own = 0;
            cursor = pair.set.scan(cursor, 1 + random.below(30), &pair.hasher, |member, score| {
                assert_eq!(pair.scores.get(member), Some(&score));
                seen.insert(member.to_vec());
                own += 1;
            });
            calls += 1;
            assert!(own > 0 || cursor == 0);
            if cursor == 0 {
                break;
            }
            for _ in 0..40 {
                let number = random.below(shape.members);
                if growing { pair.insert(shape.member(number), 2.0) } else { pair.remove(&shape.member(number)) }
            }
            for member in stay.iter().take(5) {
                let score = shape.score(&mut random);
                pair.insert(member.clone(), score);
            }
        }
        assert!(stay.is_subset(&seen));
        assert!(calls < 2000);
        Ok(())
    })
    .budget_ms(2000);
}

#[test]
fn parts_carry_everything_and_refuse_nonsense() {
    let mut pair = Pair::new(5);
    let mut random = Random(9);
    let shape = Shape { members: 4000, scores: 100, long: true };
    (0..4000).for_each(|number| pair.insert(shape.member(number), shape.score(&mut random)));
    let (mut copy, mut at, mut parts) = (Pair::new(5).set, Some(0), 0);
    while let Some(place) = at {
        let mut part = Vec::new();
        at = pair.set.write_part(place, &mut part);
        copy.read_part(&part, &pair.hasher).expect("well-formed");
        assert_eq!(copy.clone().read_part(&part, &pair.hasher), Err(Malformed), "an element twice");
        for cut in [1, 8, 11, part.len() - 1] {
            assert_eq!(Ranked::new().read_part(&part[..cut], &pair.hasher), Err(Malformed));
        }
        parts += 1;
    }
    assert!(parts > 3);
    assert!(same(copy.forward(0), pair.set.forward(0)));
    let nan = [&f64::NAN.to_le_bytes()[..], &1u32.to_le_bytes(), b"m"].concat();
    assert_eq!(Ranked::new().read_part(&nan, &pair.hasher), Err(Malformed));
    let vast = [&1f64.to_le_bytes()[..], &u32::MAX.to_le_bytes(), b"m"].concat();
    assert_eq!(Ranked::new().read_part(&vast, &pair.hasher), Err(Malformed));
}

#[test]
fn freed_in_slices() {
    let hasher = Hasher::new(1);
    let members: Vec<_> = (0..10_000).map(|number| format!("member:{number:06}")).collect();
    let elements = members.iter().enumerate().map(|(number, member)| (member.as_bytes(), number as f64));
    let mut set = Ranked::from_sorted(elements, &hasher);
    assert_eq!(set.len(), 10_000);
    let mut calls = 1;
    while set.free_some(1000) {
        calls += 1;
    }
    assert!((5..200).contains(&calls), "{calls}");
    assert!(set.is_empty());
}

/// The bar: at most 48 bytes for each element of a thousand, beyond its member of 10 bytes.
#[test]
fn a_thousand_members_are_small() {
    let hasher = Hasher::new(1);
    let mut random = Random(4);
    for ordered in [false, true] {
        let mut set = Ranked::new();
        for number in 0..1000 {
            let score = if ordered { number as f64 } else { random.below(1 << 30) as f64 };
            set.insert(format!("m:{number:08}").as_bytes(), score, &hasher);
        }
        let beyond = set.heap_bytes() + size_of::<Ranked>() - 10 * 1000;
        println!("{} bytes beyond the member, ordered: {ordered}", beyond as f64 / 1000.0);
        assert!(beyond <= 32 * 1000, "{beyond}");
    }
}
