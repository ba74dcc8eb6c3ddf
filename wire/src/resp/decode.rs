//! The RESP request decoder: resumable at any byte, in place, one look at each argument.

use crate::arg::Span;
use crate::error::Reject;
use crate::limits::Limits;
use crate::long::LongArg;
use crate::requests::Requests;
use crate::resp::header::{self, Bulk, Count, LineOpen, Want};
use crate::resp::inline::{self, Words};
use crate::resp::torn::{Torn, TornLong, TornSpans};

/// Offsets are 32 bits wide: of a longer buffer only this much is looked at in one call.
const BUF_BYTES_MAX: usize = u32::MAX as usize - 1;
/// An unfinished request with up to so many finished arguments is read again from its start: cheaper than keeping them.
const REREAD_ARGS_MAX: usize = 16;
/// Room made for the arguments of one request before they are seen.
const ARGS_RESERVED_MAX: usize = 1024;

/// One connection's state between reads: 24 bytes unless a large request is arriving.
///
/// # Contract
/// `decode` is given all bytes of the connection that are not yet consumed. It adds the complete requests to `out` and
/// returns how many bytes they took; whoever calls it removes these from the front (after serving the requests, which
/// lie in them) and calls again with the rest: at once if the call yielded anything, else when more bytes are there.
///
/// - A call may stop early: at [`Limits::requests_max`], after one request of a client that has not authenticated,
///   before a request with an argument over 64 KiB. Such an argument is moved into segments as it arrives and its bytes
///   count as consumed; that only ever happens to the first request in the buffer.
/// - A refused request is an item at its place. After one that closes the connection everything else is consumed unread.
/// - Whoever stops serving in the middle of a batch consumes up to that item's `end` and calls [`Decoder::rewind`].
#[derive(Debug, Default)]
pub struct Decoder {
    /// The buffer must hold so many bytes before another look gets further.
    need: u32,
    /// The unfinished line at the end of the buffer has no end before here.
    scanned: u32,
    /// A request was refused in a way that closes the connection.
    closed: bool,
    torn: Option<Box<Torn>>,
}

/// One call: the buffer and where the requests go.
struct Batch<'a> {
    buf: &'a [u8],
    limits: &'a Limits,
    /// Where the search for the end of the first request's line goes on. Lines of later requests begin after it.
    scanned: usize,
    out: &'a mut Requests,
    /// Requests that were in `out` before the call.
    before: usize,
}

/// How one request ended.
enum Step {
    /// Complete, skipped or refused; the next begins here.
    Next(usize),
    /// Not complete; what is before here is consumed.
    Wait(usize),
}

/// How a walk over arguments ended.
enum Walk {
    Complete,
    More(Want),
    Long { from: usize, len: usize },
    Bad(Reject),
}

impl Decoder {
    /// The state of a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the complete requests at the front of `buf` to `out` and returns the number of bytes they took; see the
    /// type for the contract. Costs time linear in the new bytes, whatever the pieces they come in.
    pub fn decode(&mut self, buf: &[u8], limits: &Limits, out: &mut Requests) -> usize {
        if self.closed {
            return buf.len();
        }
        if buf.len() < self.need as usize {
            return 0;
        }
        self.need = 0;
        let scanned = std::mem::take(&mut self.scanned) as usize;
        let before = out.len();
        let mut batch = Batch { buf: &buf[..buf.len().min(BUF_BYTES_MAX)], limits, scanned, out, before };
        let at = self.requests(&mut batch);
        if self.closed { buf.len() } else { at }
    }

    /// Forgets what was read beyond the last request served: those bytes come again with the next call. Only after a
    /// call that yielded a request, whose bytes (at least the first request's) are consumed.
    pub fn rewind(&mut self) {
        *self = Self::default();
    }

    /// Bytes still missing, beyond the `have` in the buffer, for what is known of the unfinished request; 0 where that
    /// is unknown. A reader may make room for them.
    pub fn bytes_wanted(&self, have: usize) -> usize {
        let filling = match self.torn.as_deref() {
            Some(Torn::Long(torn)) => torn.filling.as_ref().map_or(0, |filling| filling.left()),
            _ => 0,
        };
        if filling > 0 { filling + 2 } else { (self.need as usize).saturating_sub(have) }
    }

