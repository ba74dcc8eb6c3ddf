//! Frames of small requests, answered as they come: run together, straight from the read buffer into the output. One that
//! has to wait is given to its session.

use swell_engine::admit::Admitted;
use swell_engine::{Deferred, Outcome};
use swell_wire::requests::Kind as ItemKind;
use swell_wire::{memcached, resp};

use super::{Cx, Sessions, is_slow, reply_head};
use crate::link::body::{self, Answering, Job};
use crate::link::frame::{BadFrame, Entry, Flags, Kind, RequestHead, Status};
use crate::link::group::{GROUP, Group, Open};

impl Sessions {
    /// Adds a frame to the group. False: it has to go the long way, after the group.
    #[inline]
    pub(super) fn plan(
        &mut self,
        cx: &mut Cx<'_>,
        head: RequestHead,
        bytes: &[u8],
        from: usize,
        to: usize,
    ) -> Result<bool, BadFrame> {
        let count = head.count as usize;
        if count > GROUP {
            self.run_group(cx, bytes)?;
        }
        let body = &bytes[from..to];
        let Group { limits, requests, frames, .. } = &mut self.group;
        let first = requests.len();
        let consumed = match head.flags.has(Flags::TEXT) {
            true => memcached::Decoder::new().decode(body, limits, requests),
            false => resp::Decoder::new().decode(body, limits, requests),
        };
        let items = &requests.items()[first..];
        let is_plain = items.iter().all(|item| matches!(item.kind, ItemKind::Plain { .. }));
        if consumed != body.len() || items.len() != count || count == 0 || !is_plain {
            return Ok(false);
        }
        let frame = frames.len();
        frames.push(Open { head, from, to, first, done: 0, reply: None, is_kept: false });
        for item in first..first + count {
            self.group.plan(cx.handle, frame, item, body, head.flags)?;
            if self.group.planned.len() == GROUP {
                self.run_planned(cx, bytes)?;
            }
        }
        if count > GROUP {
            self.run_group(cx, bytes)?;
        }
        Ok(true)
    }

    /// Runs what is planned; all frames of the group are whole.
    #[inline]
    pub(super) fn run_group(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<(), BadFrame> {
        self.run_planned(cx, bytes)?;
        self.group.frames.clear();
        self.group.requests.clear();
        Ok(())
    }

    /// Runs what is planned.
    fn run_planned(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<(), BadFrame> {
        self.group.prefetch(cx.handle);
        for at in 0..self.group.planned.len() {
            self.run_one(cx, bytes, at)?;
        }
        self.group.planned.clear();
        self.group.keys.clear();
        Ok(())
    }

    #[inline]
    fn run_one(&mut self, cx: &mut Cx<'_>, bytes: &[u8], at: usize) -> Result<(), BadFrame> {
        let Group { requests, frames, planned, keys, .. } = &mut self.group;
        let planned = planned[at];
        let frame = &mut frames[planned.frame as usize];
        if frame.is_kept {
            return Ok(());
        }
        let context = body::context(&frame.head, self.link, cx.now_ms);
        let reply = match frame.reply {
            Some(reply) => reply,
            // An earlier frame of this session has to wait, hence this one too.
            None if is_slow(&self.sessions, &self.outbox, frame.head.session) => {
                return self.keep(cx, bytes, planned.frame as usize);
            }
            None => {
                self.outbox.tail.set_proto(context.proto);
                *frame.reply.insert(self.outbox.open(frame.head.count as usize))
            }
        };
        let tail = &mut self.outbox.tail;
        let buf = &bytes[frame.from..frame.to];
        let Some(args) = requests.get(planned.item as usize, buf) else { return Ok(()) };
        let keys = &keys[planned.keys_from as usize..planned.keys_to as usize];
        let (mark, data_before) = (tail.mark(), tail.data_bytes());
        let len_before = tail.len();
        let call = Admitted::from_link(planned.spec, args).call(keys, context);
        let outcome = cx.handle.execute(&call, None, tail);
        let Outcome::Done { work, failed } = outcome else {
            let rest = cx.handle.take_deferred();
            let written = (tail.len() - len_before, tail.data_bytes() - data_before);
            return self.keep_begun(cx, bytes, planned.frame as usize, rest.map(|rest| (rest, written)));
        };
        let data_bytes = tail.data_bytes() - data_before;
        if requests.item(planned.item as usize).noreply {
            tail.truncate(mark);
        }
        let entry = Entry { reply_bytes: (tail.len() - len_before) as u64, data_bytes, work, failed };
        reply.set_entry(frame.done, &entry, tail);
        frame.done += 1;
        self.counts.request(keys, work);
        if frame.done == frame.head.count as usize {
            self.outbox.finish(reply, &reply_head(&frame.head, Status::Done, frame.done));
        }
        Ok(())
    }

    /// Gives a frame of the group to its session, because it or an earlier one has to wait.
    #[cold]
    fn keep(&mut self, cx: &mut Cx<'_>, bytes: &[u8], frame: usize) -> Result<(), BadFrame> {
        self.keep_begun(cx, bytes, frame, None)
    }

    /// The same where its next request may have run, with the beginning of a long reply at the end of the buffer: bytes
    /// and data bytes of that, and the rest.
    #[cold]
    fn keep_begun(
        &mut self,
        cx: &mut Cx<'_>,
        bytes: &[u8],
        frame: usize,
        begun: Option<(Box<Deferred>, (usize, u64))>,
    ) -> Result<(), BadFrame> {
        let open = &mut self.group.frames[frame];
        open.is_kept = true;
        let buf = &bytes[open.from..open.to];
        let mut job = Job::new(Kind::Request, open.head, self.link, buf.len());
        if let Some(reply) = open.reply.take() {
            (job.entries, job.out) = self.outbox.take_back(reply, open.done);
            job.out.set_proto(body::proto(&open.head));
        }
        job.answering = begun.map(|(rest, (len, data))| {
            let (len_before, data_before) = (job.out.len() - len, job.out.data_bytes() - data);
            Answering { rest, len_before, data_before }
        });
        for item in open.first + open.done..open.first + open.head.count as usize {
            let Some(args) = self.group.requests.get(item, buf) else { continue };
            let spec = body::command(open.head.flags, args)?;
            job.push(spec, args.to_owned(false), self.group.requests.item(item).noreply);
        }
        let session = open.head.session;
        self.enqueue(cx, session, job)
    }
}
