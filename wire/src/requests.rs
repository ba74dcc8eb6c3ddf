//! What a decoder yields for one batch: complete requests in order, read in place, in tables that are used again.

use crate::arg::{Args, OwnedArgs, Span};
use crate::error::Reject;

/// What one request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its arguments lie in the read buffer: `count` spans from `first` on.
    Plain {
        /// Index of the first span.
        first: u32,
        /// Number of arguments.
        count: u32,
    },
    /// Its arguments were moved out of the buffer (one is longer than a segment, or inline quotes were undone).
    Owned(u32),
    /// It is refused. After one that [closes](Reject::closes) nothing follows.
    Reject(Reject),
    /// memcached: [`Reject::ObjectTooLarge`]; the arguments are the verb and the key, whose old item a `set` removes.
    TooLarge(u32),
}

/// One request of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is and where its arguments are.
    pub kind: Kind,
    /// Offset in the buffer after this request: what is consumed once it has been served.
    pub end: u32,
    /// memcached: the client wants no reply, neither result nor error.
    pub noreply: bool,
}

/// Spans that [`Requests::clear`] keeps room for.
const SPANS_KEPT: usize = 64 * 1024;

/// The requests of one batch. A worker keeps one and clears it between batches, so that nothing is allocated once warm.
#[derive(Debug, Default)]
pub struct Requests {
    pub(crate) spans: Vec<Span>,
    items: Vec<Item>,
    owned: Vec<OwnedArgs>,
}

impl Requests {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all requests, keeps the room (unless it has grown large).
    pub fn clear(&mut self) {
        self.spans.clear();
        self.items.clear();
        self.owned.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
    }

    /// Number of requests, refused ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no request.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Request `index`; panics where there is none, as indexing does.
    #[inline]
    pub fn item(&self, index: usize) -> &Item {
        &self.items[index]
    }

    /// All requests in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The arguments of request `index`, or nothing for one that is refused. `buf` is what the decoder was given.
    #[inline]
    pub fn get<'a>(&'a self, index: usize, buf: &'a [u8]) -> Option<Args<'a>> {
        match self.items[index].kind {
            Kind::Plain { first, count } => {
                Some(Args::new(buf, &self.spans[first as usize..first as usize + count as usize], &[]))
            }
            Kind::Owned(at) | Kind::TooLarge(at) => Some(self.owned[at as usize].as_args()),
            Kind::Reject(_) => None,
        }
    }

    /// Takes the arguments of a [`Kind::Owned`] request without copying them, for a request that has to wait; it reads
    /// as having none afterwards. Nothing for other kinds: copy those with [`Args::to_owned`].
    pub fn take_owned(&mut self, index: usize) -> Option<OwnedArgs> {
        match self.items[index].kind {
            Kind::Owned(at) => Some(std::mem::take(&mut self.owned[at as usize])),
            _ => None,
        }
    }

    /// Adds a request whose spans, from `first` on, are already there.
    #[inline]
    pub(crate) fn push_plain(&mut self, first: usize, end: usize, noreply: bool) {
        let count = (self.spans.len() - first) as u32;
        self.items.push(Item { kind: Kind::Plain { first: first as u32, count }, end: end as u32, noreply });
    }

    /// Adds a request that owns its arguments.
    pub(crate) fn push_owned(&mut self, args: OwnedArgs, end: usize, noreply: bool) {
        self.items.push(Item { kind: Kind::Owned(self.owned.len() as u32), end: end as u32, noreply });
        self.owned.push(args);
    }

    /// Adds a storage command whose item is over the limit.
    pub(crate) fn push_too_large(&mut self, args: OwnedArgs, end: usize, noreply: bool) {
        self.items.push(Item { kind: Kind::TooLarge(self.owned.len() as u32), end: end as u32, noreply });
        self.owned.push(args);
    }

    /// Adds a refused request.
    pub(crate) fn push_reject(&mut self, reject: Reject, end: usize, noreply: bool) {
        self.items.push(Item { kind: Kind::Reject(reject), end: end as u32, noreply });
    }
}
