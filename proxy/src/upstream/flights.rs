//! One client's requests under way: the queue of its requests and the frames that they are in. A request goes out
//! (`sending`), its reply comes in (`answers`) and leaves when its turn comes (`order`), or there is none (`failures`).

mod answers;
mod copies;
mod failures;
mod order;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use self::copies::Copies;
use swell_engine::commands::table::Command;
use swell_engine::spec::Merge;
use swell_meter::{Payer, Prefix};
use swell_node::link::frame::{Flags, ReplyHead};
use swell_ring::{Epoch, NodeId, Slot};
use swell_wire::{Out, Proto};

use crate::core::Core;
use crate::upstream::link::Link;
use crate::upstream::shot::Shot;

/// Requests of one client that may be under way.
pub const FLIGHTS_MAX: usize = 4096;
/// Bytes of requests of one client that may be under way.
pub const FLIGHT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of answers of one client that cannot leave yet, over which nothing more is sent.
pub const STASH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of answers that have left and are not forgotten yet.
const STASH_SLACK_BYTES: usize = 64 * 1024;
/// How long a request waits for its slot to be served before its client reads an error.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// Buffers of a client with nothing under way keep no more than this.
const KEPT_BYTES: usize = 4096;

/// What every frame of a client says, from its session and the proxy's view.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framing {
    pub db: u8,
    pub flags: Flags,
    pub epoch: u64,
    pub state: u64,
}

/// What a request will be charged by, besides its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bill {
    /// Bytes of the values in it.
    pub value_bytes: u64,
    pub prefix: Prefix,
}

/// One client's requests under way.
pub struct Flights {
    session: u32,
    /// Who is charged for what is under way: nothing that changes it runs beside other requests.
    payer: Option<Payer>,
    next_frame: u32,
    /// Number of the first request in the queue.
    first: u64,
    requests: VecDeque<Request>,
    frames: Vec<Frame>,
    /// The requests' bytes, for going again.
    kept: Vec<u8>,
    /// Answers that cannot leave yet.
    stash: Stash,
    /// Replies in order, ready to be sent.
    ready: Out,
    under_way: usize,
    refused: usize,
    /// Before refused requests go again.
    need: Need,
    refused_since: Option<Instant>,
    /// The slot map that what is under way was routed by.
    epoch: Epoch,
    /// Nodes that have refused something: the next frame to them is flagged.
    restart: Vec<NodeId>,
    /// Chunks that were taken and not acknowledged, by link.
    owed: Vec<(Rc<Link>, u32)>,
    /// Frames of the job that this client waits for.
    pub shots: Vec<Shot>,
    /// A reply broke off in the middle.
    torn: bool,
    copies: Copies,
    waker: Option<Waker>,
}

/// Answers that cannot leave yet, and those that have left since it was tidied.
#[derive(Default)]
struct Stash {
    bytes: Vec<u8>,
    /// Bytes of those that have not left.
    live: usize,
}

impl Stash {
    /// Keeps an answer; returns where.
    #[inline]
    fn push(&mut self, answer: &[u8]) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(answer);
        self.live += answer.len();
        at
    }

    #[inline]
    fn get(&self, at: usize, len: usize) -> &[u8] {
        &self.bytes[at..at + len]
    }
}

/// A request on its way.
#[derive(Debug)]
struct Request {
    command: Command,
    bill: Bill,
    noreply: bool,
    slot: Slot,
    role: Role,
    /// Its bytes in `kept`.
    kept: (usize, usize),
    state: State,
}

