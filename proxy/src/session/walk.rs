//! Walks over the key space (KEYS, SCAN, FLUSHALL …) that run in this process, a slice at a time. What a walk has not
//! covered when slots leave this process is asked of their owners.

use swell_engine::commands::table::Command;
use swell_engine::spec::Body;
use swell_engine::walk::{Step, WalkState};
use swell_ring::{SLOTS, Slot, SlotSet};
use swell_wire::{Args, Out, OwnedArgs};

use crate::core::Core;
use crate::session::{Flow, Late, Session, fail, remote};

/// What walks over the key space for a client.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The command that walks.
    pub command: Command,
    /// The command that the client called and pays for.
    pub called: Command,
    /// What is answered instead of the walk's own words.
    pub answer: Option<&'static [u8]>,
}

/// A walk between two slices.
#[derive(Debug)]
pub struct Walking {
    walk: Walk,
    args: OwnedArgs,
    pub(crate) state: WalkState,
}

impl Walk {
    /// A command that walks for itself.
    pub fn of(command: Command) -> Walk {
        Walk { command, called: command, answer: None }
    }
}

impl Walking {
    /// The slots that have to be asked of their owners when slots have left this process or the walk has ended;
    /// nothing: its answer is complete.
    ///
    /// A flush must come to each slot once, lest it take away what was written since. All else may look twice: it begins
    /// anew, and what was found here is forgotten.
    fn left(&self, is_direct: bool) -> Option<SlotSet> {
        let (state, spec) = (&self.state, self.walk.command.spec);
        let wanted = || remote::wanted(spec, self.args.as_args());
        if state.only.is_none() {
            // In ascending order: what stands before the next slot is done.
            let rest = || (state.next..SLOTS).filter_map(|at| Slot::new(at as u16)).collect::<SlotSet>();
            return match (is_direct, spec.is_write()) {
                (true, _) => None,
                (false, false) => Some(wanted()),
                (false, true) => Some(rest()).filter(|rest| !rest.is_empty()),
            };
        }
        if state.in_order {
            // A part of the way is an answer, but no step at all would be taken for the end.
            let has_moved_on = state.next >= SLOTS || state.resume.is_some() || !state.covered.is_empty();
            return (!has_moved_on).then(wanted);
        }
        let mut left = wanted();
        left.subtract(&state.covered);
        match (left.is_empty(), spec.is_write()) {
            (true, _) => None,
            (false, true) => Some(left),
            (false, false) => Some(wanted()),
        }
    }
}

/// Begins a walk. Checked arguments, no keys.
pub fn begin(core: &mut Core, session: &mut Session, walk: Walk, args: Args<'_>, out: &mut Out) -> Flow {
    let Body::Walk(body) = &walk.command.spec.body else { return Flow::Done };
    let call = match session.call(walk.command, args, &[], core.now_ms) {
        Ok(call) => call,
        Err(denied) => return fail(core, session, denied.to_string().as_bytes(), out),
    };
    let wanted = remote::wanted(walk.command.spec, args);
    if !core.shared.route.is_direct() {
        return remote::walk(walk, args, wanted, 1);
    }
    match core.handle.walk_begin(body, &call) {
        Ok(mut state) => {
            // A slot that has left is passed by, and the map that says so may come only after the last slot: without
            // this nobody would know that something is missing. It costs a look at every slot, also at empty ones.
            state.only = core.shared.route.may_move().then_some(wanted);
            go_on(core, session, Box::new(Walking { walk, args: args.to_owned(true), state }), out)
        }
        Err(fault) => {
            core.charge(walk.called, 0, 0, 1, true);
            fail(core, session, fault.to_string().as_bytes(), out)
        }
    }
}

