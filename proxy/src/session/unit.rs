//! A transaction that runs in this process: its locks are taken once, and its requests run a slice at a time, others in
//! between. Who wants one of its stripes waits for its end; nobody sees half of it. It runs to its end, whether or not its
//! client is still there.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use swell_engine::bulk::{Lending, PartAnswer};
use swell_engine::commands::table::Command;
use swell_engine::spec::Body;
use swell_engine::stripe::Ticket;
use swell_engine::unit::{Step, Suspended, Unit};
use swell_engine::{Db, Outcome};
use swell_meter::Prefix;
use swell_node::Node;
use swell_node::copies::Expected;
use swell_wire::Out;

use crate::core::Core;
use crate::observe::Bounds;
use crate::plan::value_bytes;
use crate::pubsub;
use crate::session::multi::{note_refused_inside, run_inside};
use crate::session::queue::{self, Chunk, Queue, Queued};
use crate::session::watch::{self, Watch};
use crate::session::{Flow, Late, Session, count_error_at};

/// Work that is done in one go: some hundred microseconds.
const SLICE_WORK: u64 = 512;
/// Answers up to this length are copied.
const SHORT_BYTES: usize = 16 * 1024;

/// A transaction that has its locks.
pub struct Executing {
    /// EXEC.
    command: Command,
    /// What is to come after `chunk`.
    queue: Box<Queue>,
    /// Where it is, and which of its requests is next.
    chunk: Chunk,
    next: usize,
    /// Requests that have run.
    done: usize,
    rest: Rest,
    /// A helper thread is at the next request.
    lending: Option<Lending>,
    /// What that has answered.
    answered: Option<PartAnswer>,
    /// Which requests of this slice are told by themselves.
    bounds: Bounds,
    /// Unix milliseconds, the same for all its requests.
    now_ms: u64,
    /// The database of the next request.
    db: Db,
    answer: Out,
    /// Every change is told while it runs.
    _expected: Option<Expected>,
    /// How long its client waits for the answer: DEBUG SLEEP inside a transaction holds up nobody else.
    sleep: Duration,
}

/// A unit while others run; its locks are given back if it is not taken up again.
struct Rest {
    node: Arc<Node>,
    /// Nothing: it runs, or has ended.
    unit: Option<Suspended>,
}

/// What is known of a request before it runs, for its price.
struct Bill {
    prefix: Prefix,
    bytes_in: u64,
    at: usize,
    data_before: u64,
}

