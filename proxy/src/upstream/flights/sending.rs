//! Requests go out: into the frame that is open on their node's link, and again when they were refused.

use std::rc::Rc;
use std::time::Instant;

use swell_engine::commands::table::Command;
use swell_engine::spec::{Merge, Spread};
use swell_engine::waiters::GaveUp;
use swell_node::link::frame::{Flags, RequestHead, UnblockHead};
use swell_ring::Slot;

use super::{Bill, Flights, Frame, Framing, Request, Role, State};
use crate::upstream::Lines;
use crate::upstream::link::Link;

impl Flights {
    /// Sends a request whose keys lie in one slot; or keeps it until its slot is served.
    #[inline]
    pub fn submit(
        &mut self,
        lines: &Lines,
        framing: &Framing,
        command: Command,
        bill: Bill,
        noreply: bool,
        slot: Slot,
        bytes: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push(
            lines,
            framing,
            Request { command, bill, noreply, slot, role: Role::Plain, kept: (0, 0), state: State::None },
            bytes,
        );
    }

    /// Begins a request that is sent in parts; exactly `parts` calls of [`Flights::submit_part`] follow.
    pub fn submit_join(&mut self, command: Command, bill: Bill, noreply: bool, parts: usize, slot: Slot) {
        let merge = match command.spec.spread {
            Spread::Split(merge) => merge,
            _ => Merge::Any,
        };
        self.requests.push_back(Request {
            command,
            bill,
            noreply,
            slot,
            role: Role::Join(parts, merge),
            kept: (0, 0),
            state: State::None,
        });
    }

    /// Sends one part of a request.
    pub fn submit_part(
        &mut self,
        lines: &Lines,
        framing: &Framing,
        command: Command,
        slot: Slot,
        bytes: impl FnOnce(&mut Vec<u8>),
    ) {
        let (role, kept, state) = (Role::Part, (0, 0), State::None);
        self.push(
            lines,
            framing,
            Request { command, bill: Bill::default(), noreply: false, slot, role, kept, state },
            bytes,
        );
    }

    #[inline]
    fn push(&mut self, lines: &Lines, framing: &Framing, mut request: Request, bytes: impl FnOnce(&mut Vec<u8>)) {
        let from = self.kept.len();
        bytes(&mut self.kept);
        request.kept = (from, self.kept.len());
        self.requests.push_back(request);
        self.send(lines, framing, self.requests.len() - 1);
    }

    /// Sends the request at this index of the queue, if its slot's owner can be reached; else it is refused.
    #[inline]
    pub(super) fn send(&mut self, lines: &Lines, framing: &Framing, index: usize) {
        if framing.flags.has(Flags::TRACKS) {
            self.note_read();
        }
        let number = self.first + index as u64;
        let request = &mut self.requests[index];
        let Some(link) = lines.link_of(request.slot) else {
            request.state = State::Refused;
            self.refused += 1;
            self.refused_since.get_or_insert_with(Instant::now);
            return;
        };
        let bytes = &self.kept[request.kept.0..request.kept.1];
        let id = match link.open_frame() {
            Some(id) if link.has_room_in_frame(bytes.len()) => id,
            other => {
                if other.is_some() {
                    lines.close_frame(link);
                    Self::note_closed(&mut self.frames, link);
                }
                let id = self.next_frame;
                self.next_frame = id.wrapping_add(1);
                let restarts = self.restart.iter().position(|node| *node == link.node());
                if let Some(at) = restarts {
                    self.restart.swap_remove(at);
                }
                let flags = framing.flags.and(Flags::RESTART.when(restarts.is_some()));
                let (session, count) = (self.session, 0);
                let Framing { db, epoch, state, .. } = *framing;
                link.begin_frame(RequestHead { flags, db, cache: 0, session, id, count, epoch, state });
                self.frames.push(Frame {
                    id,
                    link: link.clone(),
                    incarnation: link.incarnation(),
                    end_at: u64::MAX,
                    requests: (number, number),
                    count: 0,
                    is_shot: false,
                    partial: None,
                });
                lines.note_open(link);
                id
            }
        };
        link.append(bytes);
        request.state = State::Sent(id);
        self.under_way += 1;
        if let Some(frame) = self.frames.iter_mut().rev().find(|frame| frame.id == id) {
            frame.count += 1;
            frame.requests.1 = number;
        }
    }

    /// Ends the frames that were begun for this client: they go out with the link's next write.
    #[inline]
    pub fn close_frames(&mut self, lines: &Lines) {
        lines.close_frames(|link| Self::note_closed(&mut self.frames, link));
    }

    fn note_closed(frames: &mut [Frame], link: &Rc<Link>) {
        let end_at = link.enqueued();
        let last = frames.iter_mut().rev().find(|frame| !frame.is_shot && Rc::ptr_eq(&frame.link, link));
        if let Some(frame) = last {
            frame.end_at = end_at;
        }
    }

    /// Sends what was refused again, in the order of the requests.
    pub fn send_again(&mut self, lines: &Lines, framing: &Framing) {
        self.refused = 0;
        self.epoch = lines.map().epoch();
        let since = self.refused_since;
        for index in 0..self.requests.len() {
            if self.requests[index].state == State::Refused {
                self.send(lines, framing, index);
            }
        }
        // What is refused at once has waited for as long as before.
        self.refused_since = if self.refused > 0 { since.or(self.refused_since) } else { since };
        self.close_frames(lines);
    }

    /// Notes that this frame of the job goes out; returns its number.
    pub fn begin_shot(&mut self, link: &Rc<Link>) -> (u32, bool) {
        let id = self.next_frame;
        self.next_frame = id.wrapping_add(1);
        let restarts = self.restart.iter().position(|node| *node == link.node());
        if let Some(at) = restarts {
            self.restart.swap_remove(at);
        }
        self.frames.push(Frame {
            id,
            link: link.clone(),
            incarnation: link.incarnation(),
            end_at: u64::MAX,
            requests: (0, 0),
            count: 0,
            is_shot: true,
            partial: None,
        });
        (id, restarts.is_some())
    }

    /// The frame of the job that was begun last ends here in its link's stream of bytes.
    pub fn end_shot(&mut self, id: u32, end_at: u64) {
        if let Some(frame) = self.frames.iter_mut().rev().find(|frame| frame.id == id) {
            frame.end_at = end_at;
        }
    }

    /// The request that the job's frame waits with shall do so no longer.
    pub fn unblock(&mut self, how: GaveUp) {
        for frame in self.frames.iter().filter(|frame| frame.is_shot) {
            frame.link.unblock(UnblockHead { session: self.session, id: frame.id, error: how == GaveUp::Error });
        }
    }

    /// Forgets the job's frames: answers that still come are dropped.
    pub fn drop_shots(&mut self) {
        self.shots.clear();
        self.frames.retain(|frame| !frame.is_shot);
    }
}
