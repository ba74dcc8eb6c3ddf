//! The memcached text request decoder: resumable at any byte, in place.

use crate::arg::{Args, Span};
use crate::error::Reject;
use crate::limits::Limits;
use crate::long::LongArg;
use crate::memcached::data::{Arriving, Data};
use crate::memcached::line::{self, Line, LineEnd};
use crate::requests::Requests;
use crate::segments::SEGMENT_BYTES;

/// Offsets are 32 bits wide: of a longer buffer only this much is looked at in one call.
const BUF_BYTES_MAX: usize = u32::MAX as usize - 1;

/// One connection's state between reads: 24 bytes unless a long data block is arriving.
///
/// # Contract
/// As that of the RESP decoder ([`crate::resp::Decoder`]): complete requests are added to the batch, the number of bytes
/// they took is returned, a call that yielded anything is followed by another. A call stops early before a request whose
/// data block leaves the buffer (over 64 KiB, or over the item limit).
///
/// - The arguments are the words of the line, verb first. A storage command has its data block as the last one, always
///   at the same place: 5, for cas 6. `noreply` is no argument but a flag of the item.
/// - Flags, expiry, length and cas of a storage command are valid numbers ([`crate::memcached::number`]), and keys of
///   known verbs have at most 250 bytes; unknown verbs are yielded as they are.
/// - The data block of a refused line is not skipped but read as lines, as memcached does; only that of a
///   [`crate::Kind::TooLarge`] is skipped, and one with a bad end, as far as its length says.
/// - A NUL is a byte like any other, where memcached ends the line's meaning there.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The buffer must hold so many bytes before another look gets further.
    need: u32,
    /// The unfinished line at the front of the buffer has no end before here.
    scanned: u32,
    /// A request was refused in a way that closes the connection.
    closed: bool,
    arriving: Option<Box<Arriving>>,
}

/// One call: the buffer and where the requests go.
struct Batch<'a> {
    buf: &'a [u8],
    limits: &'a Limits,
    /// Where the search for the first line's end goes on. Later lines begin after it.
    scanned: usize,
    out: &'a mut Requests,
    /// Requests that were in `out` before the call.
    before: usize,
}

/// How one request ended.
enum Step {
    /// Complete or refused; the next begins here.
    Next(usize),
    /// Not complete; what is before here is consumed.
    Wait(usize),
}

impl Decoder {
    /// The state of a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the complete requests at the front of `buf` to `out` and returns the number of bytes they took; see the
    /// type for the contract.
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

    /// Forgets what was read beyond the last request served; see [`crate::resp::Decoder::rewind`].
    pub fn rewind(&mut self) {
        *self = Self::default();
    }

    /// Bytes still missing, beyond the `have` in the buffer, for what is known of the unfinished request; 0 where that
    /// is unknown.
    pub fn bytes_wanted(&self, have: usize) -> usize {
        match self.arriving.as_deref().map(|arriving| &arriving.data) {
            Some(Data::Keep(data)) if data.left() > 0 => data.left() + 2,
            Some(Data::Skip(left)) => *left,
            _ => (self.need as usize).saturating_sub(have),
        }
    }

    /// Heap bytes held beside the buffer, for the query buffer's limit.
    pub fn heap_bytes(&self) -> usize {
        self.arriving.as_ref().map_or(0, |arriving| arriving.heap_bytes())
    }

    /// The whole batch; returns what it consumed.
    fn requests(&mut self, batch: &mut Batch<'_>) -> usize {
        let full = batch.before + batch.limits.requests_per_call();
        let mut at = 0;
        if let Some(arriving) = self.arriving.take() {
            match self.arrive(batch, *arriving, 0) {
                Step::Next(next) => at = next,
                Step::Wait(consumed) => return consumed,
            }
        }
        while at < batch.buf.len() && batch.out.len() < full {
            match self.request(batch, at) {
                Step::Next(next) => at = next,
                Step::Wait(consumed) => return consumed,
            }
        }
        at
    }

