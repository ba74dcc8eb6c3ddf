//! The stream against a tree of entries.

use std::collections::{BTreeMap, BTreeSet};

use swell_wire::OwnedArgs;

use super::*;

type Model = BTreeMap<StreamId, Vec<Vec<u8>>>;

const ALL: (StreamId, StreamId) = (StreamId::MIN, StreamId::MAX);

fn add(stream: &mut Stream, ms: u64, fields: &[&str]) {
    stream.log_mut().append(StreamId::new(ms, 0), OwnedArgs::from_slices(fields).as_args(), NodeLimits::default());
}

fn content<'a>(entries: impl Iterator<Item = EntryView<'a>>) -> Vec<(StreamId, Vec<Vec<u8>>)> {
    let strings = |entry: EntryView<'a>| entry.fields().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
    entries.map(|entry| (entry.id, strings(entry).collect())).collect()
}

fn check(stream: &Stream, model: &Model) {
    let log = stream.log();
    let wanted: Vec<_> = model.iter().map(|(id, fields)| (*id, fields.clone())).collect();
    assert_eq!(content(log.range(ALL.0, ALL.1)), wanted);
    assert_eq!(content(log.range_back(ALL.0, ALL.1)), wanted.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(log.len(), model.len() as u64);
    assert_eq!(log.first_id(), model.keys().next().copied().unwrap_or_default());
    assert_eq!(log.top_id(), model.keys().next_back().copied());
    let nodes: usize = log.nodes.iter().map(|(_, node)| node.heap_bytes()).sum();
    assert_eq!(log.node_bytes, nodes);
    for (master, bytes) in log.nodes() {
        assert!(node::check(bytes, master).is_some(), "{bytes:?}");
    }
}

#[test]
fn behaves_like_a_tree_of_entries() {
    arbtest::arbtest(|u| {
        let mut stream = Stream::default();
        let mut model = Model::new();
        let mut kept = None;
        let limits = NodeLimits { bytes: *u.choose(&[0, 60, 4096])?, entries: *u.choose(&[0, 3, 100])? };
        for _ in 0..u.int_in_range(0..=120)? {
            let top = stream.log().last_id;
            let any = StreamId::new(u.int_in_range(0..=top.ms + 1)?, u.int_in_range(0..=3)?);
            match u.int_in_range(0..=9)? {
                0..=5 => {
                    let id = StreamId::new(top.ms + u.int_in_range(0..=300)?, u.int_in_range(0..=1 << 40)?);
                    let id = if id > top { id } else { StreamId::new(top.ms + 1, 0) };
                    let mut fields: Vec<Vec<u8>> = Vec::new();
                    for _ in 0..u.int_in_range(1..=2)? {
                        fields.push(u.choose(&[b"f".to_vec(), b"12".to_vec(), b"".to_vec()])?.clone());
                        fields.push(
                            u.choose(&[b"-7".to_vec(), vec![b'x'; 70], b"v".to_vec(), vec![b'l'; 5000]])?.clone(),
                        );
                    }
                    stream.log_mut().append(id, OwnedArgs::from_slices(&fields).as_args(), limits);
                    model.insert(id, fields);
                }
                6 => {
                    let id = model.keys().copied().find(|id| *id >= any).unwrap_or(any);
                    assert_eq!(stream.log_mut().delete(id), model.remove(&id).is_some());
                }
                7 => {
                    let most = u.int_in_range(0..=model.len() as u64 + 1)?;
                    let trim = Trim { until: Until::Length(most), approximate: false, limit: 0 };
                    let gone = stream.log_mut().trim(trim);
                    assert_eq!(gone, (model.len() as u64).saturating_sub(most));
                    (0..gone).for_each(|_| drop(model.pop_first()));
                }
                8 => {
                    let before = model.len() as u64;
                    model.retain(|id, _| *id >= any);
                    let trim = Trim { until: Until::Id(any), approximate: false, limit: 0 };
                    assert_eq!(stream.log_mut().trim(trim), before - model.len() as u64);
                }
                _ => kept = Some((stream.clone(), model.clone())),
            }
            let (from, to) = (any, StreamId::new(any.ms + 200, 1));
            let wanted: Vec<StreamId> = model.range(from..=to).map(|(id, _)| *id).collect();
            assert_eq!(stream.log().range(from, to).map(|entry| entry.id).collect::<Vec<_>>(), wanted);
            assert!(stream.log().range_back(from, to).map(|entry| entry.id).eq(wanted.into_iter().rev()));
            assert_eq!(stream.log().get(any).is_some(), model.contains_key(&any));
        }
        check(&stream, &model);
        if let Some((stream, model)) = kept {
            check(&stream, &model);
        }
        Ok(())
    });
}

#[test]
fn bytes_of_a_node_are_those_of_the_real_server() {
    // DUMP of a stream after XADD s 1-1 f v; XADD s 2-0 f 5; XADD s 2-1 g w; XDEL s 2-0.
    let mut stream = Stream::default();
    let mut append = |ms, seq, fields: &[&str]| {
        let fields = OwnedArgs::from_slices(fields);
        stream.log_mut().append(StreamId::new(ms, seq), fields.as_args(), NodeLimits::default());
    };
    append(1, 1, &["f", "v"]);
    append(2, 0, &["f", "5"]);
    append(2, 1, &["g", "w"]);
    assert!(stream.log_mut().delete(StreamId::new(2, 0)));
    let (master, bytes) = stream.log().nodes().next().unwrap();
    assert_eq!(master, StreamId::new(1, 1));
    assert_eq!(bytes, REAL_NODE);
}

/// As the server's DUMP shows it.
const REAL_NODE: &[u8] = &[
    56, 0, 0, 0, 22, 0, 2, 1, 1, 1, 1, 1, 129, 102, 2, 0, 1, 2, 1, 0, 1, 0, 1, 129, 118, 2, 4, 1, 3, 1, 1, 1, 223, 255,
    2, 5, 1, 4, 1, 0, 1, 1, 1, 0, 1, 1, 1, 129, 103, 2, 129, 119, 2, 6, 1, 255,
];

#[test]
fn nodes_are_full_at_the_limits() {
    let mut stream = Stream::default();
    (1..=250).for_each(|ms| add(&mut stream, ms, &["f", "v"]));
    assert_eq!(stream.log().nodes_len(), 3);
    let approximate = |until| Trim { until, approximate: true, limit: 0 };
    assert_eq!(stream.log_mut().trim(approximate(Until::Length(151))), 0);
    assert_eq!(stream.log_mut().trim(Trim { limit: 99, ..approximate(Until::Length(10)) }), 0);
    assert_eq!(stream.log_mut().trim(Trim { limit: 100, ..approximate(Until::Length(10)) }), 100);
    assert_eq!(stream.log().trimmed_until(Until::Length(10)), Until::Length(150));
    assert_eq!(stream.log_mut().trim(approximate(Until::Id(StreamId::new(202, 0)))), 100);
    assert_eq!(stream.log().trimmed_until(Until::Id(StreamId::MAX)), Until::Id(StreamId::new(201, 0)));
    assert_eq!(stream.log().first_id(), StreamId::new(201, 0));
}

#[test]
fn ids_only_grow() {
    let mut stream = Stream::default();
    let log = stream.log_mut();
    assert_eq!(log.new_id(AskedId::Auto, 5), Ok(StreamId::new(5, 0)));
    assert!(log.new_id(AskedId::Given(StreamId::MIN), 5).is_err());
    log.last_id = StreamId::new(7, u64::MAX);
    assert_eq!(log.new_id(AskedId::Auto, 5), Ok(StreamId::new(8, 0)), "the clock went back");
    assert!(log.new_id(AskedId::Ms(7), 5).is_err());
    log.last_id = StreamId::MAX;
    assert!(log.new_id(AskedId::Auto, 5).is_err());
}

#[test]
fn groups_read_claim_and_acknowledge() {
    let mut stream = Stream::default();
    (1..=5).for_each(|ms| add(&mut stream, ms, &["f", "v"]));
    assert!(stream.add_group(b"g", Group::new(StreamId::MIN, Some(0))));
    assert!(!stream.add_group(b"g", Group::default()));
    let read = |log: &Log, group: &mut Group| {
        let (alice, _) = group.find_or_add(b"alice", 100);
        let mut ids = Vec::new();
        assert_eq!(log.deliver(group, alice, 3, false, 100, |entry| ids.push(entry.id.ms)), 3);
        assert_eq!((ids, group.entries_read, log.lag(group)), (vec![1, 2, 3], Some(3), Some(2)));
    };
    stream.edit_group(b"g", read).unwrap();
    assert!(stream.log_mut().delete(StreamId::new(2, 0)));
    let claim = |log: &Log, group: &mut Group| {
        let (bob, is_new) = group.find_or_add(b"bob", 150);
        assert!(is_new);
        let claim = Claim {
            consumer: bob,
            min_idle_ms: 50,
            delivered_ms: 160,
            count: None,
            ids_only: false,
            force: false,
            now_ms: 160,
        };
        let mut ids = Vec::new();
        let sweep = log.autoclaim(group, StreamId::MIN, 2, &claim, |entry| ids.push(entry.id.ms));
        assert_eq!((ids, sweep.gone, sweep.next), (vec![1], vec![StreamId::new(2, 0)], StreamId::new(3, 0)));
        let nack = group.nack(StreamId::new(1, 0)).unwrap();
        assert_eq!(nack, Nack { delivered_ms: 160, count: 2, consumer: bob });
        assert!(matches!(log.claim(group, StreamId::new(1, 0), &claim), Claimed::No), "it was claimed just now");
        let forced = Claim { force: true, count: Some(9), ..claim };
        assert!(matches!(log.claim(group, StreamId::new(5, 0), &forced), Claimed::Yes(_)));
        assert_eq!(group.pending_ends(), Some((StreamId::new(1, 0), StreamId::new(5, 0))));
        assert!(group.ack(StreamId::new(1, 0)) && !group.ack(StreamId::new(1, 0)));
        assert_eq!(group.remove(b"bob"), Some(1));
        assert_eq!(group.pending(ALL.0, ALL.1).map(|(id, _)| id.ms).collect::<Vec<_>>(), [3]);
    };
    stream.edit_group(b"g", claim).unwrap();
    assert!(stream.remove_group(b"g") && !stream.remove_group(b"g"));
    assert_eq!(stream.group_bytes, 0);
}

#[test]
fn pending_entries_belong_to_one_consumer() {
    arbtest::arbtest(|u| {
        let mut group = Group::default();
        let mut model: BTreeMap<StreamId, (u8, u64)> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for step in 0..u.int_in_range(0..=400)? {
            let (name, id) = (u.int_in_range(b'a'..=b'd')?, StreamId::new(u.int_in_range(0..=200)?, 0));
            match u.int_in_range(0..=7)? {
                0..=4 => {
                    let (consumer, is_new) = group.find_or_add(&[name], step);
                    assert_eq!(is_new, names.insert(name));
                    group.assign(id, Nack { delivered_ms: step, count: 1, consumer });
                    model.insert(id, (name, step));
                }
                5..=6 => assert_eq!(group.ack(id), model.remove(&id).is_some()),
                _ => {
                    let held = model.values().filter(|(other, _)| *other == name).count();
                    assert_eq!(group.remove(&[name]), names.remove(&name).then_some(held));
                    model.retain(|_, (other, _)| *other != name);
                }
            }
        }
        let named = |nack: &Nack| (group.at(nack.consumer).name()[0], nack.delivered_ms);
        assert!(group.pending(ALL.0, ALL.1).map(|(id, nack)| (id, named(nack))).eq(model.clone()));
        for (_, consumer) in group.consumers() {
            let held = model.iter().filter(|(_, (name, _))| [*name] == *consumer.name()).map(|(id, _)| *id);
            assert!(consumer.pending(ALL.0, ALL.1).eq(held));
        }
        let bytes: usize = group.consumers().map(|(_, consumer)| consumer.heap_bytes()).sum();
        assert_eq!(group.heap_bytes(), bytes + group.pending_bytes());
        Ok(())
    });
}

fn with_groups() -> Stream {
    let mut stream = Stream::default();
    (1..=2000).for_each(|ms| add(&mut stream, ms, &["field", "some value"]));
    for name in ["g1", "g2"] {
        stream.add_group(name.as_bytes(), Group::new(StreamId::MIN, Some(0)));
        stream.edit_group(name.as_bytes(), |log, group| {
            for consumer in ["zoe", "adam"] {
                let (place, _) = group.find_or_add(consumer.as_bytes(), 7);
                log.deliver(group, place, 600, false, 9, drop);
            }
            group.find_or_add(b"idle", 3);
        });
    }
    stream
}

fn parts(stream: &Stream) -> Vec<Vec<u8>> {
    let (mut parts, mut at) = (Vec::new(), Some(0));
    while let Some(here) = at {
        let mut part = Vec::new();
        at = stream.write_part(here, &mut part);
        parts.push(part);
    }
    parts
}

#[test]
fn parts_make_the_same_stream() {
    let stream = with_groups();
    let written = parts(&stream);
    assert!(written.len() > 2 && written.iter().all(|part| part.len() < 64 * 1024));
    let mut copy = Stream::default();
    written.iter().for_each(|part| copy.read_part(part).unwrap());
    assert_eq!(parts(&copy), written);
    assert_eq!(copy.log().len(), 2000);
    let pending =
        |stream: &Stream| stream.group(b"g2").map(|group| group.at(group.find(b"zoe").unwrap()).pending_len());
    assert_eq!((pending(&copy), pending(&stream)), (Some(600), Some(600)));
}

#[test]
fn parts_of_any_bytes_are_refused_or_read() {
    let whole = parts(&with_groups()).concat();
    arbtest::arbtest(|u| {
        let mut bytes = whole.clone();
        for _ in 0..u.int_in_range(1..=3)? {
            let at = u.int_in_range(0..=bytes.len() - 1)?;
            bytes[at] = u.arbitrary()?;
        }
        bytes.truncate(u.int_in_range(0..=bytes.len())?);
        let mut stream = Stream::default();
        let _ = stream.read_part(&bytes);
        assert!(stream.log().range(ALL.0, ALL.1).count() as u64 == stream.log().len());
        stream.log_mut().trim(Trim { until: Until::Length(1), approximate: false, limit: 0 });
        Ok(())
    });
}

#[test]
fn it_is_freed_bit_by_bit() {
    let mut stream = with_groups();
    let shared = stream.clone();
    let mut steps = 1;
    while stream.free_some(100) {
        steps += 1;
    }
    assert!((20..100).contains(&steps), "{steps}");
    assert_eq!((stream.log().nodes_len(), stream.groups().len(), stream.group_bytes), (0, 0, 0));
    assert_eq!(shared.log().range(ALL.0, ALL.1).count(), 2000);
}

#[test]
fn small_entries_take_little_more_than_their_bytes() {
    let mut stream = Stream::default();
    (1..=100_000).for_each(|ms| add(&mut stream, ms, &["field", "0123456789abcdef"]));
    let per_entry = stream.heap_bytes() as f64 / 100_000.0;
    assert!(per_entry < 32.0, "{per_entry} bytes");
}
