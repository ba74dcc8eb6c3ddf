//! A batch runs: requests in order, a group at a time, until one has to wait.

use swell_engine::run::Outcome;
use swell_engine::stripe::Ticket;

use super::{Client, Progress, Stop};
use crate::core::{Core, GROUP, first_key};
use crate::plan::{Source, plan, value_bytes};
use crate::pubsub;
use crate::session::{self, Flow, Late};

impl Client {
    /// Runs the requests of a batch from `from` on, in order, until one has to wait.
    pub(super) fn run_batch(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        from: usize,
        ticket: Option<Ticket>,
    ) -> Progress {
        if !core.shared.route.is_direct() || self.flights.as_ref().is_some_and(|flights| !flights.borrow().is_empty()) {
            return self.run_routed(core, source, from, ticket);
        }
        let mut ticket = ticket;
        let mut index = from;
        while index < source.count() && !self.session.closing {
            self.session.pays(core);
            if self.session.closing {
                // Its user is gone.
                break;
            }
            index = self.queue_some(core, source, index);
            core.planned.clear();
            core.keys.clear();
            let mut end = index;
            while end < source.count() && end - index < GROUP && plan(core, &self.session, source, end) {
                end += 1;
            }
            if core.planned.len() > 1 {
                core.handle.prefetch(self.session.db, &core.keys);
            }
            if let Some((at, late)) = self.run_planned(core, source, index, ticket) {
                return Progress { late: Some((at, Stop::Late(late))) };
            }
            ticket = if end > index { None } else { ticket };
            index = end;
            if index < source.count() && core.planned.len() < GROUP {
                if let Flow::Late(late) = self.run_cut(core, source, index, ticket.take()) {
                    return Progress { late: Some((index, Stop::Late(late))) };
                }
                index += 1;
                if !core.shared.route.is_direct() {
                    return self.run_routed(core, source, index, None);
                }
            }
        }
        Progress { late: None }
    }

    /// Runs what was planned, beginning with request `from`.
    #[inline]
    fn run_planned(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        from: usize,
        mut ticket: Option<Ticket>,
    ) -> Option<(usize, Late)> {
        let bounds = core.observer.begin_group(core.planned.len());
        for at in 0..core.planned.len() {
            let planned = core.planned[at];
            let Some(args) = source.args(from + at) else { continue };
            let keys = &core.keys[planned.keys_from as usize..planned.keys_to as usize];
            // Planned, hence admitted; this makes the proof that the engine asks for.
            let Ok(call) = self.session.call(planned.command, args, keys, core.now_ms) else { continue };
            let (mark, data_before) = (core.out.mark(), core.out.data_bytes());
            match core.handle.execute(&call, ticket.take(), &mut core.out) {
                Outcome::Done { work, failed } => {
                    let bytes_out = core.out.data_bytes() - data_before;
                    let bytes_in = value_bytes(planned.command.spec, args);
                    let keys = planned.keys_from as usize..planned.keys_to as usize;
                    let prefix = core.meter.prefix_of(|| first_key(args, &core.keys[keys]));
                    core.charge_on(prefix, planned.command, bytes_in, bytes_out, work, failed);
                    core.counts.commands += 1;
                    if failed {
                        let out = std::mem::take(&mut core.out);
                        session::count_error_at(core, &out, mark.at());
                        core.out = out;
                    }
                    if work >= bounds.work || bytes_out >= bounds.bytes || args.len() >= bounds.args {
                        let reply_bytes = (core.out.len() - mark.at()) as u64;
                        core.saw(&self.session, planned.command, args, reply_bytes);
                    }
                    if source.noreply(from + at) {
                        core.out.truncate(mark);
                    }
                }
                Outcome::Busy(stripe) => return Some((from + at, Late::Stripe(stripe))),
                Outcome::NotExecuted(_, stripe) => return Some((from + at, Late::Gate(stripe))),
                Outcome::Walk => return None,
                Outcome::Deferred => {
                    let bytes_out = core.out.data_bytes() - data_before;
                    let bytes_in = value_bytes(planned.command.spec, args);
                    let keys = &core.keys[planned.keys_from as usize..planned.keys_to as usize];
                    let prefix = core.meter.prefix_of(|| first_key(args, keys));
                    match session::slices::begin(core, planned.command, prefix, bytes_in, bytes_out) {
                        Flow::Late(late) => return Some((from + at, late)),
                        Flow::Done => {}
                    }
                }
            }
        }
        if !core.planned.is_empty() {
            core.end_group(&self.session, source, from, core.planned.len());
        }
        None
    }

    /// Queues what an open transaction takes, from request `from` on; where that ends.
    fn queue_some(&mut self, core: &mut Core, source: &impl Source, from: usize) -> usize {
        if self.session.multi.is_none() {
            return from;
        }
        let mut out = std::mem::take(&mut core.out);
        out.set_proto(self.session.proto);
        self.session.take_pushes(&mut out);
        let mut index = from;
        while index < source.count() && !self.session.closing && !source.noreply(index) {
            let Some(args) = source.args(index) else { break };
            if !session::queue_plain(core, &mut self.session, args, source.kind(index), &mut out) {
                break;
            }
            index += 1;
        }
        core.out = out;
        core.counts.commands += (index - from) as u64;
        index
    }

    /// Runs one request that cannot run beside its neighbours.
    pub(super) fn run_cut(
        &mut self,
        core: &mut Core,
        source: &impl Source,
        index: usize,
        ticket: Option<Ticket>,
    ) -> Flow {
        let mut out = std::mem::take(&mut core.out);
        out.set_proto(self.session.proto);
        // What was sent to the client before this request runs comes before its reply.
        self.session.take_pushes(&mut out);
        let mark = out.mark();
        self.session.pays(core);
        let flow = session::run(core, &mut self.session, source.args(index), source.kind(index), ticket, &mut out);
        if source.noreply(index) && matches!(flow, Flow::Done) {
            out.truncate(mark);
        }
        if matches!(flow, Flow::Done) && self.session.inbox.is_some() && !self.session.closing {
            // What the request has sent to its own client comes right behind its reply.
            if self.session.subscriptions.is_some() {
                pubsub::receive(core);
            }
            self.session.take_pushes(&mut out);
        }
        core.out = out;
        core.counts.commands += u64::from(matches!(flow, Flow::Done));
        flow
    }

    /// Serves the requests that stood behind a late answer.
    pub(super) fn serve_backlog(&mut self) {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let started = worker.begin_batch(&mut core);
        core.out.set_proto(self.session.proto);
        let mut backlog = std::mem::take(&mut self.backlog);
        let progress = self.run_batch(&mut core, &backlog, 0, None);
        match progress.late {
            None => backlog.clear(),
            Some((at, late)) => {
                backlog.drain(..at);
                self.wait_for(late);
            }
        }
        self.backlog = backlog;
        self.send(&mut core);
        worker.end_batch(&mut core, started);
    }
}
