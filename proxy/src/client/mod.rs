//! One client's connection: read once, decode all there is, answer all, flush once. The one loop to read first. A batch
//! runs here (`batch`) or at its nodes (`routed`), what cannot be answered yet is `late`, and replies go out in `send`.

mod batch;
mod blocked;
mod late;
mod pushes;
mod routed;
mod send;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use swell_engine::commands::table::Found;
use swell_wire::requests::{Kind, Requests};
use swell_wire::{Args, OwnedArgs, memcached, resp};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

pub(crate) use self::blocked::Timer;
use self::late::{LateAnswer, LateState, WRITTEN_AHEAD_MAX};
use self::send::Unsent;
use crate::clients::Door;
use crate::core::{Core, READ_BYTES};
use crate::observe::Stopwatch;
use crate::plan::{InPlace, Source};
use crate::pubsub;
use crate::push::limits::Excess;
use crate::replies::Replies;
use crate::session::{self, Late, Session};
use crate::upstream::flights::Flights;
use crate::worker::Worker;

/// Reads from a client that sends without end before others get their turn: some hundred KiB.
const READS_PER_TURN: u32 = 8;

/// A connection and everything that waits on it.
pub struct Client {
    stream: TcpStream,
    worker: Rc<Worker>,
    session: Session,
    decoder: Decoder,
    /// Bytes of a request that is not complete yet.
    unread: Vec<u8>,
    /// Replies that the socket did not take yet.
    unsent: Option<Box<Unsent>>,
    /// Requests behind a late answer (it stands first).
    backlog: VecDeque<Waiting>,
    late: Option<Box<LateAnswer>>,
    /// How long the late request has run.
    stopwatch: Stopwatch,
    /// Requests under way to other processes, once there was one.
    flights: Option<Rc<RefCell<Flights>>>,
    /// The backlog waits for them.
    hold: Option<Hold>,
    /// When what was refused has waited too long.
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    replies: Replies,
    /// How it stands with the limit of what its socket has not taken.
    excess: Excess,
    /// `unread` may hold complete requests: decoding stopped early.
    undecoded: bool,
    /// The peer has closed its side.
    at_end: bool,
}

enum Decoder {
    Resp(resp::Decoder),
    Memcached(memcached::Decoder),
}

/// A request that has to wait; its bytes are its own.
struct Waiting {
    args: Option<OwnedArgs>,
    kind: Kind,
    noreply: bool,
}

/// How far a batch came.
struct Progress {
    /// The first request that did not finish, and why.
    late: Option<(usize, Stop)>,
}

/// Why a batch stops.
enum Stop {
    Late(Late),
    Hold(Hold),
}

/// What the backlog waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Room for more requests under way.
    Room,
    /// No request under way: the next one runs alone.
    Quiet,
}

impl Source for VecDeque<Waiting> {
    fn count(&self) -> usize {
        self.len()
    }

    fn args(&self, index: usize) -> Option<Args<'_>> {
        self[index].args.as_ref().map(OwnedArgs::as_args)
    }

    fn kind(&self, index: usize) -> Kind {
        self[index].kind
    }

    fn noreply(&self, index: usize) -> bool {
        self[index].noreply
    }

    fn verbatim(&self, _index: usize) -> Option<&[u8]> {
        None
    }
}

impl Client {
    /// A client that has just been accepted.
    pub fn new(stream: TcpStream, worker: Rc<Worker>, session: Session) -> Client {
        let decoder = match session.info.door {
            Door::Resp => Decoder::Resp(resp::Decoder::new()),
            Door::Memcached => Decoder::Memcached(memcached::Decoder::new()),
        };
        Client {
            stream,
            worker,
            session,
            decoder,
            unread: Vec::new(),
            unsent: None,
            backlog: VecDeque::new(),
            late: None,
            stopwatch: Stopwatch::default(),
            flights: None,
            hold: None,
            deadline: None,
            replies: Replies::default(),
            excess: Excess::None,
            undecoded: false,
            at_end: false,
        }
    }