impl Request {
    #[inline]
    fn charge(&self, core: &mut Core, data_bytes: u64, work: u64, failed: bool) -> u64 {
        let Bill { value_bytes, prefix } = self.bill;
        core.charge_on(prefix, self.command, value_bytes, data_bytes, work, failed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Plain,
    /// Stands before so many parts, whose replies are merged.
    Join(usize, Merge),
    Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the frame with this number.
    Sent(u32),
    Refused,
    /// Its reply, in `stash`.
    Answered {
        at: usize,
        len: usize,
        entry: Answer,
    },
    /// A join has nothing of its own.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    /// Whose it is.
    node: NodeId,
    data_bytes: u64,
    work: u64,
    failed: bool,
}

/// A frame that is not answered yet.
struct Frame {
    id: u32,
    link: Rc<Link>,
    incarnation: u64,
    /// Where it ends in the link's stream of bytes.
    end_at: u64,
    /// Its requests lie between these numbers, both included.
    requests: (u64, u64),
    count: usize,
    /// It is one of the job's.
    is_shot: bool,
    /// A long reply that is still coming.
    partial: Option<Partial>,
}

struct Partial {
    head: ReplyHead,
    /// What has come of the body, or (if it is passed on as it comes) nothing.
    body: Vec<u8>,
    passing: bool,
    /// Chunks that were taken and not acknowledged, because earlier requests come first.
    owed: u32,
}

/// What must be seen before something goes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    pub epoch: Epoch,
    pub state: u64,
}

impl Flights {
    /// Nothing under way. `session`: the client's number on this worker's links, `next_frame` where its last user left
    /// off, so that a late answer is never taken for another's.
    pub fn new(session: u32, next_frame: u32) -> Flights {
        Flights {
            session,
            payer: None,
            next_frame,
            first: 0,
            requests: VecDeque::new(),
            frames: Vec::new(),
            kept: Vec::new(),
            stash: Stash::default(),
            ready: Out::new(Proto::Resp2),
            under_way: 0,
            refused: 0,
            need: Need::default(),
            refused_since: None,
            epoch: Epoch(0),
            restart: Vec::new(),
            owed: Vec::new(),
            shots: Vec::new(),
            torn: false,
            copies: Copies::default(),
            waker: None,
        }
    }

    /// The client's number on this worker's links.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// The number of the next frame.
    pub fn next_frame(&self) -> u32 {
        self.next_frame
    }

    /// Whether no request is under way.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether another request may be sent now.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.requests.len() < FLIGHTS_MAX
            && self.kept.len() < FLIGHT_BYTES_MAX
            && self.stash.live < STASH_BYTES_MAX
            && self.refused == 0
    }

    /// Whether a request may go by this map: while something is under way by an older one, a slot that has moved since
    /// might see a later request first.
    #[inline]
    pub fn may_follow(&mut self, epoch: Epoch) -> bool {
        if self.requests.is_empty() {
            self.epoch = epoch;
        }
        self.epoch == epoch
    }

    /// Whether the beginning of a long reply has been passed on, and the rest has not.
    pub fn is_passing(&self) -> bool {
        self.frames.iter().any(|frame| frame.partial.as_ref().is_some_and(|partial| partial.passing))
    }

    /// Since when something refused has been waiting, if nothing else is under way: it may go again.
    pub fn stuck_since(&self) -> Option<Instant> {
        if self.under_way == 0 && self.refused > 0 { self.refused_since } else { None }
    }

    /// What must be seen before it goes again.
    pub fn need(&self) -> Need {
        self.need
    }

    /// Replies in order, ready to be sent.
    #[inline]
    pub fn ready(&mut self) -> &mut Out {
        &mut self.ready
    }

    /// Moves them to the end of `out`. Long ones take their buffer with them, so that no client keeps a large one.
    #[inline]
    pub fn take_ready(&mut self, out: &mut Out) {
        if out.is_empty() && self.ready.len() > KEPT_BYTES {
            let proto = self.ready.proto();
            *out = std::mem::replace(&mut self.ready, Out::new(proto));
        } else {
            out.append(&mut self.ready);
        }
    }

    /// Wakes the client when something has come.
    #[inline]
    pub fn set_waker(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) if old.will_wake(waker) => {}
            other => *other = Some(waker.clone()),
        }
    }

    #[inline]
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Who is charged for what is sent from now on. Nothing may be under way for another.
    #[inline]
    pub fn set_payer(&mut self, payer: &Payer) {
        if !self.payer.as_ref().is_some_and(|known| known.has_row_of(payer)) {
            self.payer = Some(payer.clone());
        }
    }

    /// Charges this client for what follows.
    #[inline]
    fn pays(&mut self, core: &mut Core) {
        if let Some(payer) = &mut self.payer {
            core.meter.set_payer(payer);
        }
    }

    /// Whether a reply broke off in the middle: the client's connection must end.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The dialect of merged replies.
    pub fn set_proto(&mut self, proto: Proto) {
        self.ready.set_proto(proto);
    }
}
