//! A scaler that starts again: what it knows, what it has to find out.

use swell_node::control::{Answer, Ask, Join, ScalingMode};
use swell_ring::{CacheState, Member, NodeId, SlotSet};
use swell_scaler::{Scaler, ScalerConfig, ScalerError, ScalingConfig};

use crate::fake::{FakeNode, Folder, join, person};

fn durable(folder: &Folder) -> ScalerConfig {
    ScalerConfig { data_dir: Some(folder.path().to_owned()), ..folder.config() }
}

fn state(entries: &[(&str, &str)]) -> CacheState {
    let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    CacheState { version: 0, entries: entries.collect() }
}

#[test]
fn nodes_that_lived_on_keep_their_numbers_and_slots() {
    let folder = Folder::new();
    let scaler = Scaler::start(durable(&folder)).unwrap();
    let one = FakeNode::join(&scaler, join("one"));
    let epoch = person(&scaler).map().epoch();
    scaler.stop();
    drop(one.peer);
    let scaler = Scaler::start(durable(&folder)).unwrap();
    let mut asker = person(&scaler);
    asker.event_with("incarnation 2");
    let map = asker.map();
    assert_eq!((map.epoch() >= epoch, map.slots_of(NodeId(1))), (true, SlotSet::all()), "it is waited for");
    assert_eq!(asker.nodes()[0].state, "gone");
    let two = FakeNode::join(&scaler, join("two"));
    assert_eq!(two.id, NodeId(2), "numbers go on");
    let again = FakeNode::join(&scaler, Join { id: Some(one.id), ..join("one") });
    let slot = swell_ring::slot_of(b"k");
    assert_eq!((again.id, again.map.since(slot)), (one.id, one.map.since(slot)), "its data is still good");
}

#[test]
fn what_was_in_the_old_process_is_gone_and_its_slots_begin_anew() {
    let folder = Folder::new();
    let member = Member { id: NodeId(1), address: "unix:/run/own.sock".to_owned(), zone: String::new() };
    let config = ScalerConfig { embedded: Some(member), ..durable(&folder) };
    let slot = swell_ring::slot_of(b"k");
    let mut last = swell_ring::Epoch(0);
    for _ in 0..3 {
        let scaler = Scaler::start(config.clone()).unwrap();
        let map = person(&scaler).map();
        assert_eq!(map.slots_of(NodeId(1)), SlotSet::all());
        assert!(map.since(slot) > last, "{} > {last}", map.since(slot));
        last = map.epoch();
        scaler.stop();
    }
}

#[test]
fn epochs_and_versions_go_on_without_a_data_directory_too() {
    let folder = Folder::new();
    let first = folder.start();
    let one = FakeNode::join(&first, join("one"));
    first.stop();
    let second = folder.start();
    let later = FakeNode::join(&second, join("one"));
    assert!(later.map.epoch() > one.map.epoch(), "{} > {}", later.map.epoch(), one.map.epoch());
    assert!(later.state.version >= one.state.version);
}

#[test]
fn settings_that_clients_changed_hold_until_they_are_configured_anew() {
    let folder = Folder::new();
    let configured = |entries: &[(&str, &str)]| ScalerConfig { state: state(entries), ..durable(&folder) };
    let now = |scaler: &Scaler| match person(scaler).ask(Ask::ChangeState { base: u64::MAX, entries: Vec::new() }) {
        Answer::StateDiffers(state) => state,
        other => panic!("{other:?}"),
    };
    let scaler = Scaler::start(configured(&[("a", "1"), ("b", "1"), ("c", "1")])).unwrap();
    assert_eq!(now(&scaler), state(&[("a", "1"), ("b", "1"), ("c", "1")]));
    scaler.stop();
    // Nobody has changed anything: what is configured is all there is.
    let scaler = Scaler::start(configured(&[("a", "1"), ("b", "1")])).unwrap();
    assert_eq!(now(&scaler), state(&[("a", "1"), ("b", "1")]));
    let entries = vec![("a".to_owned(), "2".to_owned()), ("x".to_owned(), "2".to_owned())];
    let changed = person(&scaler).ask(Ask::ChangeState { base: 0, entries });
    assert!(matches!(changed, Answer::StateChanged(CacheState { version: 1, .. })), "{changed:?}");
    scaler.stop();
    let scaler = Scaler::start(configured(&[("a", "1"), ("b", "1")])).unwrap();
    assert_eq!(now(&scaler), CacheState { version: 1, ..state(&[("a", "2"), ("b", "1"), ("x", "2")]) });
    scaler.stop();
    let scaler = Scaler::start(configured(&[("a", "3"), ("d", "3")])).unwrap();
    assert_eq!(now(&scaler), CacheState { version: 2, ..state(&[("a", "3"), ("d", "3"), ("x", "2")]) });
}

#[test]
fn a_damaged_store_is_refused() {
    let folder = Folder::new();
    Scaler::start(durable(&folder)).unwrap().stop();
    let path = folder.path().join(swell_scaler::store::file::NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let why = Scaler::start(durable(&folder)).unwrap_err();
    assert!(matches!(why, ScalerError::Store(_)), "{why}");
    assert!(why.to_string().contains("damaged"), "{why}");
}

#[test]
fn what_was_asked_of_scaling_holds_until_it_is_configured_anew() {
    let folder = Folder::new();
    let start = |mode| {
        let scaling = ScalingConfig { mode, ..ScalingConfig::off() };
        Scaler::start(ScalerConfig { scaling, ..durable(&folder) }).unwrap()
    };
    let modes = |scaler: &Scaler, ask: Ask| match person(scaler).ask(ask) {
        Answer::Status(status) => (status.scaling.mode, status.scaling.configured_mode),
        other => panic!("{other:?}"),
    };
    let (on, dry_run, paused) = (ScalingMode::On, ScalingMode::DryRun, ScalingMode::Paused);
    let scaler = start(on);
    assert_eq!(modes(&scaler, Ask::Status), (on, on));
    assert_eq!(modes(&scaler, Ask::Scale(paused)), (paused, on));
    scaler.stop();
    for _ in 0..2 {
        let scaler = start(on);
        assert_eq!(modes(&scaler, Ask::Status), (paused, on));
        let event = person(&scaler).event_with("scaling is paused, as somebody has asked of an earlier scaler");
        assert_eq!(event.kind, "mode");
        scaler.stop();
    }
    let scaler = start(dry_run);
    assert_eq!(modes(&scaler, Ask::Status), (dry_run, dry_run));
    person(&scaler)
        .event_with("scaling is dry-run now, as configured: paused, which somebody has asked for, was over on");
    scaler.stop();
    // That was its end.
    let scaler = start(on);
    assert_eq!(modes(&scaler, Ask::Status), (on, on));
    assert_eq!(modes(&scaler, Ask::Scale(dry_run)), (dry_run, on));
    assert_eq!(modes(&scaler, Ask::Scale(on)), (on, on));
    scaler.stop();
    assert_eq!(modes(&start(on), Ask::Status), (on, on));
}
