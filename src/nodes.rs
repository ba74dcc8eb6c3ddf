//! `swell nodes`, `slots`, `move`, `drain`, `scale` and `events`: what people ask of a running scaler, and how it is shown.

pub mod asking;
pub mod progress;
pub mod tables;

#[cfg(test)]
mod tests;

use std::io::{IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use swell_node::control::{Answer, Ask, NodeLine, Progress, ScalingMode};
use swell_ring::{NodeId, SlotMap, SlotSet};

use crate::config::Config;
use crate::place::{Place, Runtime};
use asking::Asking;
use progress::{Drawing, Show, Summary};

/// Between two looks for new events.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    Nodes,
    Slots,
    Move {
        slots: String,
        node: u32,
    },
    Drain {
        node: u32,
    },
    Events {
        follow: bool,
    },
    /// How the scaler acts: a new mode, if there is one.
    Scale {
        mode: Option<ScalingMode>,
    },
}

/// Does it with the Swell that `config` describes. `json`: for programs.
///
/// # Errors
/// One sentence: nobody listens there, it refuses, it knows no such node, nobody owns such slots.
pub fn run(task: &Task, config: &Config, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let moved: Option<SlotSet> = match task {
        Task::Move { slots, .. } => Some(slots.parse()?),
        _ => None,
    };
    let place = Place::to_find(config, &Runtime::here());
    place.check()?;
    let mut asking = Asking::begin(&place.link, config.token.get().unwrap_or(""))?;
    match task {
        Task::Nodes => {
            let lines = nodes(&mut asking)?;
            print(out, json, &lines, || tables::nodes(&lines))
        }
        Task::Slots => {
            let map = map(&mut asking)?;
            print(out, json, &map, || tables::slots(&map))
        }
        Task::Move { node, .. } => {
            let (slots, node) = (moved.unwrap_or_default(), NodeId(*node));
            check_node(node, &nodes(&mut asking)?)?;
            check_slots(&slots, &map(&mut asking)?)?;
            drive(&mut asking, Ask::Move { slots, to: node }, json, out)
        }
        Task::Drain { node } => {
            let node = NodeId(*node);
            check_node(node, &nodes(&mut asking)?)?;
            drive(&mut asking, Ask::Drain { node }, json, out)
        }
        Task::Events { follow } => events(&mut asking, *follow, json, out),
        Task::Scale { mode } => {
            let ask = mode.map_or(Ask::Status, Ask::Scale);
            let Answer::Status(status) = asking.ask(ask)? else { return Err(asking.confused().into()) };
            print(out, json, &status, || tables::scaling(&status))
        }
    }
}

fn nodes(asking: &mut Asking) -> anyhow::Result<Vec<NodeLine>> {
    match asking.ask(Ask::Nodes)? {
        Answer::Nodes(mut lines) => {
            lines.sort_by_key(|line| line.id);
            Ok(lines)
        }
        _ => Err(asking.confused().into()),
    }
}

fn map(asking: &mut Asking) -> anyhow::Result<SlotMap> {
    match asking.ask(Ask::Slots)? {
        Answer::Slots(map) => Ok(map),
        _ => Err(asking.confused().into()),
    }
}

fn check_slots(slots: &SlotSet, map: &SlotMap) -> anyhow::Result<()> {
    if slots.is_empty() {
        bail!("no slots are named: write a list such as 0-63,100");
    }
    let mut orphans = map.orphans();
    orphans.intersect(slots);
    if !orphans.is_empty() {
        bail!("nobody owns slots {orphans}, so they cannot be moved");
    }
    Ok(())
}

/// What the scaler would refuse is better said before: here the names are known.
fn check_node(node: NodeId, known: &[NodeLine]) -> anyhow::Result<()> {
    if known.iter().any(|line| line.id == node) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().map(|line| line.id.to_string()).collect();
    match known.as_slice() {
        [] => bail!("there is no node {node}: there are no nodes at all"),
        known => bail!("there is no node {node}: there are {}", known.join(", ")),
    }
}

/// A move or drain: shows how far it is, then the summary.
fn drive(asking: &mut Asking, ask: Ask, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let show = match (json, std::io::stdout().is_terminal()) {
        (true, _) => Show::Nothing,
        (false, true) => Show::Bar,
        (false, false) => Show::Lines,
    };
    let mut drawing = Drawing::new(show, out);
    let mut drawn = Ok(());
    let answer = asking.follow(ask, |progress| drawn = drawing.draw(progress));
    drawing.end()?;
    drawn?;
    let Answer::Done(done) = answer? else { return Err(asking.confused().into()) };
    let summary = Summary::of(&done);
    let note = match done.note.as_str() {
        // What went wrong is the error's to tell.
        note if is_done(&done) && !note.is_empty() => format!("; {note}"),
        _ => String::new(),
    };
    print(out, json, &summary, || format!("moved {}{note}\n", summary.line()))?;
    check_done(&done)
}

fn is_done(done: &Progress) -> bool {
    done.slots_done >= done.slots_total
}

fn check_done(done: &Progress) -> anyhow::Result<()> {
    if is_done(done) {
        return Ok(());
    }
    let why = if done.note.is_empty() { "no reason was given" } else { &done.note };
    bail!("{} of {} slots stayed where they were: {why}", done.slots_total - done.slots_done, done.slots_total)
}

fn events(asking: &mut Asking, follow: bool, json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let Answer::Events(events) = asking.ask(Ask::Events { after })? else { return Err(asking.confused().into()) };
        for event in &events {
            after = after.max(event.number);
            print(out, json, event, || tables::event(event))?;
        }
        if !follow {
            return Ok(());
        }
        out.flush()?;
        thread::sleep(FOLLOW_EVERY);
    }
}

/// One line of JSON, or text for people.
fn print(
    out: &mut dyn Write,
    json: bool,
    value: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    match json {
        true => writeln!(out, "{}", serde_json::to_string(value)?)?,
        false => out.write_all(text().as_bytes())?,
    }
    Ok(())
}
