//! The commands against a scaler that says what a test tells it to: what is asked, what is shown, what is refused.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};

use swell_node::control::{Event, FromMember, NodeStats, Role, ToMember, Welcome};
use swell_node::link::frame::{self, Frame, Kind};
use swell_node::link::hello::{self, Hello, Purpose};
use swell_ring::{CacheState, Epoch, Member};

use super::*;
use crate::testing::{self, Scratch};

/// What the scaler of a test answers to each question.
type Answers = fn(Ask) -> Vec<Answer>;

/// A scaler that serves one link; joined, it tells what it was asked.
struct Scaler {
    scratch: Scratch,
    thread: JoinHandle<Vec<Ask>>,
}

struct Link(UnixStream, Vec<u8>);

impl Link {
    fn say(&mut self, kind: Kind, message: &impl serde::Serialize) {
        let mut bytes = Vec::new();
        frame::json(kind, message, &mut bytes);
        // A command that has what it wants closes the link.
        let _ = self.0.write_all(&bytes);
    }

    fn hear<M: serde::de::DeserializeOwned>(&mut self) -> Option<M> {
        loop {
            if let Some(frame) = Frame::first(&self.1).expect("it is a frame") {
                let message = serde_json::from_slice(frame.rest).expect("it is a message");
                let used = frame.bytes;
                self.1.drain(..used);
                return Some(message);
            }
            let mut piece = [0; 4096];
            match self.0.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => self.1.extend_from_slice(&piece[..bytes]),
            }
        }
    }
}

impl Scaler {
    fn start(answers: Answers) -> Scaler {
        let scratch = Scratch::new();
        let listener = UnixListener::bind(scratch.path().join("swell-link.sock")).expect("the path is short");
        let thread = thread::spawn(move || {
            let mut link = Link(listener.accept().expect("somebody connects").0, Vec::new());
            serve(&mut link, answers)
        });
        Scaler { scratch, thread }
    }

    fn run(&self, task: &Task, json: bool) -> Result<String, String> {
        self.run_with(task, json, "secret")
    }

    fn run_with(&self, task: &Task, json: bool, token: &str) -> Result<String, String> {
        let data_dir = self.scratch.path().display().to_string();
        let config = testing::config(&[("data_dir", &data_dir), ("token", token)]);
        let mut out = Vec::new();
        let done = run(task, &config, json, &mut out).map_err(|error| format!("{error:#}"));
        let text = String::from_utf8(out).expect("text is printed");
        done.map(|()| text).map_err(|error| error.replace(&data_dir, ""))
    }

    fn asked(self) -> Vec<Ask> {
        self.thread.join().expect("the scaler ends")
    }
}

fn serve(link: &mut Link, answers: Answers) -> Vec<Ask> {
    let hello: Hello = link.hear().expect("it says hello");
    assert_eq!(hello.purpose, Purpose::Control);
    match hello.accept("secret") {
        Ok(protocol) => link.say(Kind::Hello, &hello::Answer::Welcome { protocol }),
        Err(why) => {
            link.say(Kind::Hello, &hello::Answer::Refused { why });
            return Vec::new();
        }
    }
    let Some(FromMember::Join(join)) = link.hear() else { panic!("it joins first") };
    assert_eq!((join.role, join.pid), (Role::Person, std::process::id()));
    let welcome = Welcome {
        id: None,
        hash_seed: 1,
        virtual_node: "0".repeat(40),
        map: map_of_two(),
        state: CacheState::default(),
    };
    link.say(Kind::Control, &ToMember::Welcome(Box::new(welcome)));
    let mut asked = Vec::new();
    while let Some(message) = link.hear() {
        let FromMember::Ask { id, ask } = message else { panic!("it only asks: {message:?}") };
        // What members hear and people need not.
        link.say(Kind::Control, &ToMember::Map(map_of_two()));
        for answer in answers(ask.clone()) {
            link.say(Kind::Control, &ToMember::Answer { id, answer });
        }
        asked.push(ask);
    }
    asked
}

