//! CLUSTER COUNTKEYSINSLOT, CLUSTER GETKEYSINSLOT.

use swell_ring::Slot;
use swell_wire::{Args, Out};

use crate::commands::grammar::plain_arg;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::walk::{WalkBody, WalkState};

/// Keys visited under one lock.
const CHUNK_KEYS: usize = 256;
const NO_SLOT: Fault = Fault::say("ERR Invalid slot");
const NO_SLOT_OR_COUNT: Fault = Fault::say("ERR Invalid slot or number of keys");

pub static COUNTKEYSINSLOT: Spec = Spec {
    name: "cluster|countkeysinslot",
    summary: "Counts the keys of a slot.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Cluster,
    arity: 3,
    flags: Flags::STALE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::EveryNode(Merge::Sum),
    tips: &[],
    arguments: &[plain_arg("slot", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin: begin_count, slot: count, end: end_count }),
};

pub static GETKEYSINSLOT: Spec = Spec {
    name: "cluster|getkeysinslot",
    summary: "Lists some keys of a slot.",
    since: "3.0.0",
    complexity: "O(N) where N is the number of requested keys",
    group: Group::Cluster,
    arity: 4,
    flags: Flags::STALE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::EveryNode(Merge::Union),
    tips: &["nondeterministic_output"],
    arguments: &[plain_arg("slot", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Walk(WalkBody { begin: begin_list, slot: list, end: end_list }),
};

fn begin_count(_: &Exec<'_>, args: Args<'_>, state: &mut WalkState) -> Reply {
    state.next = asked(args)?.ok_or(NO_SLOT)?.index();
    Ok(())
}

fn count(cx: &mut Exec<'_>, args: Args<'_>, slot: Slot, state: &mut WalkState) {
    if is_asked(args, slot) {
        state.wanted = cx.slot_len(slot, cx.db()) as usize;
    }
    stop_behind(slot, state);
}

fn end_count(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    out.int(state.wanted as i64);
}

/// Both numbers are read before either is judged.
fn begin_list(_: &Exec<'_>, args: Args<'_>, state: &mut WalkState) -> Reply {
    let (slot, keys) = (asked(args)?, parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?);
    state.next = slot.ok_or(NO_SLOT_OR_COUNT)?.index();
    state.wanted = usize::try_from(keys).map_err(|_| NO_SLOT_OR_COUNT)?;
    Ok(())
}

fn list(cx: &mut Exec<'_>, args: Args<'_>, slot: Slot, state: &mut WalkState) {
    if !is_asked(args, slot) || state.wanted == 0 {
        return stop_behind(slot, state);
    }
    let before = state.visited;
    let chunk = (state.wanted - state.found_count).min(CHUNK_KEYS);
    state.resume = cx.scan_slot(slot, cx.db(), state.resume.unwrap_or(0), chunk, |entry| {
        state.visited += 1;
        // A scan may show more than it was asked for.
        if state.found_count < state.wanted {
            state.found.bulk(entry.key());
            state.found_count += 1;
        }
    });
    cx.work(state.visited - before);
    if state.found_count == state.wanted || state.resume.is_none() {
        stop_behind(slot, state);
    }
}

/// Nothing else is wanted: this slot has been looked at, as far as it matters.
fn stop_behind(slot: Slot, state: &mut WalkState) {
    (state.stop, state.resume, state.next) = (true, None, slot.index() + 1);
}

fn end_list(_: Args<'_>, state: &mut WalkState, out: &mut Out) {
    out.array(state.found_count);
    out.append(&mut state.found);
}

/// The slot in the request; nothing: there is no such slot.
fn asked(args: Args<'_>) -> Result<Option<Slot>, Fault> {
    let number = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    Ok(u16::try_from(number).ok().and_then(Slot::new))
}

/// A walk passes over empty stripes, so the first slot it visits may be a later one.
fn is_asked(args: Args<'_>, slot: Slot) -> bool {
    asked(args) == Ok(Some(slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::Admitted;
    use crate::engine::{Engine, Local};
    use crate::entry::NewValue;
    use crate::exec::Context;
    use crate::exec::{Call, McField, Ttl};
    use crate::walk::Step;
    use swell_wire::{OwnedArgs, Proto};

    /// All in slot 12182: the stripes of most other slots are empty.
    const KEYS: usize = 600;

    #[test]
    fn only_the_slot_asked_for_is_looked_at() {
        let engine = Engine::new(7);
        let mut local = engine.local(7);
        (0..KEYS).for_each(|n| put(&engine, &mut local, &format!("{{foo}}{n}")));
        let count = |local: &mut Local, slot: &str| run(&engine, local, &COUNTKEYSINSLOT, &["CLUSTER", "", slot]);
        assert_eq!(count(&mut local, "12182"), format!(":{KEYS}\r\n"));
        assert_eq!(count(&mut local, "0"), ":0\r\n");
        assert_eq!(count(&mut local, "12181"), ":0\r\n");
        let list = |local: &mut Local, slot: &str, keys: &str| {
            let reply = run(&engine, local, &GETKEYSINSLOT, &["CLUSTER", "", slot, keys]);
            (reply.lines().next().unwrap_or_default().to_owned(), reply.matches("{foo}").count())
        };
        for (asked, expected) in [("0", 0), ("1", 1), ("5", 5), ("599", 599), ("600", 600), ("100000", 600)] {
            assert_eq!(list(&mut local, "12182", asked), (format!("*{expected}"), expected));
        }
        assert_eq!(list(&mut local, "12180", "10"), ("*0".to_owned(), 0));
    }

    fn call<'a>(spec: &'static Spec, args: Args<'a>) -> Call<'a> {
        let context = Context { now_ms: 1_000, ..Context::default() };
        Admitted::from_link(spec, args).call(&[], context)
    }

    fn put(engine: &Engine, local: &mut Local, key: &str) {
        let args = OwnedArgs::default();
        let call = call(&COUNTKEYSINSLOT, args.as_args());
        let mut cx = Exec::new(engine, local, &call);
        let key = cx.key_of(key.as_bytes());
        cx.put(key, NewValue::Bytes(b"v"), Ttl::Clear, McField::Clear);
    }

    fn run(engine: &Engine, local: &mut Local, spec: &'static Spec, words: &[&str]) -> String {
        let args = OwnedArgs::from_slices(words);
        let (call, Body::Walk(body)) = (call(spec, args.as_args()), &spec.body) else { panic!("these are walks") };
        let mut state = WalkState::begin(body, engine, local, &call).expect("a good request");
        while state.step(body, engine, local, &call, false) != Step::Done {}
        let mut out = Out::new(Proto::Resp2);
        (body.end)(call.args, &mut state, &mut out);
        String::from_utf8(out.to_vec()).expect("keys of these tests are text")
    }
}