    /// Heap bytes held beside the buffer, for the query buffer's limit.
    pub fn heap_bytes(&self) -> usize {
        self.torn.as_ref().map_or(0, |torn| torn.heap_bytes())
    }

    /// The whole batch; returns what it consumed.
    fn requests(&mut self, batch: &mut Batch<'_>) -> usize {
        let full = batch.before + batch.limits.requests_per_call();
        let mut at = 0;
        if let Some(torn) = self.torn.take() {
            match self.resume(*torn, batch) {
                Step::Next(next) => at = next,
                Step::Wait(consumed) => return consumed,
            }
        }
        while at < batch.buf.len() && batch.out.len() < full {
            let step = if batch.buf[at] == b'*' { self.array(batch, at) } else { self.inline(batch, at) };
            match step {
                Step::Next(next) => at = next,
                Step::Wait(consumed) => return consumed,
            }
        }
        at
    }

    /// The array request at `start`.
    #[inline]
    fn array(&mut self, batch: &mut Batch<'_>, start: usize) -> Step {
        let (count, from) = match header::count(batch.buf, start, batch.scanned, batch.limits) {
            Count::Args { count: 0, from } => return Step::Next(from),
            Count::Args { count, from } => (count, from),
            Count::More(want) => return self.wait(start, want),
            Count::Bad(reject) => return self.refuse(batch, reject),
        };
        let first = batch.out.spans.len();
        batch.out.spans.reserve(count.min(ARGS_RESERVED_MAX));
        let (mut at, mut missing) = (from, count);
        let spans = &mut batch.out.spans;
        let walk = walk(batch.buf, &mut at, &mut missing, batch.scanned, batch.limits, spans);
        if let Walk::Complete = walk {
            batch.out.push_plain(first, at, false);
            return Step::Next(at);
        }
        self.interrupted(batch, walk, start, first, TornSpans { spans: Vec::new(), at, missing })
    }

    /// The inline request at `start`.
    fn inline(&mut self, batch: &mut Batch<'_>, start: usize) -> Step {
        let newline = match header::line_end(batch.buf, start, batch.scanned, b'\n') {
            Ok(newline) => newline,
            Err(LineOpen::More(scanned)) => return self.wait(start, Want { need: 0, scanned }),
            Err(LineOpen::TooLong) => return self.refuse(batch, Reject::InlineTooLong),
        };
        let to = if newline > start && batch.buf[newline - 1] == b'\r' { newline - 1 } else { newline };
        let end = newline + 1;
        let first = batch.out.spans.len();
        match inline::split(batch.buf, start, to, &mut batch.out.spans) {
            Words::InPlace if batch.out.spans.len() > first => batch.out.push_plain(first, end, false),
            Words::Owned(args) => batch.out.push_owned(args, end, false),
            Words::Unbalanced => return self.refuse(batch, Reject::UnbalancedQuotes),
            Words::InPlace => {}
        }
        Step::Next(end)
    }

    /// An array request that did not come to its end in one walk.
    #[cold]
    #[inline(never)]
    fn interrupted(
        &mut self,
        batch: &mut Batch<'_>,
        walk: Walk,
        start: usize,
        first: usize,
        mut torn: TornSpans,
    ) -> Step {
        let spans = &batch.out.spans[first..];
        let step = match walk {
            Walk::Long { from, len } if batch.out.len() == batch.before => {
                let long = TornLong::new(batch.buf, spans, torn.missing, len);
                batch.out.spans.truncate(first);
                return self.long(batch, long, from);
            }
            // The requests before it are served first, so that a rewind finds everything in the buffer.
            Walk::Long { .. } => Step::Wait(start),
            Walk::Bad(reject) => {
                batch.out.spans.truncate(first);
                return self.refuse(batch, reject);
            }
            Walk::More(_) | Walk::Complete if spans.len() <= REREAD_ARGS_MAX => self.wait_for(&walk, start),
            Walk::More(_) | Walk::Complete => {
                let start32 = start as u32;
                torn.spans.extend(spans.iter().map(|span| Span { off: span.off - start32, ..*span }));
                torn.at -= start;
                self.torn = Some(Box::new(Torn::Spans(torn)));
                self.wait_for(&walk, start)
            }
        };
        batch.out.spans.truncate(first);
        step
    }