/// Node 1 has the first half, node 2 the second but for the last slot.
fn map_of_two() -> SlotMap {
    let member = |id| Member { id: NodeId(id), address: format!("unix:/n{id}"), zone: String::new() };
    let (first, second) = ("0-8191".parse().expect("slots"), "8192-16382".parse().expect("slots"));
    let map = SlotMap::empty().with_member(member(1)).with_member(member(2));
    map.assigned(&first, NodeId(1)).assigned(&second, NodeId(2))
}

fn progress(done: u32, elapsed_ms: u64) -> Progress {
    Progress { slots_done: done, slots_total: 100, keys: 7, elapsed_ms, ..Progress::default() }
}

fn line(id: u32) -> NodeLine {
    let (address, zone, state) = (format!("unix:/n{id}"), String::new(), "serving".to_owned());
    NodeLine { id: NodeId(id), address, zone, pid: 40 + id, state, slots: 9, stats: NodeStats::default() }
}

fn answers(ask: Ask) -> Vec<Answer> {
    match ask {
        Ask::Slots => vec![Answer::Slots(map_of_two())],
        Ask::Nodes => vec![Answer::Nodes(vec![line(2), line(1)])],
        Ask::Move { to: NodeId(1), .. } => vec![
            Answer::Progress(progress(10, 0)),
            Answer::Progress(progress(20, 500)),
            Answer::Done(progress(100, 2000)),
        ],
        Ask::Drain { node: NodeId(1) } => {
            vec![Answer::Done(Progress { note: "node 1 stays, without slots".to_owned(), ..progress(100, 0) })]
        }
        Ask::Move { .. } => {
            vec![Answer::Done(Progress { note: "the target has not the memory for it".to_owned(), ..progress(40, 9) })]
        }
        Ask::Events { after } => {
            let event = |number| Event { number, at_ms: number, text: format!("event {number}"), ..Event::default() };
            vec![Answer::Events((after + 1..=2).map(event).collect())]
        }
        _ => vec![Answer::Refused { why: "node 2 is the last one".to_owned() }],
    }
}

fn move_to(slots: &str, node: u32) -> Task {
    Task::Move { slots: slots.to_owned(), node }
}

#[test]
fn nodes_are_a_table_in_order_or_their_lines() {
    let scaler = Scaler::start(answers);
    assert_eq!(scaler.run(&Task::Nodes, false), Ok(tables::nodes(&[line(1), line(2)])));
    assert_eq!(scaler.asked(), [Ask::Nodes]);
    let printed = Scaler::start(answers).run(&Task::Nodes, true).expect("it answers");
    let lines: Vec<NodeLine> = serde_json::from_str(&printed).expect("they are lines");
    assert_eq!(lines, [line(1), line(2)]);
}

#[test]
fn slots_are_a_table_or_the_map_as_it_is_written() {
    let scaler = Scaler::start(answers);
    assert_eq!(scaler.run(&Task::Slots, false), Ok(tables::slots(&map_of_two())));
    assert_eq!(scaler.asked(), [Ask::Slots]);
    let printed = Scaler::start(answers).run(&Task::Slots, true).expect("it answers");
    assert_eq!(serde_json::from_str::<SlotMap>(&printed).expect("it is a map"), map_of_two());
    assert!(map_of_two().epoch() > Epoch(0) && printed.ends_with("}\n"));
}

#[test]
fn a_move_shows_progress_and_a_summary() {
    let scaler = Scaler::start(answers);
    let text = scaler.run(&move_to("8192-8291", 1), false).expect("it is done");
    let lines: Vec<&str> = text.lines().map(|line| line.trim_matches('\r')).collect();
    let expected =
        ["10/100 slots, 7 keys, 0.0 MB/s, 0.0 s", "moved 100 slots, 7 keys, 0 B in 2.00 s: 3 keys/s, 0 retries"];
    // On a terminal the bar is drawn instead of the first.
    assert_eq!(lines.last(), expected.last());
    assert!(text.contains(expected[0]), "{text}");
    let slots: SlotSet = "8192-8291".parse().expect("slots");
    assert_eq!(scaler.asked(), [Ask::Nodes, Ask::Slots, Ask::Move { slots, to: NodeId(1) }]);

    let json = Scaler::start(answers).run(&move_to("0-99", 1), true).expect("it is done");
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON value");
    assert_eq!((&json["slots"], &json["seconds"]), (&100.into(), &2.0.into()));
}

