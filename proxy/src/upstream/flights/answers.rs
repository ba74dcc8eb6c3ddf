//! Reply frames come in: passed on as they are where it is their turn, taken apart where not, charged in either case. Long
//! replies come in chunks, for which credit is given.

use std::rc::Rc;
use std::time::Instant;

use swell_node::link::frame::{BadFrame, Entry, Flags, ReplyHead, Status};
use swell_ring::Epoch;

use super::{Answer, Flights, Frame, Partial, Request, Role, State, WAIT_MAX};
use crate::core::Core;
use crate::upstream::link::Link;
use crate::upstream::reply;

impl Flights {
    /// A reply frame has come.
    ///
    /// # Errors
    /// A body that is not what its head says.
    #[inline]
    pub fn on_reply(&mut self, core: &mut Core, link: &Rc<Link>, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let Some(at) = self.frames.iter().position(|frame| frame.id == head.id && Rc::ptr_eq(&frame.link, link)) else {
            return Ok(());
        };
        self.pays(core);
        if head.flags.has(Flags::MORE) {
            let passing = self.passes(at, &head);
            if passing {
                let table = head.done as usize * Entry::BYTES;
                self.charge_frame(core, at, &head, body)?;
                self.ready.raw(body.get(table..).ok_or(BadFrame::TooShort)?);
            }
            let body = if passing { Vec::new() } else { body.to_vec() };
            self.frames[at].partial = Some(Partial { head, body, passing, owed: 0 });
            return Ok(());
        }
        self.take_reply(core, at, head, body)
    }

    /// The next piece of a long reply has come.
    ///
    /// # Errors
    /// A piece that nobody waits for is dropped; a body that is not what its head says is an error.
    pub fn on_chunk(
        &mut self,
        core: &mut Core,
        link: &Rc<Link>,
        id: u32,
        last: bool,
        piece: &[u8],
    ) -> Result<(), BadFrame> {
        let Some(at) = self.frames.iter().position(|frame| frame.id == id && Rc::ptr_eq(&frame.link, link)) else {
            return Ok(());
        };
        self.pays(core);
        let is_first = self.is_first(at);
        let Some(partial) = &mut self.frames[at].partial else {
            return Err(BadFrame::OutOfPlace("a chunk without a beginning"));
        };
        if partial.passing {
            self.ready.raw(piece);
            self.owe(link, piece.len() as u32);
        } else {
            partial.body.extend_from_slice(piece);
            // What the client waits for is kept whole; anything behind it gets room when its turn has come.
            match is_first || last {
                true => link.credit(self.session, std::mem::take(&mut partial.owed).saturating_add(piece.len() as u32)),
                false => partial.owed = partial.owed.saturating_add(piece.len() as u32),
            }
        }
        if !last {
            return Ok(());
        }
        let Some(partial) = self.frames[at].partial.take() else { return Ok(()) };
        if partial.passing {
            let count = self.frames[at].count;
            self.frames.remove(at);
            self.pop_sent(count);
            self.advance(core);
            return Ok(());
        }
        self.take_reply(core, at, partial.head, &partial.body)
    }

    /// Whether the client's next reply needs this frame's.
    fn is_first(&self, at: usize) -> bool {
        let parts = match self.requests.front() {
            Some(Request { role: Role::Join(parts, _), .. }) => *parts as u64,
            _ => 0,
        };
        self.frames[at].is_shot || self.frames[at].requests.0 <= self.first + parts
    }

    /// Gives long replies whose turn has come the room that they have been waiting for.
    pub(super) fn grant_first(&mut self) {
        for at in 0..self.frames.len() {
            if !self.is_first(at) {
                continue;
            }
            let Frame { link, partial: Some(partial), .. } = &mut self.frames[at] else { continue };
            if partial.owed > 0 {
                link.credit(self.session, std::mem::take(&mut partial.owed));
            }
        }
    }

    /// Whether a frame's replies may go to the client as they come: all its requests ran, stand first in the queue, and
    /// want plain replies.
    #[inline]
    fn passes(&self, at: usize, head: &ReplyHead) -> bool {
        let frame = &self.frames[at];
        let (first, last) = frame.requests;
        !frame.is_shot
            && head.status == Status::Done
            && first == self.first
            && (last - first) as usize + 1 == frame.count
            && head.done as usize == frame.count
            && self.requests.iter().take(frame.count).all(|request| request.role == Role::Plain && !request.noreply)
    }

