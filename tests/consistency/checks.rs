//! What must be true of a key's final value, given everything that clients did to it. Pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::history::{Answer, Death, Event, Key, Kind, Op, Outcome};

/// Ends a token in a value that APPEND has grown.
pub const TOKEN_END: char = ';';

/// Checks a key's events and what it holds in the end.
///
/// # Errors
/// Says which rule was broken, with the events that show it.
pub fn check(kind: Kind, events: &[Event], held: Option<&str>, death: Option<Death>) -> Result<(), String> {
    match kind {
        Kind::Counter | Kind::MemcachedCounter | Kind::Cas => counter(events, held, death),
        Kind::Log => log(events, held, death),
        Kind::Once => once(events, held, death),
        Kind::Own(_) => own(events, held, death),
    }
}

/// Checks all keys at once: `events` by key, `held` by key.
///
/// # Errors
/// Names every key that fails.
pub fn check_all(
    keys: &[Key],
    events: &[Event],
    held: &[Option<String>],
    death: impl Fn(&Key) -> Option<Death>,
) -> Result<(), String> {
    let mut by_key: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    for event in events {
        by_key.entry(event.key).or_default().push(event.clone());
    }
    let failed = |(index, events): (&usize, &Vec<Event>)| {
        let key = &keys[*index];
        let why = check(key.kind, events, held[*index].as_deref(), death(key)).err()?;
        Some(format!("{} ({:?}, slot {}): {why}", key.name, key.kind, key.slot.number()))
    };
    let failures: Vec<String> = by_key.iter().filter_map(failed).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// A counter that only ever grows by one, but begins again when its node dies.
fn counter(events: &[Event], held: Option<&str>, death: Option<Death>) -> Result<(), String> {
    let held: u64 = held.unwrap_or("0").parse().map_err(|_| format!("it holds {held:?}"))?;
    let least = events.iter().filter(|event| event.stays(death)).count() as u64;
    let most = events.iter().filter(|event| event.may_stay(death)).count() as u64;
    if !(least..=most).contains(&held) {
        return Err(format!("it holds {held}, which is not within {least} to {most}"));
    }
    // Those of one life of the key: none was told what another was told, and time passes for all.
    let before = events.iter().filter(|event| death.is_some_and(|death| event.returned < death.before));
    let after = events.iter().filter(|event| event.stays(death));
    let is_one_life = death.is_none_or(|death| death.is_certain);
    if is_one_life {
        in_order(before.filter(|event| event.is_done()))?;
    }
    let highest = in_order(after)?;
    if highest > held {
        return Err(format!("it holds {held}, but {highest} was answered"));
    }
    Ok(())
}

/// Checks that numbers are all different and that whoever began after another had ended was told a higher one. Returns
/// the highest.
fn in_order<'a>(events: impl Iterator<Item = &'a Event> + Clone) -> Result<u64, String> {
    let mut told: BTreeSet<u64> = BTreeSet::new();
    for event in events.clone() {
        let number = event.number().ok_or_else(|| format!("no number: {event:?}"))?;
        if !told.insert(number) {
            return Err(format!("{number} was answered twice, at last to {event:?}"));
        }
    }
    let (mut by_begin, mut by_end): (Vec<&Event>, Vec<&Event>) = (events.clone().collect(), events.collect());
    by_begin.sort_by_key(|event| event.invoked);
    by_end.sort_by_key(|event| event.returned);
    let (mut ended, mut highest) = (by_end.into_iter().peekable(), 0);
    for event in by_begin {
        while let Some(earlier) = ended.next_if(|earlier| earlier.returned < event.invoked) {
            highest = highest.max(earlier.number().unwrap_or(0));
        }
        if event.number().is_some_and(|number| number < highest) {
            return Err(format!("{highest} had been answered before {event:?} began"));
        }
    }
    Ok(told.last().copied().unwrap_or(0))
}

