//! The arguments of one request, read in place: slices of the read buffer, or segments where they are long.

use std::borrow::Cow;

use crate::segments::Segments;

/// Where one argument lies: in the buffer, or (if `len` is [`Span::SEGMENTS`]) in the list of long arguments at `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset from the buffer's start, or index into the long arguments.
    pub off: u32,
    /// Length in bytes, or [`Span::SEGMENTS`].
    pub len: u32,
}

impl Span {
    /// Marks an argument that came as segments.
    pub const SEGMENTS: u32 = u32::MAX;
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// Up to 64 KiB, contiguous.
    Slice(&'a [u8]),
    /// Longer.
    Segments(&'a Segments),
}

impl<'a> Arg<'a> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Arg::Slice(bytes) => bytes.len(),
            Arg::Segments(segments) => segments.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, contiguous; copies only a long argument.
    pub fn to_bytes(&self) -> Cow<'a, [u8]> {
        match self {
            Arg::Slice(bytes) => Cow::Borrowed(bytes),
            Arg::Segments(segments) => Cow::Owned(segments.to_vec()),
        }
    }
}

/// The arguments of one request, the command's name first. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    long: &'a [Segments],
}

impl<'a> Args<'a> {
    /// Joins a buffer, the spans of one request and the long arguments they may name.
    pub fn new(buf: &'a [u8], spans: &'a [Span], long: &'a [Segments]) -> Self {
        Self { buf, spans, long }
    }

    /// Number of arguments, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; panics where there is none, as indexing does.
    #[inline]
    pub fn get(&self, index: usize) -> Arg<'a> {
        let span = self.spans[index];
        if span.len == Span::SEGMENTS {
            Arg::Segments(&self.long[span.off as usize])
        } else {
            Arg::Slice(&self.buf[span.off as usize..span.off as usize + span.len as usize])
        }
    }

    /// Argument `index` as a slice. Long arguments read as empty here: `execute` flattens them first
    /// (see [`Args::has_long`]) for every position whose command does not take segments.
    #[inline]
    pub fn slice(&self, index: usize) -> &'a [u8] {
        match self.get(index) {
            Arg::Slice(bytes) => bytes,
            Arg::Segments(_) => b"",
        }
    }

    /// Argument `index` as a slice, or nothing where there is none.
    pub fn opt(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.slice(index))
    }

    /// Whether any argument is long. Costs nothing for a buffer without long arguments.
    #[inline]
    pub fn has_long(&self) -> bool {
        !self.long.is_empty() && self.spans.iter().any(|span| span.len == Span::SEGMENTS)
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> Args<'a> {
        Args { spans: &self.spans[index.min(self.spans.len())..], ..*self }
    }

    /// Some of the arguments; panics where there are none, as slicing does.
    #[inline]
    pub fn part(&self, range: std::ops::Range<usize>) -> Args<'a> {
        Args { spans: &self.spans[range], ..*self }
    }

    /// All arguments as slices (long ones as empty, see [`Args::slice`]).
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |index| self.slice(index))
    }

    /// Sum of all lengths in bytes.
    pub fn payload_bytes(&self) -> usize {
        (0..self.len()).map(|index| self.get(index).len()).sum()
    }

    /// A copy that owns its bytes; with `flatten`, long arguments become contiguous.
    pub fn to_owned(&self, flatten: bool) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        if !self.has_long() {
            let bytes = self.spans.iter().map(|span| span.len as usize).sum();
            owned.buf.reserve_exact(bytes);
            owned.spans.reserve_exact(self.len());
        }
        for index in 0..self.len() {
            match self.get(index) {
                Arg::Slice(bytes) => owned.push(bytes),
                Arg::Segments(segments) if !flatten => owned.push_segments(segments.clone()),
                arg => owned.push(&arg.to_bytes()),
            }
        }
        owned
    }
}

/// Arguments that own their bytes: what MULTI queues, what a parked request keeps.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
    long: Vec<Segments>,
}

impl OwnedArgs {
    /// Copies a list of arguments.
    pub fn from_slices<B: AsRef<[u8]>>(args: &[B]) -> Self {
        let mut owned = Self::default();
        args.iter().for_each(|arg| owned.push(arg.as_ref()));
        owned
    }

    /// Number of arguments.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds copies of all of these.
    pub fn extend(&mut self, args: Args<'_>) {
        for index in 0..args.len() {
            match args.get(index) {
                Arg::Slice(bytes) => self.push(bytes),
                Arg::Segments(segments) => self.push_segments(segments.clone()),
            }
        }
    }

    /// Bytes that so many arguments take beside what they hold.
    pub fn bytes_beside(args: usize) -> usize {
        args * size_of::<Span>()
    }

    /// Forgets all arguments, and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
        self.long.clear();
    }

    /// Adds one argument. One that would lie beyond what a [`Span`] can name becomes segments.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.buf.len() + bytes.len() >= Span::SEGMENTS as usize {
            return self.push_segments(Segments::from_slice(bytes));
        }
        self.spans.push(Span { off: self.buf.len() as u32, len: bytes.len() as u32 });
        self.buf.extend_from_slice(bytes);
    }

    /// Adds one long argument.
    pub fn push_segments(&mut self, segments: Segments) {
        self.spans.push(Span { off: self.long.len() as u32, len: Span::SEGMENTS });
        self.long.push(segments);
    }

    /// Reads them.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.buf, &self.spans, &self.long)
    }

    /// Bytes of all arguments.
    pub fn bytes(&self) -> usize {
        self.buf.len() + self.long.iter().map(Segments::heap_bytes).sum::<usize>()
    }

    /// Heap bytes held, for the query buffer's limit.
    pub fn heap_bytes(&self) -> usize {
        self.buf.capacity() + self.spans.capacity() * 8 + self.long.iter().map(Segments::heap_bytes).sum::<usize>()
    }
}
