//! Requests that get no answer: their slot was not served for too long, or their link was lost.

use std::rc::Rc;
use std::time::Instant;

use swell_engine::spec::Flags as SpecFlags;
use swell_ring::NodeId;
use swell_wire::{Out, Proto};

use super::{Answer, Flights, Frame, Request, Role, Stash, State};
use crate::core::Core;
use crate::error::ProxyError;
use crate::upstream::link::Link;
use crate::upstream::retry::{Fate, Unanswered, after_lost_link};
use crate::upstream::{Lines, reply};

impl Flights {
    /// Everything refused has waited too long: its clients read why.
    pub fn give_up(&mut self, core: &mut Core, lines: &Lines) {
        self.pays(core);
        for request in &mut self.requests {
            if request.state != State::Refused {
                continue;
            }
            let error = match lines.link_of(request.slot) {
                Some(_) => ProxyError::GateTimeout,
                None => ProxyError::SlotNotServed,
            };
            answer_with(request, &mut self.stash, core, &error);
        }
        self.refused = 0;
        self.advance(core);
    }

    /// A link was lost: what had not gone out goes again, and what makes no difference; the rest may have run.
    pub fn on_lost(&mut self, core: &mut Core, link: &Rc<Link>, incarnation: u64, written: u64) {
        self.pays(core);
        let is_lost = |frame: &Frame| Rc::ptr_eq(&frame.link, link) && frame.incarnation == incarnation;
        let (lost, kept): (Vec<Frame>, Vec<Frame>) = self.frames.drain(..).partition(is_lost);
        self.frames = kept;
        self.restart.retain(|node| *node != link.node());
        let frame_of = |id: u32| lost.iter().find(|frame| frame.id == id && !frame.is_shot);
        let concerned: Vec<(usize, Unanswered)> = self
            .requests
            .iter()
            .enumerate()
            .filter_map(|(index, request)| {
                let State::Sent(id) = request.state else { return None };
                let sent = frame_of(id)?.end_at <= written;
                let read_only = request.command.spec.flags.has(SpecFlags::READONLY);
                Some((index, Unanswered { sent, read_only }))
            })
            .collect();
        let unanswered: Vec<Unanswered> = concerned.iter().map(|(_, request)| *request).collect();
        // A reply that was being passed on cannot be taken back: the connection is of no use any more.
        let torn = lost.iter().any(|frame| frame.partial.as_ref().is_some_and(|partial| partial.passing));
        for ((index, _), fate) in concerned.into_iter().zip(after_lost_link(&unanswered)) {
            let request = &mut self.requests[index];
            self.under_way -= 1;
            match fate {
                Fate::Again if !torn => {
                    request.state = State::Refused;
                    self.refused += 1;
                    self.refused_since.get_or_insert_with(Instant::now);
                }
                _ => {
                    core.counts.unknown_outcomes += 1;
                    answer_with(request, &mut self.stash, core, &ProxyError::OutcomeUnknown);
                }
            }
        }
        for frame in lost.iter().filter(|frame| frame.is_shot) {
            if let Some(shot) = self.shots.iter_mut().find(|shot| shot.is_frame(frame.id)) {
                shot.lost(frame.end_at <= written);
            }
        }
        self.torn |= torn;
        self.advance(core);
        self.wake();
    }
}

/// Answers a request with an error of the proxy.
fn answer_with(request: &mut Request, stash: &mut Stash, core: &mut Core, error: &ProxyError) {
    let mut out = Out::new(Proto::Resp2);
    error.write(request.command.spec, &mut out);
    let bytes = out.to_vec();
    core.counts.error(reply::error_code(&bytes));
    if request.role == Role::Plain {
        request.charge(core, 0, 1, true);
        core.counts.commands += 1;
    }
    let at = stash.push(&bytes);
    let entry = Answer { node: NodeId(0), data_bytes: 0, work: 1, failed: true };
    request.state = State::Answered { at, len: bytes.len(), entry };
}
