//! An engine in this process, whose notifier is the test's.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::notify::Class;
use swell_engine::spec::Body;
use swell_engine::walk::{Step, WalkState};
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_wire::{Out, OwnedArgs, Proto};

use super::Event;
use crate::differential::Request;
use crate::harness::Reply;

/// An engine and what it has told.
pub struct Ours {
    engine: Engine,
    local: Local,
    db: Db,
    told: Arc<Mutex<Vec<Event>>>,
}

impl Ours {
    /// Tells of everything.
    pub fn new() -> Ours {
        Ours::with("Anm")
    }

    /// Tells of these classes.
    pub fn with(classes: &str) -> Ours {
        let engine = Engine::new(7);
        let local = engine.local(3);
        let classes = format!("E{classes}");
        engine.settings().set_notified(Class::parse(classes.as_bytes()).expect("classes that there are"));
        let told: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = told.clone();
        engine.use_notifier(Box::new(move |event| {
            let event = Event { db: event.db, event: event.event.to_owned(), key: event.key.to_vec() };
            heard.lock().unwrap().push(event);
        }));
        Ours { engine, local, db: Db::default(), told }
    }

    /// Runs a request; its reply, if the engine answers such requests, and what was told.
    pub fn run(&mut self, request: &Request) -> (Option<Reply>, Vec<Event>) {
        let reply = self.reply(request);
        (reply, std::mem::take(&mut *self.told.lock().unwrap()))
    }

    fn reply(&mut self, request: &Request) -> Option<Reply> {
        let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        let args = OwnedArgs::from_slices(&words);
        let args = args.as_args();
        let Found::Command(command) = tables().resp.find(args) else { return None };
        if command.spec.name == "select" {
            let number = std::str::from_utf8(args.slice(1)).ok()?.parse().ok()?;
            self.db = Db::new(number)?;
            return None;
        }
        if !command.spec.arity_fits(args.len()) || matches!(command.spec.body, Body::Session | Body::Container) {
            return None;
        }
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args, &mut keys);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64;
        let context = Context { now_ms, db: self.db, ..Context::default() };
        let call = Admitted::from_link(command.spec, args).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        match self.engine.execute(&mut self.local, &call, None, &mut out) {
            Outcome::Done { .. } => {}
            Outcome::Deferred => self.local.take_deferred().expect("the rest of a reply").finish(&mut out),
            Outcome::Walk => {
                let Body::Walk(body) = &command.spec.body else { unreachable!("only walks are walks") };
                let mut state = WalkState::begin(body, &self.engine, &mut self.local, &call).ok()?;
                while state.step(body, &self.engine, &mut self.local, &call, false) != Step::Done {}
                (body.end)(args, &mut state, &mut out);
            }
            other => panic!("{other:?} with nobody else there"),
        }
        Some(Reply::parse(&out.to_vec()).expect("a reply"))
    }
}
