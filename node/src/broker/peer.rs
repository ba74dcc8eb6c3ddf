//! One peer of a broker: the messages that wait for it, and who is woken for them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use swell_engine::channels::ChannelKind;

use crate::copies::{By, LinkNumber};

/// Bytes that may wait for a peer, over which it is lost: a link ends, and its proxy subscribes anew. A worker of this
/// process never is as far behind, because those who publish wait for it.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that wait for a peer over which those who publish in this process wait for it.
pub const CROWDED_BYTES: usize = 8 * 1024 * 1024;
/// What a message costs besides its bytes.
const MESSAGE_BYTES: usize = 64;

/// Names one worker of one proxy for as long as it lives: random, so that no two are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    Channel(ChannelKind),
    /// Sessions of this link have copies of a key, and they are stale.
    StaleRead,
    /// A key has changed that begins as somebody has named.
    StaleAny,
    /// Every copy of this node's keys is stale.
    AllStale,
}

/// A message on a channel, or a key of which copies are stale, in the place of the channel.
#[derive(Debug)]
pub struct Published {
    matter: Matter,
    channel_len: usize,
    /// The channel, then the message.
    bytes: Box<[u8]>,
}

/// One worker of a proxy, as a broker sees it.
#[derive(Debug)]
pub struct Peer {
    id: PeerId,
    /// The link that its clients' requests come by; 0: none.
    link: AtomicU64,
    /// It is a worker of this process.
    is_here: AtomicBool,
    bytes: AtomicUsize,
    /// Names that it has subscribed to.
    names: AtomicUsize,
    /// It has said all that there was to say when it began.
    is_complete: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: Vec<Arc<Published>>,
    waker: Option<Waker>,
    is_lost: bool,
}

impl Published {
    /// Copies both.
    pub fn new(kind: ChannelKind, channel: &[u8], message: &[u8]) -> Published {
        Published::about(Matter::Channel(kind), channel, message)
    }

    fn about(matter: Matter, channel: &[u8], message: &[u8]) -> Published {
        Published { matter, channel_len: channel.len(), bytes: [channel, message].concat().into() }
    }

    /// These sessions' copies of a key are stale.
    pub fn stale_read(key: &[u8], sessions: &[u32], by: By) -> Published {
        let mut message = by.to_u64().to_le_bytes().to_vec();
        sessions.iter().for_each(|session| message.extend_from_slice(&session.to_le_bytes()));
        Published::about(Matter::StaleRead, key, &message)
    }

    /// A key has changed.
    pub fn stale_any(key: &[u8], by: By) -> Published {
        Published::about(Matter::StaleAny, key, &by.to_u64().to_le_bytes())
    }

    /// All copies are stale.
    pub fn all_stale() -> Published {
        Published::about(Matter::AllStale, b"", b"")
    }

    /// From the channel and the message in one piece; nothing if the channel would be longer than that.
    pub fn from_bytes(matter: Matter, channel_len: usize, bytes: Vec<u8>) -> Option<Published> {
        (channel_len <= bytes.len()).then(|| Published { matter, channel_len, bytes: bytes.into() })
    }

    /// What it is about.
    pub fn matter(&self) -> Matter {
        self.matter
    }

    /// Whose request has made a key's copies stale.
    pub fn by(&self) -> By {
        self.message().first_chunk().map_or(By::Nobody, |by| By::from_u64(u64::from_le_bytes(*by)))
    }

    /// The sessions whose copies are stale.
    pub fn sessions(&self) -> impl Iterator<Item = u32> {
        let sessions = self.message().get(size_of::<u64>()..).unwrap_or_default();
        sessions.as_chunks().0.iter().map(|session| u32::from_le_bytes(*session))
    }

    /// The channel's name, or the key.
    pub fn channel(&self) -> &[u8] {
        &self.bytes[..self.channel_len]
    }

    /// What was published.
    pub fn message(&self) -> &[u8] {
        &self.bytes[self.channel_len..]
    }

    /// The channel, then the message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Peer {
    /// A peer for whom nothing waits.
    pub fn new(id: PeerId) -> Peer {
        Peer {
            id,
            link: AtomicU64::new(0),
            is_here: AtomicBool::new(false),
            bytes: AtomicUsize::new(0),
            names: AtomicUsize::new(0),
            is_complete: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// Whether it has subscribed to anything.
    pub(super) fn has_names(&self) -> bool {
        self.names.load(Relaxed) > 0
    }

    /// It has subscribed to a name more, or a name less.
    pub(super) fn count_name(&self, is_more: bool) {
        if is_more {
            self.names.fetch_add(1, Relaxed);
        } else {
            self.names.fetch_sub(1, Relaxed);
        }
    }

    /// It has said all there was to say.
    pub(super) fn set_complete(&self) {
        self.is_complete.store(true, Relaxed);
    }

    /// Whether it has.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Relaxed)
    }

    /// Its name.
    #[inline]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Its clients' requests come by this link.
    pub fn set_link(&self, link: LinkNumber) {
        self.link.store(link.0, Relaxed);
    }

    /// The link that they come by.
    pub(crate) fn link(&self) -> Option<LinkNumber> {
        Some(self.link.load(Relaxed)).filter(|link| *link != 0).map(LinkNumber)
    }

    /// It is a worker of this process.
    pub fn set_here(&self) {
        self.is_here.store(true, Relaxed);
    }

    pub(crate) fn is_here(&self) -> bool {
        self.is_here.load(Relaxed)
    }

    /// Adds a message, and wakes the peer if it was the first.
    pub(crate) fn send(&self, message: &Arc<Published>) {
        let mut waiting = self.lock();
        if waiting.is_lost {
            return;
        }
        let cost = message.bytes.len() + MESSAGE_BYTES;
        // One message may be longer than all that may wait.
        if !waiting.messages.is_empty() && self.bytes.load(Relaxed) + cost > WAITING_BYTES_MAX {
            waiting.is_lost = true;
            waiting.messages = Vec::new();
            self.bytes.store(0, Relaxed);
        } else {
            self.bytes.fetch_add(cost, Relaxed);
            waiting.messages.push(message.clone());
            if waiting.messages.len() > 1 {
                return;
            }
        }
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Exchanges what waits for the empty `messages`. False: so much has waited that some was dropped.
    pub fn take(&self, messages: &mut Vec<Arc<Published>>) -> bool {
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.messages, messages);
        self.bytes.store(0, Relaxed);
        !std::mem::take(&mut waiting.is_lost)
    }

    /// Whether nothing waits; may be out of date at once.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Whether much waits.
    pub fn is_crowded(&self) -> bool {
        self.bytes.load(Relaxed) > CROWDED_BYTES
    }

    /// Wakes `waker` when something comes; true: something is there already.
    pub fn wait(&self, waker: &Waker) -> bool {
        let mut waiting = self.lock();
        if !waiting.messages.is_empty() || waiting.is_lost {
            return true;
        }
        if !waiting.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            waiting.waker = Some(waker.clone());
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_does_not_take_its_messages_is_lost() {
        let peer = Peer::new(PeerId(1));
        let message = Arc::new(Published::new(ChannelKind::Plain, b"c", &vec![0; 10 << 20]));
        let mut taken = Vec::new();
        peer.send(&message);
        assert!(peer.is_crowded() && peer.take(&mut taken) && taken.len() == 1 && peer.is_empty());
        taken.clear();
        (0..7).for_each(|_| peer.send(&message));
        assert!(!peer.take(&mut taken), "some are lost");
        assert!(taken.is_empty() && peer.is_empty());
    }
}
