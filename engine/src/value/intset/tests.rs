//! The intset beside an ordered set, and against bytes that nobody wrote.

use std::collections::BTreeSet;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use super::*;

fn number(u: &mut Unstructured<'_>) -> Result<i64> {
    let borders = [0, -1, 32_767, 32_768, -32_768, -32_769, 1 << 31, (1 << 31) - 1, i64::MIN, i64::MAX];
    Ok(match u.int_in_range(0..=7)? {
        0 => *u.choose(&borders)?,
        1 => i64::from(u.arbitrary::<i32>()?),
        _ => i64::from(u.arbitrary::<i8>()?),
    })
}

#[test]
fn behaves_like_an_ordered_set() {
    arbtest(|u| {
        let (mut set, mut model) = (IntSet::new(), BTreeSet::new());
        for _ in 0..u.int_in_range(0..=60)? {
            let number = number(u)?;
            match u.int_in_range(0..=3)? {
                0 => assert_eq!(set.remove(number), model.remove(&number)),
                1 => assert_eq!(set.view().contains(number), model.contains(&number)),
                _ => assert_eq!(set.insert(number), model.insert(number)),
            }
            assert_eq!(IntSetRef::validate(set.view().bytes()).is_ok(), !model.is_empty());
            assert!(set.view().iter().eq(model.iter().copied()));
            assert_eq!((set.view().len(), set.view().is_empty()), (model.len(), model.is_empty()));
            for (index, &number) in model.iter().enumerate() {
                assert_eq!((set.view().get(index), set.view().search(number)), (Some(number), Ok(index)));
            }
            assert_eq!(set.view().get(model.len()), None);
        }
        let copy: IntSet = model.iter().rev().copied().collect();
        assert!(copy.view().iter().eq(model.iter().copied()));
        Ok(())
    });
}

/// What `DUMP` of Valkey 9.1 says after `SADD s 5 -1`, then `SADD s 32768`, then `SADD s 2147483648` and `SREM s -1`.
#[test]
fn bytes_are_those_of_valkey() {
    let mut set: IntSet = [5, -1].into_iter().collect();
    assert_eq!(set.view().bytes(), b"\x02\0\0\0\x02\0\0\0\xff\xff\x05\0");
    set.insert(32_768);
    assert_eq!(set.view().bytes(), b"\x04\0\0\0\x03\0\0\0\xff\xff\xff\xff\x05\0\0\0\0\x80\0\0");
    set.insert(1 << 31);
    set.remove(-1);
    assert_eq!(set.view().bytes(), b"\x08\0\0\0\x03\0\0\0\x05\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\0\0\x80\0\0\0\0");
}

#[test]
fn mutated_bytes_do_no_harm() {
    arbtest(|u| {
        let mut set = IntSet::new();
        for _ in 0..u.int_in_range(0..=6)? {
            set.insert(number(u)?);
        }
        let mut bytes = set.into_bytes();
        for _ in 0..u.int_in_range(0..=3)? {
            let at = u.choose_index(bytes.len())?;
            bytes[at] = u.arbitrary()?;
        }
        if u.ratio(1, 4)? {
            bytes.truncate(u.choose_index(bytes.len() + 1)?);
        }
        let view = IntSetRef(&bytes);
        let (count, _, _) = (view.iter().count(), view.contains(7), view.get(3));
        assert_eq!(count, view.len());
        if let Ok(view) = IntSetRef::validate(&bytes) {
            let numbers: BTreeSet<i64> = view.iter().collect();
            assert!(numbers.len() == view.len() && numbers.iter().all(|&number| view.contains(number)));
        }
        Ok(())
    });
}