impl std::fmt::Debug for Executing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executing").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Executing {
    /// Whether it can go on; if not, this is woken when it can.
    pub fn is_ready(&mut self, waker: &Waker) -> bool {
        let Some(lending) = &mut self.lending else { return true };
        self.answered = lending.take(waker);
        self.answered.is_some()
    }

    /// Takes the locks and runs the first slice.
    ///
    /// # Errors
    /// It has to wait, and nothing has run: the queue comes back.
    pub fn begin(
        core: &mut Core,
        session: &mut Session,
        command: Command,
        queue: Box<Queue>,
        ticket: Option<Ticket>,
        out: &mut Out,
    ) -> Result<Flow, (Outcome, Box<Queue>)> {
        let watch = session.watch.take();
        let watching = match &watch {
            None => None,
            Some(Watch::Here(watching)) => Some(watching),
            Some(Watch::There { .. } | Watch::Lost) => return Ok(stale(core, session, command, out)),
        };
        let (node, now_ms) = (core.handle.node().clone(), core.now_ms);
        let begun = core.handle.begin_unit(&node, &queue.needs, watching, now_ms, ticket);
        let unit = match begun {
            Ok(unit) => unit,
            Err(outcome) => {
                session.watch = watch;
                return Err((outcome, queue));
            }
        };
        if unit.is_stale() {
            core.handle.end_unit(unit);
            session.watch = watch;
            return Ok(stale(core, session, command, out));
        }
        let expected = queue.has_tracking.then(|| node.expect_prefixes(&unit));
        let mut answer = Out::new(session.proto);
        answer.array(queue.len());
        let mut executing = Executing {
            command,
            queue,
            chunk: Chunk::default(),
            next: 0,
            done: 0,
            rest: Rest { node: node.clone(), unit: None },
            lending: None,
            answered: None,
            bounds: Bounds::default(),
            now_ms,
            db: session.db,
            answer,
            _expected: expected,
            sleep: Duration::ZERO,
        };
        let Some(unit) = executing.run_slice(core, session, unit) else {
            // The watched keys' locks are held: they are forgotten at the end.
            session.watch = watch;
            return Ok(Flow::Late(Late::Unit(Box::new(executing))));
        };
        core.handle.end_unit(unit);
        if let Some(Watch::Here(watching)) = watch {
            core.handle.engine().unwatch(watching);
        }
        Ok(executing.end(core, session, out))
    }

    /// Runs requests until it is others' turn. Nothing: the unit is suspended.
    fn run_slice<'n>(&mut self, core: &mut Core, session: &mut Session, unit: Unit<'n>) -> Option<Unit<'n>> {
        let (mut chunk, from) = (std::mem::take(&mut self.chunk), self.done);
        self.bounds = core.observer.begin_group(self.queue.len() - from);
        let is_over = self.run_chunks(core, session, &unit, &mut chunk);
        // Of two chunks the end.
        let ran = self.next.saturating_sub(self.done - from)..self.next;
        core.end_slice(session, ran.filter_map(|at| chunk.get(at)).map(|queued| (queued.command, queued.args)));
        self.chunk = chunk;
        if is_over {
            return Some(unit);
        }
        self.rest.unit = Some(core.handle.suspend_unit(unit));
        None
    }

    /// The same; whether all have run.
    fn run_chunks(&mut self, core: &mut Core, session: &mut Session, unit: &Unit<'_>, chunk: &mut Chunk) -> bool {
        let mut work = 0;
        loop {
            while let Some(queued) = chunk.get(self.next) {
                // It stays where it is until a helper has run it.
                let Some(done) = self.run_next(core, session, unit, queued) else { return false };
                work += done;
                self.next += 1;
                self.done += 1;
                if work >= SLICE_WORK && self.done < self.queue.len() {
                    return false;
                }
            }
            let Some(following) = self.queue.next_chunk() else { return true };
            (*chunk, self.next) = (following, 0);
        }
    }

    /// Runs the next request; its work. Nothing: a helper thread runs it.
    fn run_next(&mut self, core: &mut Core, session: &mut Session, unit: &Unit<'_>, queued: Queued<'_>) -> Option<u64> {
        let bill = self.bill(core, session, queued);
        if let Some(denied) = self.queue.denied(self.done) {
            note_refused_inside(core, session, denied, queued.args, &mut self.answer);
            return Some(1);
        }
        if !matches!(queued.command.spec.body, Body::Session | Body::Container) {
            return self.run_one(core, session, unit, queued, &bill);
        }
        core.observer.begin_alone();
        self.sleep += run_inside(core, session, queued.command, queued.args, &mut self.answer);
        self.answer.set_proto(session.proto);
        if queued.command.spec.name == "select" {
            self.db = session.db;
        }
        Some(1)
    }

    /// Runs a request on the data; its work. Nothing: a helper thread runs it.
    fn run_one(
        &mut self,
        core: &mut Core,
        session: &mut Session,
        unit: &Unit<'_>,
        queued: Queued<'_>,
        bill: &Bill,
    ) -> Option<u64> {
        let Queued { args, keys, .. } = queued;
        let (work, failed) = if let Some(answered) = self.answered.take() {
            self.lending = None;
            if answered.failed {
                count_error_at(core, &answered.out, 0);
            }
            append(answered.out, &mut self.answer);
            let bytes_out = self.answer.data_bytes() - bill.data_before;
            core.charge_on(bill.prefix, queued.command, bill.bytes_in, bytes_out, answered.work, answered.failed);
            return Some(1);
        } else {
            let call = match session.call_in(self.db, queued.command, args, keys, self.now_ms) {
                Ok(call) => call,
                Err(denied) => {
                    note_refused_inside(core, session, &denied, args, &mut self.answer);
                    return Some(1);
                }
            };
            let is_limited = matches!(queued.command.spec.body, Body::Script(_)) && !session.is_trusted;
            if is_limited {
                core.handle.set_script_user(Some(session.user.clone()));
            }
            let done = match core.handle.step_unit(unit, &call, &mut self.answer) {
                Step::Done { work, failed } => Ok((work, failed)),
                Step::Much => core.handle.lend_in_unit(unit, &call, &mut self.answer).map_or_else(Ok, Err),
            };
            if is_limited {
                core.handle.set_script_user(None);
            }
            match done {
                Ok(done) => done,
                Err(lending) => {
                    self.lending = Some(lending);
                    return None;
                }
            }
        };
        let bytes_out = self.answer.data_bytes() - bill.data_before;
        core.charge_on(bill.prefix, queued.command, bill.bytes_in, bytes_out, work, failed);
        if failed {
            count_error_at(core, &self.answer, bill.at);
        }
        if work >= self.bounds.work || bytes_out >= self.bounds.bytes || args.len() >= self.bounds.args {
            core.saw(session, queued.command, args, (self.answer.len() - bill.at) as u64);
        }
        Some(work)
    }

    fn bill(&self, core: &mut Core, session: &mut Session, queued: Queued<'_>) -> Bill {
        let bytes_in = value_bytes(queued.command.spec, queued.args);
        let prefix = core.prefix_of(queued.args, queued.keys);
        session.pays_in(core, self.db);
        Bill { prefix, bytes_in, at: self.answer.len(), data_before: self.answer.data_bytes() }
    }

    /// Its locks are given back.
    fn end(self, core: &mut Core, session: &mut Session, out: &mut Out) -> Flow {
        let Executing { command, queue, chunk, answer, sleep, .. } = self;
        queue::give_back(core, queue, chunk);
        session.show();
        session.pays(core);
        core.charge(command, 0, 0, 1, false);
        if !sleep.is_zero() {
            return Flow::Late(Late::Sleep(sleep, answer));
        }
        if std::mem::take(&mut session.is_telling)
            && let Some(version) = pubsub::untold(core)
        {
            return Flow::Late(Late::Told(version, answer));
        }
        append(answer, out);
        out.set_proto(session.proto);
        Flow::Done
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // Only where the process ends: clients wait for theirs.
        if let Some(unit) = self.unit.take() {
            unit.abandon(self.node.engine());
        }
    }
}

