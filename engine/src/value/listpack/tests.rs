//! The listpack beside a plain vector, and against bytes that nobody wrote.

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use super::*;

/// Strings at the borders of every encoding, and integers at theirs.
fn value(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let borders: [i64; 14] =
        [0, 127, 128, -1, -4096, -4097, 4095, 4096, 32_767, -32_769, 8_388_607, 8_388_608, 2_147_483_648, i64::MIN];
    Ok(match u.int_in_range(0..=5)? {
        0 => u.choose(&borders)?.to_string().into_bytes(),
        1 => u.arbitrary::<i64>()?.to_string().into_bytes(),
        2 => u.choose(&["007", "-0", "", "+1", "1.5", "9223372036854775808", "-", "1 "])?.as_bytes().to_vec(),
        3 => vec![b'x'; *u.choose(&[62, 63, 64, 125, 126, 127, 128, 4095, 4096, 16_378, 16_379])?],
        _ => u.bytes(u.len() % 9)?.to_vec(),
    })
}

fn all(pack: ListpackRef<'_>) -> Vec<Vec<u8>> {
    pack.iter().map(|element| element.to_vec()).collect()
}

#[test]
fn behaves_like_a_vector() {
    arbtest(|u| {
        let (mut pack, mut model) = (Listpack::new(), Vec::<Vec<u8>>::new());
        for _ in 0..u.int_in_range(0..=40)? {
            let index = if model.is_empty() { 0 } else { u.choose_index(model.len())? };
            let place = pack.view().seek(index as i64);
            let new = value(u)?;
            match (u.int_in_range(0..=6)?, place) {
                (0, _) => {
                    pack.push_front(&new);
                    model.insert(0, new);
                }
                (1, Some(at)) => {
                    pack.insert(at, &new);
                    model.insert(index, new);
                }
                (2, Some(at)) => {
                    pack.insert_after(at, &new);
                    model.insert(index + 1, new);
                }
                (3, Some(at)) => {
                    pack.replace(at, &new);
                    model[index] = new;
                }
                (4, Some(at)) => {
                    let count = u.int_in_range(0..=3)?;
                    let gone = pack.delete(at, count);
                    assert_eq!(gone, count.min(model.len() - index));
                    model.drain(index..index + gone);
                }
                _ => {
                    pack.push_back(&new);
                    model.push(new);
                }
            }
            let view = ListpackRef::validate(pack.view().bytes()).expect("a whole listpack");
            assert_eq!(all(view), model);
            assert_eq!(view.len(), model.len());
            assert_eq!(view.is_empty(), model.is_empty());
            let mut backwards: Vec<Vec<u8>> = view.iter().rev().map(|element| element.to_vec()).collect();
            backwards.reverse();
            assert_eq!(backwards, model);
            for (index, (value, place)) in model.iter().zip(view.places()).enumerate() {
                let from_end = index as i64 - model.len() as i64;
                assert_eq!((view.seek(index as i64), view.seek(from_end)), (Some(place), Some(place)));
                assert_eq!(view.get(index as i64).map(|element| element.len()), Some(value.len()));
                let first = model.iter().position(|other| other == value).and_then(|first| view.seek(first as i64));
                assert_eq!(view.find(HEADER_BYTES, &Needle::new(value), 0), first);
                let first = model.iter().step_by(2).position(|other| other == value);
                assert_eq!(
                    view.find(HEADER_BYTES, &Needle::new(value), 1),
                    first.and_then(|first| view.seek(2 * first as i64))
                );
            }
            assert_eq!((view.seek(model.len() as i64), view.seek(!(model.len() as i64))), (None, None));
        }
        Ok(())
    });
}

/// What `DUMP` of Valkey 9.1 says of a list that was made by `RPUSH l 1 -1 abc 4096 -32769 8388608 2147483648 007`.
#[test]
fn bytes_are_those_of_valkey() {
    let mut pack = Listpack::new();
    for text in ["1", "-1", "abc", "4096", "-32769", "8388608", "2147483648", "007"] {
        pack.push_back(text.as_bytes());
    }
    let expected = [
        &b"\x2f\0\0\0\x08\0"[..],
        b"\x01\x01",
        b"\xdf\xff\x02",
        b"\x83abc\x04",
        b"\xf1\x00\x10\x03",
        b"\xf2\xff\x7f\xff\x04",
        b"\xf3\0\0\x80\0\x05",
        b"\xf4\0\0\0\x80\0\0\0\0\x09",
        b"\x83007\x04",
        b"\xff",
    ];
    assert_eq!(pack.view().bytes(), expected.concat());
}

/// The borders of the repeated length, as Valkey 9.1 writes them (`HSET h f` with a value of so many bytes).
#[test]
fn repeated_lengths_are_those_of_valkey() {
    let cases: [(usize, &[u8]); 6] = [
        (16_383, b"\x7f\xff"),
        (16_384, b"\x01\x80\x80"),
        (2_097_151, b"\x7f\xff\xff"),
        (2_097_152, b"\x01\x80\x80\x80"),
        (268_435_455, b"\x7f\xff\xff\xff"),
        (268_435_456, b"\x01\x80\x80\x80\x80"),
    ];
    for (inner, expected) in cases {
        let value = vec![b'x'; inner - 5];
        let mut run = Vec::new();
        Element::Str(&value).push_to(&mut run);
        assert_eq!(&run[inner..], expected);
        assert_eq!(element::skip_back(&run), Some(run.len()));
    }
}

#[test]
fn counts_beyond_the_header() {
    let mut pack = Listpack::new();
    for count in 1..=70_000usize {
        pack.push_back((count % 100) as i64);
        if count > 65_530 && count < 65_540 {
            assert_eq!(pack.view().len(), count);
        }
    }
    assert!(ListpackRef::validate(pack.view().bytes()).is_ok());
    assert_eq!(pack.view().get(69_999), Some(Element::Int(0)));
    assert_eq!(pack.view().get(-1), Some(Element::Int(0)));
    assert_eq!(pack.view().get(70_000), None);
    assert_eq!(pack.delete(HEADER_BYTES, usize::MAX), 70_000);
    assert_eq!(pack.view().len(), 0);
}

#[test]
fn mutated_bytes_do_no_harm() {
    arbtest(|u| {
        let mut pack = Listpack::new();
        for _ in 0..u.int_in_range(0..=8)? {
            pack.push_back(&value(u)?);
        }
        let mut bytes = pack.into_bytes();
        for _ in 0..u.int_in_range(1..=4)? {
            let at = u.choose_index(bytes.len())?;
            bytes[at] = u.arbitrary()?;
        }
        if u.ratio(1, 4)? {
            bytes.truncate(u.choose_index(bytes.len() + 1)?);
        }
        let valid = ListpackRef::validate(&bytes);
        let view = ListpackRef(&bytes);
        let (forwards, backwards) = (view.iter().count(), view.iter().rev().count());
        view.seek(3);
        view.seek(-3);
        view.find(HEADER_BYTES, &Needle::new(b"x"), 1);
        if let Ok(view) = valid {
            assert_eq!((forwards, backwards), (view.len(), view.len()));
            let mut copy = Listpack::new();
            view.iter().for_each(|element| copy.push_back(element));
            assert_eq!(all(copy.view()), all(view));
        }
        Ok(())
    });
}
