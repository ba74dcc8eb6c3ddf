//! Commands count what they do: of each the calibration's requests, in the order of their size, have more work each.

#[path = "../examples/calibrate/cases.rs"]
mod cases;
#[path = "../examples/calibrate/requests.rs"]
#[expect(dead_code, reason = "the calibration needs more of it")]
mod requests;

use std::collections::HashMap;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::spec::{Body, Group, WorkUnit};
use swell_engine::{Context, Engine, Local, Outcome};
use swell_wire::{Out, OwnedArgs, Proto};

use cases::CASES;
use requests::{Dataset, Maker, Request};

const NOW_MS: u64 = 1_795_392_000_000;

struct Cache {
    engine: Engine,
    local: Local,
}

impl Cache {
    fn new() -> Cache {
        let engine = Engine::new(1);
        let local = engine.local(1);
        Cache { engine, local }
    }

    /// The work, and the reply.
    fn run(&mut self, request: &Request) -> (u64, Vec<u8>) {
        let args = OwnedArgs::from_slices(request);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{request:?} is a command") };
        let (mut keys, mut out) = (Vec::new(), Out::new(Proto::Resp2));
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: NOW_MS, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        match self.engine.execute(&mut self.local, &call, None, &mut out) {
            Outcome::Done { work, failed: false } => (work, out.to_vec()),
            outcome => panic!("{}: {outcome:?}, {}", command.spec.name, String::from_utf8_lossy(&out.to_vec())),
        }
    }

    /// The work of a template's request on data of its own.
    fn work_of(template: &str) -> u64 {
        let mut cache = Cache::new();
        // Two keys of each set, so that several keys are not always the same.
        let mut maker = Maker::new(2);
        for dataset in Dataset::of_template(template) {
            maker.load(dataset).for_each(|request| drop(cache.run(&request)));
        }
        for key in Maker::dumps_wanted(template) {
            let (_, reply) = cache.run(&vec![b"dump".to_vec(), key.clone().into_bytes()]);
            let begin = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
            maker.tell_dump(key, reply[begin..reply.len() - 2].to_vec());
        }
        let request = maker.request(template);
        cache.run(&request).0
    }
}

#[test]
fn more_elements_are_more_work() {
    for case in CASES {
        let unit = tables().resp.by_name(case.name.as_bytes()).expect(case.name).spec.cost.work;
        let work: Vec<u64> = case.templates.iter().map(|template| Cache::work_of(template)).collect();
        if unit == WorkUnit::Call {
            assert!(work.iter().all(|work| *work == 1), "{} counts calls: {work:?}", case.name);
            continue;
        }
        assert!(work.len() > 1, "{} has no larger request", case.name);
        assert!(work[0] >= 1 && work.windows(2).all(|pair| pair[0] < pair[1]), "{}: {work:?}", case.name);
    }
}

#[test]
fn every_command_on_collections_is_among_the_cases() {
    let cases: HashMap<&str, usize> = CASES.iter().map(|case| (case.name, case.templates.len())).collect();
    assert_eq!(cases.len(), CASES.len(), "each of them once");
    for command in tables().resp.iter().filter(|command| !matches!(command.spec.body, Body::Container)) {
        let is_of_collections = matches!(
            command.spec.group,
            Group::Bitmap
                | Group::Geo
                | Group::Hash
                | Group::HyperLogLog
                | Group::List
                | Group::Set
                | Group::SortedSet
                | Group::Stream
        );
        assert!(!is_of_collections || cases.contains_key(command.spec.name), "{}", command.spec.name);
    }
}