/// Runs the next slice.
pub fn go_on(core: &mut Core, session: &mut Session, mut executing: Box<Executing>, out: &mut Out) -> Flow {
    let Some(mut unit) = executing.rest.unit.take() else { return Flow::Done };
    if let Some(answered) = &mut executing.answered {
        unit.take_over(answered);
    }
    let node = executing.rest.node.clone();
    let unit = core.handle.resume_unit(&node, unit);
    let Some(unit) = executing.run_slice(core, session, unit) else {
        return Flow::Late(Late::Unit(executing));
    };
    core.handle.end_unit(unit);
    watch::forget(core, session);
    executing.end(core, session, out)
}

/// A watched key has changed: nothing has run.
pub fn stale(core: &mut Core, session: &mut Session, command: Command, out: &mut Out) -> Flow {
    watch::forget(core, session);
    core.charge(command, 0, 0, 1, false);
    out.null_array();
    Flow::Done
}

fn append(mut from: Out, out: &mut Out) {
    match from.len() {
        ..=SHORT_BYTES => out.append(&mut from),
        _ => out.attach(from),
    }
}

#[cfg(test)]
mod tests {
    use swell_meter::{Ledger, Profile, Tariff};
    use swell_ring::{Epoch, Member, NodeId, SlotMap};
    use swell_wire::requests::Kind;

    use super::*;
    use crate::clients::Door;
    use crate::config::ProxyConfig;
    use crate::session;
    use crate::shared::Shared;

    /// Commands of a transaction that takes several slices.
    const MANY: usize = 5 * SLICE_WORK as usize;

    struct Bench {
        core: Core,
    }

    impl Bench {
        fn new() -> Bench {
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
                local: Some(NodeId(1)),
                view: Arc::default(),
            };
            let core = Core::new(Shared::new(&config, Node::new(1), Arc::new(Ledger::new(0, 0))), 0);
            let member = Member { id: NodeId(1), address: "unix:/n1".to_owned(), zone: String::new() };
            core.shared.route.set_map(SlotMap::single(Epoch(1), member));
            Bench { core }
        }

        fn client(&self) -> Session {
            let nowhere = "127.0.0.1:1".parse().unwrap();
            let shared = &self.core.shared;
            let user = shared.access.users().default_user().clone();
            let info = shared.clients.add(Door::Resp, user, nowhere, nowhere, 0, 0);
            Session::new(info, &shared.access)
        }

        fn run(&mut self, session: &mut Session, words: &[&str]) -> (Flow, String) {
            let (args, mut out) = (swell_wire::OwnedArgs::from_slices(words), Out::default());
            let kind = Kind::Plain { first: 0, count: 0 };
            let flow = session::run(&mut self.core, session, Some(args.as_args()), kind, None, &mut out);
            (flow, String::from_utf8(out.to_vec()).unwrap())
        }

        fn line(&mut self, session: &mut Session, line: &str) -> (Flow, String) {
            self.run(session, &line.split(' ').collect::<Vec<_>>())
        }

        fn says(&mut self, session: &mut Session, line: &str, want: &str) {
            let (flow, reply) = self.line(session, line);
            assert!(matches!(flow, Flow::Done) && reply == want, "{line}: {reply}");
        }