    /// The request whose line begins at `start`.
    fn request(&mut self, batch: &mut Batch<'_>, start: usize) -> Step {
        let newline = match line::end(batch.buf, start, batch.scanned) {
            LineEnd::At(newline) => newline,
            LineEnd::More(scanned) => {
                self.scanned = (scanned - start) as u32;
                return Step::Wait(start);
            }
            LineEnd::TooLong => return self.close(batch),
        };
        let to = if newline > start && batch.buf[newline - 1] == b'\r' { newline - 1 } else { newline };
        let end = newline + 1;
        let first = batch.out.spans.len();
        match line::read(batch.buf, start, to, batch.limits, &mut batch.out.spans) {
            Line::Command { noreply } => batch.out.push_plain(first, end, noreply),
            Line::Storage { len, too_large, noreply } if too_large || len > SEGMENT_BYTES => {
                return self.depart(batch, start, end, first, (len, too_large, noreply));
            }
            Line::Storage { len, noreply, .. } => return self.block(batch, start, end, first, (len, noreply)),
            Line::Bad { reject, .. } if reject.closes() => {
                batch.out.spans.truncate(first);
                return self.close(batch);
            }
            Line::Bad { reject, noreply } => {
                batch.out.spans.truncate(first);
                batch.out.push_reject(reject, end, noreply);
            }
        }
        Step::Next(end)
    }

    /// A data block that stays in the buffer, at `from`.
    fn block(
        &mut self,
        batch: &mut Batch<'_>,
        start: usize,
        from: usize,
        first: usize,
        (len, noreply): (usize, bool),
    ) -> Step {
        let end = from + len + 2;
        match batch.buf.get(from + len..end) {
            Some(b"\r\n") => {
                batch.out.spans.push(Span { off: from as u32, len: len as u32 });
                batch.out.push_plain(first, end, noreply);
                Step::Next(end)
            }
            Some(_) => {
                batch.out.spans.truncate(first);
                batch.out.push_reject(Reject::BadDataChunk, end, noreply);
                Step::Next(end)
            }
            None => {
                batch.out.spans.truncate(first);
                self.need = (end - start) as u32;
                Step::Wait(start)
            }
        }
    }

    /// Begins a data block that leaves the buffer. Requests before it are served first, so that a rewind finds
    /// everything in the buffer.
    #[cold]
    fn depart(
        &mut self,
        batch: &mut Batch<'_>,
        start: usize,
        from: usize,
        first: usize,
        (len, too_large, noreply): (usize, bool, bool),
    ) -> Step {
        if batch.out.len() > batch.before {
            batch.out.spans.truncate(first);
            return Step::Wait(start);
        }
        let words = if too_large { &batch.out.spans[first..first + 2] } else { &batch.out.spans[first..] };
        let args = Args::new(batch.buf, words, &[]).to_owned(false);
        batch.out.spans.truncate(first);
        let data = if too_large { Data::Skip(len + 2) } else { Data::Keep(LongArg::new(len)) };
        self.arrive(batch, Arriving { args, noreply, data }, from)
    }

    /// Takes what is there of a data block that leaves the buffer, from `at` on.
    fn arrive(&mut self, batch: &mut Batch<'_>, mut arriving: Arriving, mut at: usize) -> Step {
        match &mut arriving.data {
            Data::Skip(left) => {
                let now = (*left).min(batch.buf.len() - at);
                *left -= now;
                at += now;
                if *left == 0 {
                    batch.out.push_too_large(arriving.args, at, arriving.noreply);
                    return Step::Next(at);
                }
            }
            Data::Keep(data) => {
                at += data.fill(&batch.buf[at..]);
                if let Some(line_end) = batch.buf.get(at..at + 2) {
                    return whole(batch, arriving, at + 2, line_end == b"\r\n");
                }
                self.need = 2;
            }
        }
        self.arriving = Some(Box::new(arriving));
        Step::Wait(at)
    }

    /// Refuses a line that closes the connection, and everything after it.
    #[cold]
    fn close(&mut self, batch: &mut Batch<'_>) -> Step {
        self.closed = true;
        batch.out.push_reject(Reject::LineTooLong, batch.buf.len(), false);
        Step::Wait(batch.buf.len())
    }
}

/// Yields a storage command whose long data block is complete.
fn whole(batch: &mut Batch<'_>, arriving: Arriving, end: usize, well_ended: bool) -> Step {
    let Arriving { mut args, noreply, data } = arriving;
    match data {
        Data::Keep(data) if well_ended => {
            args.push_segments(data.into_segments());
            batch.out.push_owned(args, end, noreply);
        }
        _ => batch.out.push_reject(Reject::BadDataChunk, end, noreply),
    }
    Step::Next(end)
}