    #[inline]
    fn charge_frame(&mut self, core: &mut Core, at: usize, head: &ReplyHead, body: &[u8]) -> Result<u64, BadFrame> {
        let count = head.done as usize;
        let mut from = (count * Entry::BYTES) as u64;
        let table = from;
        let mut ecpu_milli = 0;
        for index in 0..count {
            let entry = Entry::read(body, index)?;
            let request = &self.requests[(self.frames[at].requests.0 - self.first) as usize + index];
            ecpu_milli += request.charge(core, entry.data_bytes, entry.work, entry.failed);
            core.counts.commands += 1;
            if entry.failed {
                core.counts.error(reply::error_code(body.get(from as usize..).unwrap_or_default()));
            }
            from = from.saturating_add(entry.reply_bytes);
        }
        core.charged_for(self.frames[at].link.node(), ecpu_milli);
        Ok(from - table)
    }

    #[inline]
    fn take_reply(&mut self, core: &mut Core, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        if self.frames[at].is_shot {
            return self.take_shot(at, head, body);
        }
        if self.passes(at, &head) {
            let bytes = self.charge_frame(core, at, &head, body)?;
            let replies = body.get(head.done as usize * Entry::BYTES..).filter(|replies| replies.len() as u64 == bytes);
            self.ready.raw(replies.ok_or(BadFrame::TooShort)?);
            let frame = self.frames.remove(at);
            self.pop_sent(frame.count);
            self.advance(core);
            return Ok(());
        }
        check_body(&head, body)?;
        self.scatter(core, at, head, body)?;
        self.advance(core);
        Ok(())
    }

    /// Gives each request of a frame its answer; those that did not run are refused.
    fn scatter(&mut self, core: &mut Core, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let frame = self.frames.remove(at);
        let mut from = head.done as usize * Entry::BYTES;
        let (mut index, mut refused, mut ecpu_milli) = (0, 0, 0);
        let node = frame.link.node();
        for number in frame.requests.0..=frame.requests.1 {
            let Some(request) = self.requests.get_mut((number - self.first) as usize) else { break };
            if request.state != State::Sent(frame.id) {
                continue;
            }
            self.under_way -= 1;
            if index >= head.done as usize {
                request.state = State::Refused;
                refused += 1;
                continue;
            }
            let entry = Entry::read(body, index)?;
            index += 1;
            let to = from.saturating_add(entry.reply_bytes as usize);
            let bytes = body.get(from..to).ok_or(BadFrame::TooShort)?;
            from = to;
            let at = self.stash.push(bytes);
            let answer = Answer { node, data_bytes: entry.data_bytes, work: entry.work, failed: entry.failed };
            request.state = State::Answered { at, len: bytes.len(), entry: answer };
            if request.role == Role::Plain {
                ecpu_milli += request.charge(core, entry.data_bytes, entry.work, entry.failed);
                core.counts.commands += 1;
                if entry.failed {
                    core.counts.error(reply::error_code(bytes));
                }
            }
        }
        if ecpu_milli > 0 {
            core.charged_for(node, ecpu_milli);
        }
        if head.status != Status::Done {
            self.note_refusal(&frame.link, &head);
        }
        if refused > 0 && head.status == Status::Paused {
            // It has waited at the node for as long as anything may.
            self.refused_since = Instant::now().checked_sub(WAIT_MAX);
        }
        if refused > 0 {
            self.refused += refused;
            self.refused_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn note_refusal(&mut self, link: &Rc<Link>, head: &ReplyHead) {
        if !self.restart.contains(&link.node()) {
            self.restart.push(link.node());
        }
        if head.status == Status::Moved {
            self.need.epoch = self.need.epoch.max(Epoch(head.epoch));
            self.need.state = self.need.state.max(head.state);
        }
    }

    fn take_shot(&mut self, at: usize, head: ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
        let id = self.frames[at].id;
        if let Some(shot) = self.shots.iter_mut().find(|shot| shot.is_frame(id)) {
            shot.answer(&head, body)?;
        }
        let frame = self.frames.remove(at);
        if !matches!(head.status, Status::Done | Status::Full | Status::Stale) {
            frame.link.stop_upload(self.session, id);
            self.note_refusal(&frame.link, &head);
        }
        Ok(())
    }

    fn owe(&mut self, link: &Rc<Link>, bytes: u32) {
        match self.owed.iter_mut().find(|(other, _)| Rc::ptr_eq(other, link)) {
            Some((_, owed)) => *owed = owed.saturating_add(bytes),
            None => self.owed.push((link.clone(), bytes)),
        }
    }

    /// The client has taken what came: more may come.
    pub fn grant(&mut self) {
        for (link, bytes) in self.owed.drain(..) {
            link.credit(self.session, bytes);
        }
    }
}

/// Checks that a body is what its head says, before anything is done by it: what is wrong ends the link, and the
/// requests are lost with it.
fn check_body(head: &ReplyHead, body: &[u8]) -> Result<(), BadFrame> {
    let count = head.done as usize;
    let mut bytes = (count * Entry::BYTES) as u64;
    for index in 0..count {
        bytes = bytes.saturating_add(Entry::read(body, index)?.reply_bytes);
    }
    if bytes == body.len() as u64 { Ok(()) } else { Err(BadFrame::TooShort) }
}