        /// Goes on until it is done, calling `between` before each slice; returns the answer and the slices.
        fn finish(
            &mut self,
            session: &mut Session,
            (mut flow, mut reply): (Flow, String),
            mut between: impl FnMut(&mut Bench),
        ) -> (String, usize) {
            let mut slices = 1;
            loop {
                match flow {
                    Flow::Done => return (reply, slices),
                    Flow::Late(Late::Unit(mut executing)) => {
                        between(self);
                        while !executing.is_ready(Waker::noop()) {
                            std::thread::yield_now();
                        }
                        let mut out = Out::default();
                        flow = go_on(&mut self.core, session, executing, &mut out);
                        reply = String::from_utf8(out.to_vec()).unwrap();
                        slices += 1;
                    }
                    Flow::Late(_) => panic!("it waits for something else: {reply}"),
                }
            }
        }
    }

    #[test]
    fn others_run_between_slices_and_nobody_sees_half() {
        let mut bench = Bench::new();
        let (mut one, mut other) = (bench.client(), bench.client());
        bench.says(&mut one, "multi", "+OK\r\n");
        for _ in 0..MANY {
            bench.says(&mut one, "incr n", "+QUEUED\r\n");
        }
        let begun = bench.line(&mut one, "exec");
        let (reply, slices) = bench.finish(&mut one, begun, |bench| {
            bench.says(&mut other, "set {elsewhere}k v", "+OK\r\n");
            let (flow, reply) = bench.line(&mut other, "get n");
            assert!(matches!(flow, Flow::Late(Late::Stripe(_))), "{reply}");
        });
        assert!(slices >= 5, "{slices}");
        assert!(reply.starts_with(&format!("*{MANY}\r\n:1\r\n:2\r\n")) && reply.ends_with(&format!(":{MANY}\r\n")));
        bench.says(&mut other, "get n", &format!("${}\r\n{MANY}\r\n", MANY.to_string().len()));
        assert!(one.multi.is_none());
    }

    #[test]
    fn a_script_in_a_transaction_runs_elsewhere_and_at_its_place() {
        let mut bench = Bench::new();
        let mut one = bench.client();
        for line in ["multi", "set k 1", "select 3", "set k 2", "select 0"] {
            bench.line(&mut one, line);
        }
        let script = "redis.call('INCRBY', KEYS[1], 10) return redis.call('GET', KEYS[1])";
        bench.run(&mut one, &["eval", script, "1", "k"]);
        bench.says(&mut one, "incr k", "+QUEUED\r\n");
        let begun = bench.line(&mut one, "exec");
        assert!(matches!(begun.0, Flow::Late(Late::Unit(_))), "it has not proved short");
        let (reply, _) = bench.finish(&mut one, begun, |_| {});
        assert_eq!(reply, "*6\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n$2\r\n11\r\n:12\r\n");
    }

    #[test]
    fn an_endless_script_in_a_transaction_can_be_killed_and_the_rest_runs() {
        let mut bench = Bench::new();
        let (mut one, mut other) = (bench.client(), bench.client());
        bench.line(&mut one, "multi");
        bench.run(&mut one, &["eval", "while true do end", "1", "k"]);
        bench.line(&mut one, "set k v");
        let begun = bench.line(&mut one, "exec");
        let (reply, _) = bench.finish(&mut one, begun, |bench| {
            bench.says(&mut other, "set {elsewhere}k v", "+OK\r\n");
            while bench.line(&mut other, "script kill").1 != "+OK\r\n" {
                std::thread::yield_now();
            }
        });
        assert!(
            reply.starts_with("*2\r\n-ERR ") && reply.contains("SCRIPT KILL") && reply.ends_with("+OK\r\n"),
            "{reply}"
        );
        bench.says(&mut other, "get k", "$1\r\nv\r\n");
    }

    #[test]
    fn a_watched_key_that_has_changed_stops_it_and_one_that_waits_is_served_at_the_end() {
        let mut bench = Bench::new();
        let (mut one, mut other) = (bench.client(), bench.client());
        bench.line(&mut one, "watch k");
        bench.line(&mut other, "set k 1");
        bench.line(&mut one, "multi");
        for _ in 0..MANY {
            bench.line(&mut one, "rpush list v");
        }
        bench.says(&mut one, "exec", "*-1\r\n");
        bench.says(&mut one, "exists list", ":0\r\n");
        let (flow, _) = bench.line(&mut other, "blpop list 0");
        let Flow::Late(Late::Blocked(answering)) = flow else { panic!("it waits") };
        bench.line(&mut one, "multi");
        for _ in 0..MANY {
            bench.line(&mut one, "rpush list v");
        }
        let begun = bench.line(&mut one, "exec");
        bench.finish(&mut one, begun, |_| {
            assert!(!answering.is_ready_or_wakes(Waker::noop()), "not before the transaction has ended");
        });
        assert!(answering.is_ready_or_wakes(Waker::noop()));
        bench.says(&mut one, "llen list", &format!(":{}\r\n", MANY - 1));
    }
}
