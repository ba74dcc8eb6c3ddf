//! What happened, for people: the latest events with their numbers, each also in the log.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use swell_node::control::Event;
use swell_ring::NodeId;

/// Events that are remembered.
pub const EVENTS_MAX: usize = 1000;

/// The latest events.
#[derive(Debug, Default)]
pub struct Events {
    latest: VecDeque<Event>,
    last_number: u64,
}

impl Events {
    /// Something went as it should.
    pub fn news(&mut self, text: impl Into<String>) {
        self.add(false, Event { kind: "news".to_owned(), text: text.into(), ..Event::default() });
    }

    /// Something did not, and the scaler went on anyway.
    pub fn trouble(&mut self, text: impl Into<String>) {
        self.add(true, Event { kind: "trouble".to_owned(), text: text.into(), ..Event::default() });
    }

    /// Something happened, with all that is known of it: it gets its number and time. Returns it so.
    pub fn add(&mut self, is_trouble: bool, event: Event) -> Event {
        self.last_number += 1;
        let event = Event { number: self.last_number, at_ms: unix_ms(), ..event };
        let (kind, text) = (&event.kind, &event.text);
        match is_trouble {
            true => tracing::warn!(kind, "{text}"),
            false => tracing::info!(kind, "{text}"),
        }
        if self.latest.len() == EVENTS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(event.clone());
        event
    }

    /// Something about one node. `message`: in ElastiCache's words, if it has any.
    pub fn of_node(&mut self, is_trouble: bool, kind: &str, node: NodeId, message: String, text: String) {
        self.add(is_trouble, Event { kind: kind.to_owned(), node: Some(node), message, text, ..Event::default() });
    }

    /// Those with a higher number than `number`, oldest first.
    pub fn after(&self, number: u64) -> Vec<Event> {
        self.latest.iter().filter(|event| event.number > number).cloned().collect()
    }
}

/// Milliseconds since 1970 by the system's clock: for people, never for deciding.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_forgotten_and_numbers_go_on() {
        let mut events = Events::default();
        (0..EVENTS_MAX + 5).for_each(|at| events.news(format!("event {at}")));
        let all = events.after(0);
        assert_eq!((all.len(), all[0].number, all[0].text.as_str()), (EVENTS_MAX, 6, "event 5"));
        assert_eq!(events.after(EVENTS_MAX as u64 + 3).len(), 2);
        assert!(events.after(u64::MAX).is_empty());
    }
}