#[test]
fn what_the_scaler_notes_is_told() {
    let text = Scaler::start(answers).run(&Task::Drain { node: 1 }, false).expect("it is done");
    assert!(text.ends_with("0 retries; node 1 stays, without slots\n"), "{text}");
}

#[test]
fn a_move_that_stops_half_way_is_an_error_with_its_reason() {
    let error = Scaler::start(answers).run(&move_to("0-99", 2), false).expect_err("40 of 100");
    assert_eq!(error, "60 of 100 slots stayed where they were: the target has not the memory for it");
}

#[test]
fn what_cannot_be_is_said_in_one_sentence_and_not_asked() {
    for (task, words) in [
        (move_to("0-99", 9), "there is no node 9: there are 1, 2"),
        (Task::Drain { node: 3 }, "there is no node 3: there are 1, 2"),
        (move_to("100,16383", 1), "nobody owns slots 16383, so they cannot be moved"),
        (move_to(" , ", 1), "no slots are named: write a list such as 0-63,100"),
    ] {
        let scaler = Scaler::start(answers);
        assert_eq!(scaler.run(&task, false), Err(words.to_owned()));
        assert!(scaler.asked().iter().all(|ask| matches!(ask, Ask::Nodes | Ask::Slots)));
    }
    let config = testing::config(&[("link", "unix:/nowhere/x.sock")]);
    let error = run(&move_to("0-16384", 1), &config, false, &mut Vec::new()).expect_err("no such slot");
    assert_eq!(error.to_string(), "'0-16384' is not a list of slots such as 0-63,100 (slots are 0 to 16383)");
    let error = run(&Task::Nodes, &config, false, &mut Vec::new()).expect_err("nobody is there");
    assert_eq!(error.to_string(), "no Swell answers at unix:/nowhere/x.sock: there is no such socket");
}

#[test]
fn refusals_are_passed_on() {
    let error = Scaler::start(answers).run(&Task::Drain { node: 2 }, false);
    assert_eq!(error, Err("node 2 is the last one".to_owned()));
    let error = Scaler::start(answers).run_with(&Task::Nodes, false, "wrong");
    let words = "unix:/swell-link.sock wants the cluster secret: set SWELL_TOKEN or pass --token";
    assert_eq!(error, Err(words.to_owned()));
}

#[test]
fn events_are_lines() {
    let text = Scaler::start(answers).run(&Task::Events { follow: false }, false).expect("it answers");
    assert_eq!(text, "1970-01-01 00:00:00.001  event 1\n1970-01-01 00:00:00.002  event 2\n");
    let json = Scaler::start(answers).run(&Task::Events { follow: false }, true).expect("it answers");
    assert_eq!(json.lines().count(), 2);
    assert!(json.starts_with("{\"number\":1,\"at_ms\":1,"), "{json}");
}

#[test]
fn something_else_that_answers_is_no_link() {
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.path().join("swell-link.sock")).expect("the path is short");
    let thread = thread::spawn(move || {
        let mut stream = listener.accept().expect("somebody connects").0;
        stream.write_all(b"-ERR unknown command\r\n").expect("it reads");
        stream.read_to_end(&mut Vec::new()).expect("it closes");
    });
    let config = testing::config(&[("data_dir", &scratch.path().display().to_string())]);
    let error = run(&Task::Nodes, &config, false, &mut Vec::new()).expect_err("it is no link").to_string();
    assert!(error.ends_with("swell-link.sock does not speak Swell's link protocol"), "{error}");
    thread.join().expect("it ends");
}