/// A string that tokens are appended to.
fn log(events: &[Event], held: Option<&str>, death: Option<Death>) -> Result<(), String> {
    let held = held.unwrap_or("");
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut end = 0;
    for token in held.split_inclusive(TOKEN_END) {
        end += token.len();
        if places.insert(token, end).is_some() {
            return Err(format!("{token} is there twice"));
        }
    }
    for event in events {
        let Op::Append(token) = &event.op else { return Err(format!("no append: {event:?}")) };
        match places.remove(token.as_str()) {
            None if event.stays(death) => return Err(format!("lost: {event:?}")),
            Some(_) if !event.may_stay(death) => return Err(format!("applied all the same: {event:?}")),
            // The length that was answered is where the token ends.
            Some(end) if event.stays(death) && event.number() != Some(end as u64) => {
                return Err(format!("its token ends at {end}: {event:?}"));
            }
            _ => {}
        }
    }
    match places.first_key_value() {
        Some((token, _)) => Err(format!("nobody appended {token}")),
        None => Ok(()),
    }
}

/// A value that only the first may set.
fn once(events: &[Event], held: Option<&str>, death: Option<Death>) -> Result<(), String> {
    let token = |event: &Event| match &event.op {
        Op::SetOnce(token) => token.clone(),
        _ => String::new(),
    };
    let winners: Vec<&Event> = events.iter().filter(|event| event.number() == Some(1)).collect();
    let lives = 1 + usize::from(death.is_some());
    let late: Vec<&&Event> = winners.iter().filter(|event| event.stays(death)).collect();
    if winners.len() > lives || late.len() > 1 {
        return Err(format!("it was set {} times: {winners:?}", winners.len()));
    }
    if let Some(winner) = late.first()
        && held != Some(token(winner).as_str())
    {
        return Err(format!("it holds {held:?}, but was set by {winner:?}"));
    }
    match held {
        None if events.iter().any(|event| event.stays(death)) => Err("it holds nothing".to_owned()),
        None => Ok(()),
        Some(held) => {
            let setter = events.iter().find(|event| token(event) == held);
            let told = |event: &Event| !matches!(event.outcome, Outcome::Done(Answer::Number(0)));
            match setter {
                Some(event) if event.may_stay(death) && told(event) => Ok(()),
                other => Err(format!("it holds {held}, of {other:?}")),
            }
        }
    }
}

/// A value that one client sets and gets.
fn own(events: &[Event], held: Option<&str>, death: Option<Death>) -> Result<(), String> {
    let held: Option<u64> = held.map(|held| held.parse().map_err(|_| format!("it holds {held}"))).transpose()?;
    let mut cell = Cell { now: [None].into(), late: BTreeSet::new(), set: None, coming: death };
    for event in events {
        cell.pass(event);
        match (&event.op, &event.outcome) {
            (_, Outcome::Refused(_)) | (Op::Get, Outcome::Unknown(_)) => {}
            (Op::Set(value), Outcome::Unknown(_)) => {
                cell.late.insert(*value);
            }
            (Op::Set(value), Outcome::Done(Answer::Ok)) => {
                (cell.now, cell.set) = ([Some(*value)].into(), Some(event.returned));
            }
            (Op::Get, Outcome::Done(Answer::Value(got))) => {
                cell.allows(*got).map_err(|why| format!("{why}: {event:?}"))?;
                if !cell.now.contains(got) {
                    cell.set = Some(event.returned);
                }
                cell.now = [*got].into();
                if let Some(got) = got {
                    cell.late.remove(got);
                }
            }
            _ => return Err(format!("no such answer: {event:?}")),
        }
    }
    if cell.coming.is_some() {
        cell.now.insert(None);
    }
    cell.allows(held)
}

/// What is known of a value that one client sets and gets.
struct Cell {
    /// What it may hold.
    now: BTreeSet<Option<u64>>,
    /// What may still be set by requests of unknown outcome, however late.
    late: BTreeSet<u64>,
    /// By when it was set.
    set: Option<Instant>,
    /// The death, until a request began after it.
    coming: Option<Death>,
}

impl Cell {
    /// Time passes, to this request.
    fn pass(&mut self, event: &Event) {
        let Some(death) = self.coming.filter(|death| event.returned >= death.before) else { return };
        if event.invoked > death.after {
            self.coming = None;
            if death.is_certain && self.set.is_none_or(|set| set < death.before) {
                self.now.clear();
            }
        }
        self.now.insert(None);
    }

    fn allows(&self, value: Option<u64>) -> Result<(), String> {
        if self.now.contains(&value) || value.is_some_and(|value| self.late.contains(&value)) {
            return Ok(());
        }
        Err(format!("{value:?}, where one of {:?} or {:?} was expected", self.now, self.late))
    }
}
