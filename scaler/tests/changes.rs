//! Changes of the cache state: who wins, who is waited for.

use std::time::{Duration, Instant};

use swell_node::control::{Answer, Ask, ToMember};
use swell_ring::CacheState;
use swell_scaler::Scaler;

use crate::fake::{FakeNode, Folder, Peer, join, person, proxy, stranger};

fn change(base: u64, value: &str) -> Ask {
    Ask::ChangeState { base, entries: vec![("maxmemory".to_owned(), value.to_owned())] }
}

/// The next state that is pushed.
fn state(peer: &mut Peer) -> CacheState {
    peer.hear_until("a state", |message| match message {
        ToMember::State(state) => Some(state.clone()),
        _ => None,
    })
}

fn started() -> (Folder, Scaler) {
    let folder = Folder::new();
    let scaler = folder.start();
    (folder, scaler)
}

#[test]
fn a_change_is_answered_when_every_member_has_it() {
    let (_folder, scaler) = started();
    let mut node = FakeNode::join(&scaler, join("one"));
    let (mut asker, welcome) = proxy(&scaler);
    let (mut other, _) = proxy(&scaler);
    let number = asker.ask_only(change(welcome.state.version, "1gb"));
    let next = state(&mut asker);
    assert_eq!((next.version, next.entries["maxmemory"].as_str()), (welcome.state.version + 1, "1gb"));
    assert_eq!((state(&mut node.peer), state(&mut other)), (next.clone(), next.clone()));
    asker.seen(&welcome.map, next.version);
    node.peer.seen(&welcome.map, next.version);
    // One is missing: whatever else is asked is answered, this is not.
    let nodes = asker.ask_only(Ask::Nodes);
    let first = asker.hear_until("any answer", |message| match message {
        ToMember::Answer { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(first, nodes);
    other.seen(&welcome.map, next.version);
    assert_eq!(asker.answer(number), Answer::StateChanged(next));
}

#[test]
fn of_two_changes_of_the_same_version_the_later_is_told_what_it_is_now() {
    let (_folder, scaler) = started();
    let (mut one, welcome) = proxy(&scaler);
    let mut two = person(&scaler);
    let base = welcome.state.version;
    let first = one.ask_only(change(base, "1gb"));
    let next = state(&mut one);
    let Answer::StateDiffers(now) = two.ask(change(base, "2gb")) else { panic!("it was changed already") };
    assert_eq!(now, next);
    one.seen(&welcome.map, next.version);
    assert_eq!(one.answer(first), Answer::StateChanged(next.clone()));
    let second = two.ask_only(change(next.version, "2gb"));
    let last = state(&mut one);
    one.seen(&welcome.map, last.version);
    assert_eq!(two.answer(second), Answer::StateChanged(last));
}

#[test]
fn who_does_not_confirm_is_named_after_two_seconds() {
    let (_folder, scaler) = started();
    let silent = FakeNode::join(&scaler, join("silent"));
    let began = Instant::now();
    let Answer::Refused { why } = person(&scaler).ask(change(silent.state.version, "1gb")) else {
        panic!("nobody has confirmed")
    };
    assert!(why.starts_with("TRYAGAIN") && why.contains("node 1"), "{why}");
    assert!(began.elapsed() >= Duration::from_secs(2));
    // It is the state nevertheless.
    let later = stranger(&scaler).join(join("later")).unwrap();
    assert_eq!(later.state.entries["maxmemory"], "1gb");
}

#[test]
fn a_proxy_that_goes_is_waited_for_no_longer() {
    let (_folder, scaler) = started();
    let (leaves, welcome) = proxy(&scaler);
    let mut asker = person(&scaler);
    let number = asker.ask_only(change(welcome.state.version, "1gb"));
    asker.nodes();
    drop(leaves);
    assert!(matches!(asker.answer(number), Answer::StateChanged(_)));
}

#[test]
fn settings_that_are_too_large_are_refused() {
    let (_folder, scaler) = started();
    let mut asker = person(&scaler);
    let Answer::StateDiffers(now) = asker.ask(change(u64::MAX, "x")) else { panic!("there is no such version") };
    let Answer::Refused { why } = asker.ask(change(now.version, &"x".repeat(2 << 20))) else {
        panic!("two megabytes of settings")
    };
    assert!(why.starts_with("ERR"), "{why}");
    assert!(matches!(asker.ask(change(now.version, "1gb")), Answer::StateChanged(_)));
}
