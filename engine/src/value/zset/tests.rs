//! Sorted sets as commands use them: both forms against a model, and when one becomes the other.

use std::cmp::Ordering;

use arbtest::arbtest;

use super::*;

const HASHER_SEED: u64 = 5;

fn limits() -> Limits {
    Limits::default()
}

fn hasher() -> Hasher {
    Hasher::new(HASHER_SEED)
}

fn elements(zset: &ZSet) -> Vec<(Vec<u8>, f64)> {
    zset.view().upwards(0).map(|(member, score)| (member.to_vec(), score)).collect()
}

fn in_order(left: &(Vec<u8>, f64), right: &(Vec<u8>, f64)) -> Ordering {
    left.1.partial_cmp(&right.1).expect("not NaN").then_with(|| left.0.cmp(&right.0))
}

/// The same operations on a compact set, a large one and a list.
#[test]
fn both_forms_are_one_set() {
    arbtest(|u| {
        let (limits, hasher) = (limits(), hasher());
        let mut pack = ZSet::empty();
        let mut large = ZSet::Large(Box::default());
        let mut model: Vec<(Vec<u8>, f64)> = Vec::new();
        for _ in 0..u.int_in_range(0..=300)? {
            let number = u.int_in_range(-40..=40i64)?;
            let member = if number % 3 == 0 { format!("m{number}") } else { number.to_string() }.into_bytes();
            let score = f64::from(u.int_in_range(-8..=8i32)?) / 2.0;
            let old = model.iter().position(|(other, _)| *other == member).map(|at| model.remove(at).1);
            if u.int_in_range(0..=3)? == 0 {
                assert_eq!(pack.remove(&member, &hasher), old.is_some());
                assert_eq!(large.remove(&member, &hasher), old.is_some());
            } else {
                assert_eq!(pack.put(&member, score, &limits, &hasher), old);
                assert_eq!(large.put(&member, score, &limits, &hasher), old);
                model.push((member, score));
            }
            model.sort_by(in_order);
        }
        assert!(matches!(pack, ZSet::Pack(_)));
        let (min, max) = (f64::from(u.int_in_range(-9..=9)?) / 2.0, f64::from(u.int_in_range(-9..=9)?) / 2.0);
        let wanted = ScoreRange { min, max, min_open: u.arbitrary()?, max_open: u.arbitrary()? };
        let within: Vec<usize> =
            (0..model.len()).filter(|&rank| wanted.reaches(model[rank].1) && wanted.keeps(model[rank].1)).collect();
        let from = u.int_in_range(0..=model.len())?;
        let to = u.int_in_range(from..=model.len())?;
        for zset in [&mut pack, &mut large] {
            assert_eq!(elements(zset), model);
            let view = zset.view();
            assert!(view.score_range(&wanted).eq(within.iter().copied()));
            let back: Vec<_> = view.ranks(from..to, true).map(|(member, score)| (member.to_vec(), score)).collect();
            assert!(back.iter().eq(model[from..to].iter().rev()));
            for (rank, (member, score)) in model.iter().enumerate() {
                assert_eq!(view.rank(member, &hasher), Some((rank, *score)));
                assert_eq!(view.score(member, &hasher), Some(*score));
            }
            assert_eq!(view.score(b"none", &hasher), None);
            zset.remove_ranks(from..to, &hasher);
        }
        model.drain(from..to);
        assert_eq!(elements(&pack), model);
        assert_eq!(elements(&large), model);
        Ok(())
    })
    .budget_ms(2000);
}

#[test]
fn names_of_equal_scores() {
    let (limits, hasher) = (limits(), hasher());
    let names: Vec<String> = (0..60).map(|number| format!("{:03}", number * 2)).collect();
    let mut large = ZSet::Large(Box::default());
    let mut pack = ZSet::empty();
    for name in &names {
        pack.put(name.as_bytes(), 0.0, &limits, &hasher);
        large.put(name.as_bytes(), 0.0, &limits, &hasher);
    }
    for (min, max) in
        [("-", "+"), ("[010", "(020"), ("(010", "[021"), ("[011", "[011"), ("+", "-"), ("(010", "[010"), ("[", "(zz")]
    {
        let wanted = LexRange::parse(min.as_bytes(), max.as_bytes()).expect("good bounds");
        let expected = names.iter().filter(|name| wanted.reaches(name.as_bytes()) && wanted.keeps(name.as_bytes()));
        for (zset, back) in [(&pack, false), (&pack, true), (&large, false), (&large, true)] {
            let range = zset.view().lex_range(&wanted, back);
            let found: Vec<_> = zset.view().ranks(range, false).map(|(member, _)| member.to_vec()).collect();
            assert!(found.iter().eq(expected.clone().map(|name| name.as_bytes())), "{min} {max}");
        }
    }
}

#[test]
fn a_listpack_gives_way_to_a_tree() {
    let (limits, hasher) = (limits(), hasher());
    let is_pack = |zset: &ZSet| matches!(zset, ZSet::Pack(_));
    let mut many = ZSet::empty();
    for number in 0..limits.zset_entries {
        many.put(number.to_string().as_bytes(), 1.0, &limits, &hasher);
    }
    assert!(is_pack(&many));
    many.put(b"5", 7.0, &limits, &hasher);
    assert!(is_pack(&many), "it was there before");
    many.put(b"one more", 1.0, &limits, &hasher);
    assert!(!is_pack(&many) && many.view().len() == limits.zset_entries + 1);

    let (long, longer) = (vec![b'x'; limits.zset_value_bytes], vec![b'x'; limits.zset_value_bytes + 1]);
    let mut zset = ZSet::empty();
    zset.put(&long, -0.0, &limits, &hasher);
    assert!(is_pack(&zset) && elements(&zset)[0].1.is_sign_positive(), "a listpack knows no -0");
    zset.put(&longer, -0.0, &limits, &hasher);
    assert!(!is_pack(&zset) && elements(&zset)[1].1.is_sign_negative());
    zset.remove(&longer, &hasher);
    assert!(!is_pack(&zset), "there is no way back");

    let sorted: Vec<(&[u8], f64)> = vec![(b"a", 1.0), (b"b", 2.5)];
    assert!(is_pack(&ZSet::from_sorted(sorted.iter().copied(), &limits, &hasher)));
    let sorted: Vec<(&[u8], f64)> = vec![(&longer, 1.0)];
    assert!(!is_pack(&ZSet::from_sorted(sorted.iter().copied(), &limits, &hasher)));
}

#[test]
fn a_compact_set_passes_its_own_check() {
    let (limits, hasher) = (limits(), hasher());
    let mut zset = ZSet::empty();
    for (number, score) in [1e20, -0.5, f64::INFINITY, f64::NEG_INFINITY, 3.0, 0.28712646].into_iter().enumerate() {
        zset.put(format!("m{number}").as_bytes(), score, &limits, &hasher);
    }
    let Kept::Compact(Form::ZSetPack, bytes) = zset.into_kept() else { panic!("small sets are compact") };
    assert!(is_zset(&bytes));
}
