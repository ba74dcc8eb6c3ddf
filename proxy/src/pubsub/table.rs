//! The subscribers of one worker, by name.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use swell_engine::glob;
use swell_node::broker::Topic;

use crate::push::Inbox;

/// Inboxes by their clients' numbers.
pub(super) type Inboxes = BTreeMap<u64, Rc<Inbox>>;

/// Who has subscribed to what.
#[derive(Debug, Default)]
pub(super) struct Table([HashMap<Arc<[u8]>, Inboxes>; Topic::EVERY.len()]);

impl Table {
    /// Adds a subscriber; says how many there are now.
    pub fn add(&mut self, topic: Topic, name: &Arc<[u8]>, inbox: &Rc<Inbox>) -> usize {
        let inboxes = self.0[topic as usize].entry(name.clone()).or_default();
        inboxes.insert(inbox.id(), inbox.clone());
        inboxes.len()
    }

    /// Takes a subscriber out; says how many there are now.
    pub fn remove(&mut self, topic: Topic, name: &[u8], client: u64) -> usize {
        let names = &mut self.0[topic as usize];
        let Some(inboxes) = names.get_mut(name) else { return 0 };
        inboxes.remove(&client);
        let left = inboxes.len();
        if left == 0 {
            names.remove(name);
        }
        left
    }

    /// How many have subscribed to a name.
    pub fn count(&self, topic: Topic, name: &[u8]) -> u32 {
        self.subscribers(topic, name).map_or(0, |inboxes| u32::try_from(inboxes.len()).unwrap_or(u32::MAX))
    }

    /// Every name that somebody has subscribed to.
    pub fn all(&self) -> impl Iterator<Item = (Topic, Arc<[u8]>)> {
        Topic::EVERY.into_iter().flat_map(|topic| self.names(topic).keys().map(move |name| (topic, name.clone())))
    }

    /// The subscribers of one name.
    pub fn subscribers(&self, topic: Topic, name: &[u8]) -> Option<&Inboxes> {
        self.0[topic as usize].get(name)
    }

    /// All names of a topic with their subscribers.
    pub fn names(&self, topic: Topic) -> &HashMap<Arc<[u8]>, Inboxes> {
        &self.0[topic as usize]
    }

    /// Calls `each` with every pattern that the channel matches, and its subscribers.
    pub fn each_pattern(&self, channel: &[u8], mut each: impl FnMut(&[u8], &Inboxes)) {
        let patterns = self.names(Topic::Pattern).iter();
        patterns
            .filter(|(pattern, _)| glob::matches(pattern, channel))
            .for_each(|(pattern, inboxes)| each(pattern, inboxes));
    }
}