    /// Moves everything on that can move; ready when the connection is over.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut reads = 0;
        loop {
            if self.is_executing() {
                ready!(self.poll_late(cx));
            }
            if self.unsent.is_some() && self.poll_flush(cx).is_err() {
                return Poll::Ready(());
            }
            let is_quiet = self.poll_flights(cx);
            if self.session.inbox.is_some() && !self.write_pushes(cx) {
                return Poll::Ready(());
            }
            // What has just come may not have fitted the socket: nobody but it says when the rest does.
            let held = self.unsent_bytes();
            if held > 0 {
                if self.poll_flush(cx).is_err() {
                    return Poll::Ready(());
                }
                if self.is_over_limit(held) {
                    return Poll::Ready(());
                }
                if self.has_room_again(held) || self.has_pushes_to_write() {
                    continue;
                }
            }
            if self.is_torn() {
                return Poll::Ready(());
            }
            if self.session.closing && self.late.is_none() && is_quiet {
                return if self.unsent.is_none() { Poll::Ready(()) } else { Poll::Pending };
            }
            if self.unsent_bytes() > self.worker.shared.settings.output_buffer_bytes_max() {
                return Poll::Pending;
            }
            if self.is_writing() && self.unsent_bytes() > WRITTEN_AHEAD_MAX {
                return Poll::Pending;
            }
            if self.late.is_some() {
                if self.session.wait.is_some() {
                    // What is read ahead may stand before the news that nobody is there.
                    if self.has_left(cx) {
                        return Poll::Ready(());
                    }
                } else if !self.is_writing() && self.is_gone(cx) {
                    return Poll::Ready(());
                }
                ready!(self.poll_late(cx));
            } else if !self.backlog.is_empty() {
                if !self.may_go_on() {
                    return Poll::Pending;
                }
                self.serve_backlog();
            } else if self.undecoded {
                self.serve_unread();
            } else if self.at_end || self.session.closing {
                return if self.unsent.is_none() && is_quiet { Poll::Ready(()) } else { Poll::Pending };
            } else if reads == READS_PER_TURN {
                return others_first(cx);
            } else if ready!(self.poll_serve(cx)) {
                reads += 1;
            } else {
                self.at_end = true;
            }
        }
    }

    /// Whether the peer has left, or the client was killed, while an answer is late and nothing is read.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        match self.stream.poll_peek(cx, &mut buf) {
            Poll::Ready(Ok(bytes)) => bytes == 0 && !self.worker.shared.is_stopping(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Reads what the socket has and serves it. False: the connection is at its end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let worker = self.worker.clone();
        let mut scratch = worker.scratch.borrow_mut();
        if self.unread.is_empty() {
            let mut buf = ReadBuf::new(&mut scratch);
            let Ok(()) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) else { return Poll::Ready(false) };
            let bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(false);
            }
            let consumed = self.serve(bytes, bytes.len());
            self.unread.extend_from_slice(&bytes[consumed..]);
        } else {
            drop(scratch);
            let mut unread = std::mem::take(&mut self.unread);
            unread.reserve(self.decoder.bytes_wanted(unread.len()).clamp(READ_BYTES / 4, 1024 * 1024));
            let before = unread.len();
            let result = {
                let mut buf = ReadBuf::uninit(unread.spare_capacity_mut());
                Pin::new(&mut self.stream).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
            };
            let Poll::Ready(result) = result else {
                self.unread = unread;
                return Poll::Pending;
            };
            let read = result.unwrap_or(0);
            if read == 0 {
                return Poll::Ready(false);
            }
            // SAFETY: poll_read has filled this many bytes of the spare capacity.
            unsafe { unread.set_len(before + read) };
            let consumed = self.serve(&unread, read);
            if consumed < unread.len() {
                unread.drain(..consumed);
                self.unread = unread;
            }
        }
        self.check_query_buffer();
        Poll::Ready(true)
    }

    /// Goes on with what was read but not decoded when an answer was late or the output full.
    fn serve_unread(&mut self) {
        self.undecoded = false;
        let mut unread = std::mem::take(&mut self.unread);
        let consumed = self.serve(&unread, 0);
        if consumed < unread.len() {
            unread.drain(..consumed);
            self.unread = unread;
        }
    }

    /// Decodes and serves all complete requests at the front of `bytes`; returns how many bytes that were. `read` of
    /// them are new.
    fn serve(&mut self, bytes: &[u8], read: usize) -> usize {
        let worker = self.worker.clone();
        let mut core = worker.core.borrow_mut();
        let core = &mut *core;
        let started = worker.begin_batch(core);
        core.out.set_proto(self.session.proto);
        core.counts.bytes_in += read as u64;
        self.session.info.bytes_in.fetch_add(read as u64, Relaxed);
        let mut requests = std::mem::take(&mut core.requests);
        let output_max = core.shared.settings.output_buffer_bytes_max();
        let mut consumed = 0;
        while !self.session.closing {
            requests.clear();
            core.limits.authenticated = self.session.authenticated;
            let buf = &bytes[consumed..];
            consumed += self.decoder.decode(buf, core, &mut requests);
            if requests.is_empty() {
                break;
            }
            let source = InPlace { requests: &requests, buf, is_resp: matches!(self.decoder, Decoder::Resp(_)) };
            let progress = self.run_batch(core, &source, 0, None);
            self.note_last(core, &source, progress.late.as_ref().map_or(source.count() - 1, |(at, _)| *at));
            if let Some((at, late)) = progress.late {
                self.put_off(&mut requests, buf, at, late);
                self.undecoded = true;
                break;
            }
            if consumed == bytes.len() {
                break;
            }
            if core.out.len() as u64 > output_max {
                self.undecoded = true;
                break;
            }
        }
        core.requests = requests;
        self.send(core);
        worker.end_batch(core, started);
        if self.session.closing { bytes.len() } else { consumed }
    }

    /// Closes a client whose unfinished request is over the limit (Redis does the same).
    fn check_query_buffer(&mut self) {
        let bytes = (self.unread.len() + self.decoder.heap_bytes()) as u64;
        self.session.info.query_buffer_bytes.store(self.unread.len() as u64, Relaxed);
        if bytes > self.worker.shared.settings.query_buffer_bytes_max() {
            tracing::warn!(client = %self.session.info.addr, bytes, "closed a client over the query buffer's limit");
            self.session.closing = true;
        }
    }

    /// Notes what CLIENT LIST shows of the batch, whose request `at` is the last that ran or runs.
    fn note_last(&self, core: &Core, source: &impl Source, at: usize) {
        let info = &self.session.info;
        info.last_active_ms.store(core.now_ms, Relaxed);
        info.commands.fetch_add(at as u64 + 1, Relaxed);
        let found = source.args(at).map(|args| self.session.table().find(args));
        if let Some(Found::Command(command)) = found {
            info.last_command.store(command.id.0, Relaxed);
        }
    }
}

