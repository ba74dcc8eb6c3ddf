//! What happened, for people: the latest events with their numbers, each also in the log.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use swell_node::control::Event;

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
        let text = self.remember(text.into());
        tracing::info!("{text}");
    }

    /// Something did not, and the scaler went on anyway.
    pub fn trouble(&mut self, text: impl Into<String>) {
        let text = self.remember(text.into());
        tracing::warn!("{text}");
    }

    /// Those with a higher number than `number`, oldest first.
    pub fn after(&self, number: u64) -> Vec<Event> {
        self.latest.iter().filter(|event| event.number > number).cloned().collect()
    }

    fn remember(&mut self, text: String) -> String {
        self.last_number += 1;
        if self.latest.len() == EVENTS_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(Event { number: self.last_number, at_ms: unix_ms(), text: text.clone() });
        text
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