    /// Goes on with the request at the front of the buffer.
    #[cold]
    #[inline(never)]
    fn resume(&mut self, torn: Torn, batch: &mut Batch<'_>) -> Step {
        let mut torn = match torn {
            Torn::Long(torn) => return self.long(batch, torn, 0),
            Torn::Spans(torn) => torn,
        };
        let walk = walk(batch.buf, &mut torn.at, &mut torn.missing, batch.scanned, batch.limits, &mut torn.spans);
        match walk {
            Walk::Complete => {
                let first = batch.out.spans.len();
                batch.out.spans.extend_from_slice(&torn.spans);
                batch.out.push_plain(first, torn.at, false);
                Step::Next(torn.at)
            }
            Walk::Long { from, len } => {
                let long = TornLong::new(batch.buf, &torn.spans, torn.missing, len);
                self.long(batch, long, from)
            }
            Walk::Bad(reject) => self.refuse(batch, reject),
            Walk::More(want) => {
                self.torn = Some(Box::new(Torn::Spans(torn)));
                self.wait(0, want)
            }
        }
    }

    /// A request with a long argument, what comes next of it at `at`. Everything up to there is consumed.
    fn long(&mut self, batch: &mut Batch<'_>, mut torn: TornLong, mut at: usize) -> Step {
        let plain_max = header::plain_bytes_max(batch.limits);
        while torn.missing > 0 {
            let want = if let Some(filling) = &mut torn.filling {
                at += filling.fill(&batch.buf[at..]);
                match batch.buf.get(at..at + 2) {
                    Some(b"\r\n") => {
                        at += 2;
                        torn.missing -= 1;
                        torn.args.push_segments(torn.filling.take().expect("it is being filled").into_segments());
                        continue;
                    }
                    Some(_) if filling.left() == 0 => return self.refuse(batch, Reject::LineEnd),
                    _ => Want { need: at + 2, scanned: 0 },
                }
            } else {
                match header::bulk(batch.buf, at, batch.scanned, plain_max, batch.limits) {
                    Bulk::Here { from, len } => {
                        torn.args.push(&batch.buf[from..from + len]);
                        torn.missing -= 1;
                        at = from + len + 2;
                        continue;
                    }
                    Bulk::Long { from, len } => {
                        torn.filling = Some(LongArg::new(len));
                        at = from;
                        continue;
                    }
                    Bulk::Bad(reject) => return self.refuse(batch, reject),
                    Bulk::More(want) => want,
                }
            };
            self.torn = Some(Box::new(Torn::Long(torn)));
            return self.wait(at, want);
        }
        batch.out.push_owned(torn.args, at, false);
        Step::Next(at)
    }

    /// Notes what is missing; everything before `consumed` will be gone from the buffer by the next call.
    fn wait(&mut self, consumed: usize, want: Want) -> Step {
        self.need = want.need.saturating_sub(consumed) as u32;
        self.scanned = want.scanned.saturating_sub(consumed) as u32;
        Step::Wait(consumed)
    }

    fn wait_for(&mut self, walk: &Walk, consumed: usize) -> Step {
        match walk {
            Walk::More(want) => self.wait(consumed, *want),
            _ => Step::Wait(consumed),
        }
    }

    /// Refuses the request and everything after it.
    #[cold]
    fn refuse(&mut self, batch: &mut Batch<'_>, reject: Reject) -> Step {
        self.closed = true;
        batch.out.push_reject(reject, batch.buf.len(), false);
        Step::Wait(batch.buf.len())
    }
}

/// Reads arguments from `at` on until none is missing or something stops it.
#[inline(always)]
fn walk(
    buf: &[u8],
    at: &mut usize,
    missing: &mut usize,
    scanned: usize,
    limits: &Limits,
    spans: &mut Vec<Span>,
) -> Walk {
    let plain_max = header::plain_bytes_max(limits);
    while *missing > 0 {
        match header::bulk(buf, *at, scanned, plain_max, limits) {
            Bulk::Here { from, len } => {
                spans.push(Span { off: from as u32, len: len as u32 });
                *at = from + len + 2;
                *missing -= 1;
            }
            Bulk::Long { from, len } => return Walk::Long { from, len },
            Bulk::More(want) => return Walk::More(want),
            Bulk::Bad(reject) => return Walk::Bad(reject),
        }
    }
    Walk::Complete
}
