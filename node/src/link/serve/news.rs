//! What the proxy at the other end has subscribed to, and the messages for it.

use std::sync::Arc;
use std::task::Waker;

use super::Sessions;
use crate::broker::{Peer, Published};
use crate::link::frame::BadFrame;
use crate::link::news::{self, SubscribeHead};

/// While more waits for the socket, messages wait where their bytes are shared and counted.
const NEWS_ABOVE_MAX: usize = 256 * 1024;

impl Sessions {
    /// A `Subscribe` frame.
    pub(super) fn subscribe(&mut self, rest: &[u8]) -> Result<(), BadFrame> {
        let (head, body) = SubscribeHead::read(rest)?;
        let peer = self.peer.get_or_insert_with(|| Arc::new(Peer::new(head.peer))).clone();
        peer.set_link(self.link);
        if peer.id() != head.peer {
            return Err(BadFrame::OutOfPlace("another name than before"));
        }
        let is_current = head.epoch >= self.view.epoch();
        let counts = news::entries(body)?;
        let told = self.node.tell_broker(&peer, is_current, counts.into_iter(), head.is_last);
        let mut bytes = Vec::new();
        news::subscribed(head.number, told, &mut bytes);
        self.outbox.tail.raw(&bytes);
        Ok(())
    }

    /// Puts messages behind what waits for the socket, while that is little; `waker` is woken when there are more.
    ///
    /// # Errors
    /// The proxy does not take them: some are lost, and it has to begin anew.
    pub fn take_news(&mut self, waker: &Waker) -> Result<(), BadFrame> {
        let mut bytes = Vec::new();
        loop {
            while self.outbox.unsent_bytes() + bytes.len() < NEWS_ABOVE_MAX {
                let Some(published) = self.news.pop_front() else { break };
                news::push(&published, &mut bytes);
            }
            // What is taken from a peer does not count as waiting there any more.
            if !self.news.is_empty() {
                break;
            }
            self.gather(waker)?;
            if self.news.is_empty() {
                break;
            }
        }
        if !bytes.is_empty() {
            self.outbox.tail.raw(&bytes);
        }
        Ok(())
    }

    fn gather(&mut self, waker: &Waker) -> Result<(), BadFrame> {
        let mut taken = Vec::new();
        if self.copies.wait(waker) {
            let is_whole = self.copies.take(&mut taken);
            self.news.extend(taken.drain(..));
            if !is_whole {
                // Nobody knows any more which copies are stale.
                self.news.push_back(Arc::new(Published::all_stale()));
            }
        }
        if let Some(peer) = self.peer.as_ref().filter(|peer| peer.wait(waker)) {
            if !peer.take(&mut taken) {
                return Err(BadFrame::OutOfPlace("the proxy does not take its messages"));
            }
            self.news.extend(taken);
        }
        Ok(())
    }
}
