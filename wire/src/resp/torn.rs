//! What the RESP decoder keeps of a request that is not complete, where reading it again would cost too much.

use crate::arg::{Args, OwnedArgs, Span};
use crate::long::LongArg;

/// An unfinished request.
#[derive(Debug)]
pub(super) enum Torn {
    /// Many arguments, all still in the buffer.
    Spans(TornSpans),
    /// A long argument was among them: all are moved out as they arrive.
    Long(TornLong),
}

/// The arguments so far, relative to the request's start.
#[derive(Debug, Default)]
pub(super) struct TornSpans {
    pub spans: Vec<Span>,
    /// Where the next argument begins.
    pub at: usize,
    /// Arguments still to come.
    pub missing: usize,
}

/// The arguments so far, owned; the buffer begins with what comes next.
#[derive(Debug)]
pub(super) struct TornLong {
    pub args: OwnedArgs,
    /// The long argument that is arriving.
    pub filling: Option<LongArg>,
    /// Arguments still to come, the arriving one included.
    pub missing: usize,
}

impl Torn {
    /// Heap bytes held, for the query buffer's limit.
    pub(super) fn heap_bytes(&self) -> usize {
        let inside = match self {
            Torn::Spans(torn) => torn.spans.capacity() * size_of::<Span>(),
            Torn::Long(torn) => torn.args.heap_bytes() + torn.filling.as_ref().map_or(0, LongArg::heap_bytes),
        };
        inside + size_of::<Torn>()
    }
}

impl TornLong {
    /// Begins with the small arguments before the first long one, which has `len` bytes.
    pub(super) fn new(buf: &[u8], spans: &[Span], missing: usize, len: usize) -> Self {
        let args = Args::new(buf, spans, &[]).to_owned(false);
        Self { args, filling: Some(LongArg::new(len)), missing }
    }
}