/// Runs the next slice of a walk; a short one is done with the first.
pub fn go_on(core: &mut Core, session: &mut Session, mut walking: Box<Walking>, out: &mut Out) -> Flow {
    let Walking { walk, args, state } = &mut *walking;
    let Body::Walk(body) = &walk.command.spec.body else { return Flow::Done };
    let call = match session.call(walk.command, args.as_args(), &[], core.now_ms) {
        Ok(call) => call,
        Err(denied) => return fail(core, session, denied.to_string().as_bytes(), out),
    };
    let step = core.handle.walk_step(body, state, &call);
    let is_direct = core.shared.route.is_direct();
    if step != Step::Done && is_direct {
        return Flow::Late(Late::Walk(walking, step));
    }
    if let Some(ticket) = walking.state.ticket.take() {
        // Its turn passes on.
        core.handle.engine().stripe(ticket.stripe()).cancel(ticket);
    }
    let left = walking.left(is_direct);
    let Walking { walk, args, state } = &mut *walking;
    if let Some(left) = left {
        let work = if walk.command.spec.is_write() { state.work } else { 1 };
        return remote::walk(*walk, args.as_args(), left, work);
    }
    let data_before = out.data_bytes();
    match walk.answer {
        Some(answer) => out.raw(answer),
        None => (body.end)(args.as_args(), state, out),
    }
    let bytes_out = out.data_bytes() - data_before;
    core.charge(walk.called, 0, bytes_out, state.work, false);
    Flow::Done
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use swell_engine::gate::Gate;
    use swell_engine::key::KeyHash;
    use swell_engine::stripe::stripe_of;
    use swell_meter::{Ledger, Profile, Tariff};
    use swell_node::Node;
    use swell_ring::{CacheState, Epoch, Member, NodeId, SlotMap};
    use swell_wire::requests::Kind;

    use super::*;
    use crate::clients::Door;
    use crate::config::ProxyConfig;
    use crate::route::NODES_MAX;
    use crate::session;
    use crate::shared::Shared;
    use crate::upstream::job::Job;

    const HERE: NodeId = NodeId(1);

    fn member(id: u32) -> Member {
        Member { id: NodeId(id), address: format!("unix:/n{id}"), zone: String::new() }
    }

    /// A proxy whose node has every slot, and may lose some where there may be several nodes.
    struct Bench {
        core: Core,
        session: Session,
    }

    impl Bench {
        fn new(nodes_max: u32) -> Bench {
            let config = ProxyConfig {
                workers: 1,
                maxclients: 10,
                query_buffer_bytes_max: 1 << 30,
                output_buffer_bytes_max: 1 << 20,
                timeout_seconds: 0,
                requirepass: None,
                acl_file: None,
                metering: true,
                prefix_separator: None,
                tariff: Tariff::new(Profile::Elasticache),
                node_id: "0".repeat(40),
                version: "1.2.3",
                control: None,
                local: Some(HERE),
                view: Arc::default(),
            };
            let core = Core::new(Shared::new(&config, Node::new(1), Arc::new(Ledger::new(0, 0))), 0);
            core.shared.route.set_map(SlotMap::single(Epoch(1), member(HERE.0)));
            let state = CacheState::default().changed([(NODES_MAX.to_owned(), nodes_max.to_string())]);
            core.shared.route.set_state(state);
            let nowhere = "127.0.0.1:1".parse().unwrap();
            let shared = core.shared.clone();
            let user = shared.access.users().default_user().clone();
            let info = shared.clients.add(Door::Resp, user, nowhere, nowhere, 0, 0);
            Bench { core, session: Session::new(info, &shared.access) }
        }

        fn run(&mut self, line: &str) -> (Flow, String) {
            let (args, mut out) = (OwnedArgs::from_slices(&line.split(' ').collect::<Vec<_>>()), Out::default());
            let kind = Kind::Plain { first: 0, count: 0 };
            let flow = session::run(&mut self.core, &mut self.session, Some(args.as_args()), kind, None, &mut out);
            (flow, String::from_utf8(out.to_vec()).unwrap())
        }

        fn go_on(&mut self, walking: Box<Walking>) -> (Flow, String) {
            let mut out = Out::default();
            let flow = go_on(&mut self.core, &mut self.session, walking, &mut out);
            (flow, String::from_utf8(out.to_vec()).unwrap())
        }

        fn gate(&self, slot: Slot, gate: Gate) {
            self.core.handle.engine().stripe(stripe_of(slot)).set_gate(slot, gate);
        }

        /// The slot goes to another node.
        fn lose(&self, slot: Slot) {
            self.gate(slot, Gate::Released);
            let mut slots = SlotSet::new();
            slots.insert(slot);
            let map = SlotMap::single(Epoch(1), member(HERE.0)).with_member(member(2)).assigned(&slots, NodeId(2));
            assert!(self.core.shared.route.set_map(map));
        }

        fn slot_of(&self, key: &str) -> Slot {
            let KeyHash { slot, .. } = self.core.handle.engine().hasher().key_hash(key.as_bytes(), 0);
            slot
        }

        /// A key of a slot in this range.
        fn key_in(&self, range: std::ops::Range<usize>) -> String {
            (0..100_000).map(|n| format!("k{n}")).find(|key| range.contains(&self.slot_of(key).index())).unwrap()
        }
    }

    fn asked((flow, reply): (Flow, String)) -> SlotSet {
        let Flow::Late(Late::Remote(remote)) = flow else { panic!("{reply:?}") };
        let Job::Walk { slots, .. } = remote.job else { panic!("not a walk") };
        slots
    }

    fn under_way((flow, reply): (Flow, String)) -> Box<Walking> {
        let Flow::Late(Late::Walk(walking, Step::More)) = flow else { panic!("{reply:?}") };
        walking
    }

    #[test]
    fn a_flush_comes_to_each_slot_once_when_slots_leave_in_between() {
        let mut bench = Bench::new(4);
        let (early, late) = (bench.key_in(0..100), bench.key_in(16_000..16_384));
        let walking = under_way(bench.run("flushall"));
        // Written after its slot was flushed.
        bench.run(&format!("set {early} 1"));
        bench.run(&format!("set {late} 1"));
        bench.lose(bench.slot_of(&early));
        let left = asked(bench.go_on(walking));
        assert!(!left.contains(bench.slot_of(&early)) && left.contains(bench.slot_of(&late)));
        assert!(left.len() > SLOTS / 2, "only some slices have run");
    }

    #[test]
    fn a_slot_that_leaves_before_the_map_says_so_is_asked_of_its_new_owner() {
        for (line, all) in [("flushall", false), ("flushdb", false), ("keys *", true)] {
            let mut bench = Bench::new(4);
            let gone = Slot::new(9_000).unwrap();
            bench.gate(gone, Gate::Released);
            let mut result = bench.run(line);
            while let Flow::Late(Late::Walk(walking, Step::More)) = result.0 {
                result = bench.go_on(walking);
            }
            let left = asked(result);
            assert_eq!((left.contains(gone), left.len()), (true, if all { SLOTS } else { 1 }), "{line}");
        }
        let mut bench = Bench::new(4);
        bench.gate(Slot::new(0).unwrap(), Gate::Released);
        let (flow, reply) = bench.run("scan 0");
        assert!(matches!(flow, Flow::Late(Late::Remote(_))), "cursor 0 would be the end: {reply}");
    }

    #[test]
    fn a_walk_that_stays_here_is_answered_here() {
        for nodes_max in [1, 4] {
            let mut bench = Bench::new(nodes_max);
            bench.run("set k 1");
            for (line, want) in [
                ("keys *", "*1\r\n$1\r\nk\r\n"),
                ("scan 0 count 1000", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"),
                ("cluster countkeysinslot 7629", ":1\r\n"),
                ("cluster getkeysinslot 7629 5", "*1\r\n$1\r\nk\r\n"),
                ("flushall", "+OK\r\n"),
                ("keys *", "*0\r\n"),
            ] {
                let mut result = bench.run(line);
                while let Flow::Late(Late::Walk(walking, Step::More)) = result.0 {
                    result = bench.go_on(walking);
                }
                assert_eq!((matches!(result.0, Flow::Done), result.1.as_str()), (true, want), "{line} {nodes_max}");
            }
        }
    }
}