impl Future for Client {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.drive(cx)
    }
}

/// Comes back after everybody else, and after the sockets have been asked for news.
fn others_first(cx: &mut Context<'_>) -> Poll<()> {
    // The first poll tells the runtime whom to wake; the future itself is not needed for that.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

impl Drop for Client {
    fn drop(&mut self) {
        let ticket = self.late.take().and_then(|late| match late.state {
            LateState::Stripe(_, ticket) => ticket,
            LateState::Walk(walking, ..) => walking.state.ticket,
            LateState::Blocked(answering, _) => {
                self.forget(&answering);
                None
            }
            LateState::Gate(..)
            | LateState::Slices(..)
            | LateState::Unit(..)
            | LateState::Sleep(..)
            | LateState::Replicas(..)
            | LateState::Told(..)
            | LateState::Crowded(..)
            | LateState::Paused(_)
            | LateState::Remote(..) => None,
        });
        if let Some(ticket) = ticket {
            self.worker.shared.node.engine().stripe(ticket.stripe()).cancel(ticket);
        }
        if let Some(flights) = self.flights.take() {
            self.worker.upstreams.leave_seat(&flights);
        }
        let worker = self.worker.clone();
        session::queue::forget(worker.shared.node.engine(), self.session.multi.take());
        self.session.stop_monitoring(&worker.shared);
        if self.session.tracked().is_some() {
            worker.shared.tracking.end(self.session.info.id);
        }
        // Before the stream is closed: see `Registry::kill`.
        self.worker.shared.clients.remove(self.session.info.id);
        // Nobody is dropped while a batch runs.
        if self.session.inbox.is_some()
            && let Ok(mut core) = self.worker.core.try_borrow_mut()
        {
            core.inboxes.close(self.session.info.id);
            self.session.stop_tracking(&mut core);
            pubsub::unsubscribe_all(&mut core, &mut self.session);
        }
        self.worker.connection_closed();
    }
}

impl Decoder {
    fn decode(&mut self, bytes: &[u8], core: &mut Core, requests: &mut Requests) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.decode(bytes, &core.limits, requests),
            Decoder::Memcached(decoder) => decoder.decode(bytes, &core.limits, requests),
        }
    }

    fn bytes_wanted(&self, have: usize) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.bytes_wanted(have),
            Decoder::Memcached(decoder) => decoder.bytes_wanted(have),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Decoder::Resp(decoder) => decoder.heap_bytes(),
            Decoder::Memcached(decoder) => decoder.heap_bytes(),
        }
    }
}
