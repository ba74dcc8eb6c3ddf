//! Whether the history of one key is linearizable: stateright's tester decides, over a cell that GET, SET and INCR use.

use std::collections::BTreeMap;
use std::time::Instant;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::history::{Answer, Death, Event, Op, Outcome};

/// The number of "threads" that are deaths of nodes: above those of clients.
const DEATHS: usize = 1 << 32;

/// Between the threads that one client is: a new one begins where an outcome is unknown.
const PER_CLIENT: usize = 1 << 16;

/// A key of a cache, as one client alone would see it.
#[derive(Clone, Debug, Default)]
struct Cell(Option<u64>);

/// What happens to a cell.
#[derive(Clone, Debug)]
enum Step {
    Get,
    Set(u64),
    Add,
    /// Its node dies with what it held. Never returns, so that it may happen at any time from its beginning on.
    Lose,
}

impl SequentialSpec for Cell {
    type Op = Step;
    type Ret = Answer;

    fn invoke(&mut self, step: &Step) -> Answer {
        match step {
            Step::Get => Answer::Value(self.0),
            Step::Set(value) => {
                self.0 = Some(*value);
                Answer::Ok
            }
            Step::Add => {
                let sum = self.0.unwrap_or(0) + 1;
                self.0 = Some(sum);
                Answer::Number(sum)
            }
            Step::Lose => {
                self.0 = None;
                Answer::Ok
            }
        }
    }
}

/// Checks one key's events; `deaths` may have taken what it held.
///
/// # Errors
/// There is no order in which they could have happened one by one: prints them.
pub fn check(events: &[Event], deaths: &[Death]) -> Result<(), String> {
    let mut steps: Vec<(Instant, bool, usize)> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match event.outcome {
            Outcome::Refused(_) => {}
            Outcome::Unknown(_) => steps.push((event.invoked, false, index)),
            Outcome::Done(_) => steps.extend([(event.invoked, false, index), (event.returned, true, index)]),
        }
    }
    // A death before the first request took nothing, and one after the last does not matter: the tester's work doubles
    // with each.
    let (first, last) =
        (events.iter().map(|event| event.invoked).min(), events.iter().map(|event| event.returned).max());
    let deaths = deaths.iter().filter(|death| Some(death.before) <= last && Some(death.after) >= first);
    steps.extend(deaths.enumerate().map(|(number, death)| (death.before, false, DEATHS + number)));
    // At the same instant nothing is known: beginnings first allow most.
    steps.sort();
    let mut tester = LinearizabilityTester::new(Cell::default());
    // Of each client: how often it began anew.
    let mut lives: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, is_return, index) in steps {
        if index >= DEATHS {
            tester.on_invoke(index, Step::Lose)?;
            continue;
        }
        let event = &events[index];
        let life = lives.entry(event.client).or_default();
        let thread = event.client * PER_CLIENT + *life;
        match &event.outcome {
            Outcome::Done(answer) if is_return => drop(tester.on_return(thread, answer.clone())?),
            Outcome::Unknown(_) => {
                *life += 1;
                tester.on_invoke(thread, step(&event.op)?)?;
            }
            _ => drop(tester.on_invoke(thread, step(&event.op)?)?),
        }
    }
    if tester.is_consistent() { Ok(()) } else { Err(format!("not linearizable:\n{}", lines(events))) }
}

fn step(op: &Op) -> Result<Step, String> {
    match op {
        Op::Get => Ok(Step::Get),
        Op::Set(value) => Ok(Step::Set(*value)),
        Op::Add => Ok(Step::Add),
        other => Err(format!("a cell knows no {other:?}")),
    }
}

/// The events by time, in microseconds from the first.
fn lines(events: &[Event]) -> String {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by_key(|event| event.invoked);
    let Some(first) = events.first().map(|event| event.invoked) else { return String::new() };
    let line = |event: &&Event| {
        let times = [event.invoked, event.returned].map(|at| (at - first).as_micros());
        format!("{:>9} to {:>9} client {} {:?} {:?}\n", times[0], times[1], event.client, event.op, event.outcome)
    };
    events.iter().map(line).collect()
}
