//! Frames: what goes over a link. A length, a kind, a fixed header of that kind, a body. Little-endian.
//!
//! | kind | header after length and kind | body |
//! | --- | --- | --- |
//! | `Hello`, `Control` | none | JSON; fields that a reader does not know are skipped |
//! | `Request`, `Exec`, `Walk`, `Stats` | [`RequestHead`] | requests as the client sent them; see [`RequestKind`] |
//! | `Reply` | [`ReplyHead`] | one [`Entry`] for each request that ran, then their replies; or the first piece of it |
//! | `Chunk` | [`ChunkHead`] | the next piece of a body over [`CHUNK_BYTES`] |
//! | `Credit` | [`CreditHead`] | none: the reader has room for so many more bytes of this session's chunks |
//! | `Close` | session (u32) | none: the session has ended |
//! | `Block` | [`RequestHead`] | since when its client waits (u64, unix microseconds), then one request that may wait |
//! | `Unblock` | [`UnblockHead`] | none: the `Block` of this session and id shall wait no longer |
//! | `Stream` | none | a hand-over's records (see `stream`), from source to target |
//! | `Subscribe`, `Subscribed`, `Push` | see `news` | subscriptions of a proxy's worker, and the messages for it |
//!
//! Both ends keep to the protocol; bytes that do not are an error that ends the link, never a panic.

/// The protocol spoken here. N and N-1 interoperate.
pub const PROTOCOL: u32 = 1;
/// The oldest protocol understood.
pub const PROTOCOL_MIN: u32 = 1;
/// Longest piece of a body that goes out in one frame: what another session may have to wait for.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of chunks that may be under way for one session and direction before the reader has asked for more.
pub const CREDIT_BYTES: usize = 16 * CHUNK_BYTES;
/// Requests in one frame; a transaction, which is one frame, may have as many as its head can count.
pub const FRAME_REQUESTS_MAX: usize = 1024;
/// Bytes of the length and the kind.
pub const PREFIX_BYTES: usize = 5;
/// Longest frame that is accepted, prefix not counted: a body of plain requests or replies may exceed a chunk by one
/// batch, and control messages carry the slot map.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Hello = 1,
    Control = 2,
    Request = 3,
    Exec = 4,
    Walk = 5,
    Stats = 6,
    Reply = 7,
    Chunk = 8,
    Credit = 9,
    Close = 10,
    Stream = 11,
    Subscribe = 12,
    Subscribed = 13,
    Push = 14,
    Block = 15,
    Unblock = 16,
}

/// What is wrong with the bytes of a link. It ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("a frame of {0} bytes is longer than a link accepts")]
    TooLong(usize),
    #[error("a frame of unknown kind {0}")]
    UnknownKind(u8),
    #[error("a frame that is shorter than its header")]
    TooShort,
    #[error("a frame out of place: {0}")]
    OutOfPlace(&'static str),
}

/// How the requests of a body are to be read.
///
/// `Request`: `count` requests one behind the other, run in order, each for itself. `Exec`: the same, run as one unit;
/// `SELECT` in between changes the database and counts as a request; for `WATCH` at the beginning see `link/watch.rs`. `Walk`: a bitmap of the slots wanted
/// ([`swell_ring::SlotSet::words`], 2048 bytes), then one request; the reply's body begins with the bitmap of the slots
/// covered. `Stats`: no body; the reply's body is JSON. `Block`: one request, answered when it has what it waits for or an
/// `Unblock` comes; if it is refused as `Moved` after it has waited, the body is the request to go on with.
pub type RequestKind = Kind;

/// The flags of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The session was refused before; this frame goes on with what was refused.
    pub const RESTART: Flags = Flags(1);
    /// Replies in RESP3.
    pub const RESP3: Flags = Flags(1 << 1);
    /// The requests name memcached verbs.
    pub const MEMCACHED: Flags = Flags(1 << 2);
    /// The body is memcached's text protocol; otherwise RESP, also for memcached verbs.
    pub const TEXT: Flags = Flags(1 << 3);
    /// Reads leave the access clock alone (CLIENT NO-TOUCH).
    pub const NO_TOUCH: Flags = Flags(1 << 4);
    /// The body goes on in `Chunk` frames.
    pub const MORE: Flags = Flags(1 << 5);
    /// The session's client keeps copies (CLIENT TRACKING).
    pub const TRACKS: Flags = Flags(1 << 6);
    /// With `TRACKS`: also of what these requests read.
    pub const REMEMBERS: Flags = Flags(1 << 7);

    /// Whether every flag of `other` is set.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[inline]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These but for `other`.
    #[inline]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// These, if `yes`.
    #[inline]
    pub const fn when(self, yes: bool) -> Flags {
        if yes { self } else { Flags(0) }
    }
}

/// The header of `Request`, `Exec`, `Walk` and `Stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    pub flags: Flags,
    /// The client's database.
    pub db: u8,
    /// Which of the process's caches; 0 is `default`.
    pub cache: u8,
    /// Whose request it is: a FIFO at the node.
    pub session: u32,
    /// Names the frame within its session; rises by one, and wraps.
    pub id: u32,
    /// Requests in the body.
    pub count: u16,
    /// The slot map that the proxy routed by.
    pub epoch: u64,
    /// The version of the cache state document that the proxy has.
    pub state: u64,
}

/// What became of a request frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// All requests ran.
    Done = 0,
    /// `done` requests ran; the next is for a slot that this node does not serve, or routed by an old state: wait for a
    /// map (and state) at least as new as the reply says.
    Moved = 1,
    /// `done` requests ran; the next waited too long at a closed gate.
    Paused = 2,
    /// Nothing ran: an earlier frame of the session was refused, and this one is not flagged RESTART.
    Behind = 3,
    /// Nothing ran, and nothing will: an `Exec` with a request that needs memory, of which there is none. An answer like
    /// `Done`: the session goes on.
    Full = 4,
    /// Nothing ran, and nothing will: an `Exec` on the condition that watched keys have not changed, and one has, or is
    /// not watched here. An answer like `Done`.
    Stale = 5,
}

/// The header of `Reply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    pub status: Status,
    /// Only [`Flags::MORE`].
    pub flags: Flags,
    pub session: u32,
    pub id: u32,
    /// Requests that ran, from the first on: as many [`Entry`]s begin the body.
    pub done: u16,
    /// With `Moved`: wait for a map at least this new.
    pub epoch: u64,
    /// With `Moved`: and for a state at least this new.
    pub state: u64,
}

/// What one request's reply was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Bytes of its reply in the body.
    pub reply_bytes: u64,
    /// Bytes of data among them, as the meter counts.
    pub data_bytes: u64,
    /// Logical work.
    pub work: u64,
    /// The reply is an error.
    pub failed: bool,
}

/// The header of `Chunk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    pub session: u32,
    pub id: u32,
    /// The body ends with this piece.
    pub last: bool,
}

/// The header of `Credit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditHead {
    pub session: u32,
    pub bytes: u32,
}

/// The header of `Unblock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnblockHead {
    pub session: u32,
    pub id: u32,
    /// Its client reads an error (CLIENT UNBLOCK … ERROR), and not that its time is over.
    pub error: bool,
}

/// One frame in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub kind: Kind,
    /// Header and body.
    pub rest: &'a [u8],
    /// Bytes of the whole frame.
    pub bytes: usize,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        let known = [
            Hello, Control, Request, Exec, Walk, Stats, Reply, Chunk, Credit, Close, Stream, Subscribe, Subscribed,
            Push, Block, Unblock,
        ];
        known.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl<'a> Frame<'a> {
    /// The frame at the front of `bytes`, if it is complete.
    ///
    /// # Errors
    /// A length or kind that no frame has.
    #[inline]
    pub fn first(bytes: &'a [u8]) -> Result<Option<Frame<'a>>, BadFrame> {
        let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(BadFrame::TooLong(len));
        }
        let kind = Kind::of(prefix[4]).ok_or(BadFrame::UnknownKind(prefix[4]))?;
        let rest = bytes.get(PREFIX_BYTES..PREFIX_BYTES + len);
        Ok(rest.map(|rest| Frame { kind, rest, bytes: PREFIX_BYTES + len }))
    }
}

/// Bytes of a whole frame whose prefix lies at the front; nothing while that is not there.
pub fn wanted(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<4>()?;
    Some(PREFIX_BYTES + (u32::from_le_bytes(*prefix) as usize).min(FRAME_BYTES_MAX))
}

/// Begins a frame; returns where, for [`end`].
#[inline]
pub fn begin(kind: Kind, out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    at
}

/// Ends the frame that began at `at`: its length is known now.
#[inline]
pub fn end(at: usize, out: &mut [u8]) {
    let len = (out.len() - at - PREFIX_BYTES) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

impl RequestHead {
    /// Bytes of it.
    pub const BYTES: usize = 32;

    /// Writes it.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.flags.0;
        bytes[1] = self.db;
        bytes[2] = self.cache;
        bytes[4..8].copy_from_slice(&self.session.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.id.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.state.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    /// Overwrites the count of the head that was written at `at` (after the frame's prefix).
    #[inline]
    pub fn set_count(at: usize, count: u16, out: &mut [u8]) {
        out[at + 12..at + 14].copy_from_slice(&count.to_le_bytes());
    }

    /// Reads it; returns the body too.
    #[inline]
    pub fn read(rest: &[u8]) -> Result<(RequestHead, &[u8]), BadFrame> {
        let (bytes, body) = rest.split_first_chunk::<{ Self::BYTES }>().ok_or(BadFrame::TooShort)?;
        let head = RequestHead {
            flags: Flags(bytes[0]),
            db: bytes[1],
            cache: bytes[2],
            session: u32_at(bytes, 4),
            id: u32_at(bytes, 8),
            count: u16::from_le_bytes([bytes[12], bytes[13]]),
            epoch: u64_at(bytes, 16),
            state: u64_at(bytes, 24),
        };
        Ok((head, body))
    }
}

impl ReplyHead {
    /// Bytes of it.
    pub const BYTES: usize = 28;

    /// Writes it.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Overwrites the head that was written at `at` (after the frame's prefix).
    #[inline]
    pub fn overwrite(&self, at: usize, out: &mut [u8]) {
        out[at..at + Self::BYTES].copy_from_slice(&self.bytes());
    }

    #[inline]
    fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = self.status as u8;
        bytes[1] = self.flags.0;
        bytes[2..4].copy_from_slice(&self.done.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.session.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.id.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.state.to_le_bytes());
        bytes
    }

    /// Reads it; returns the body too.
    #[inline]
    pub fn read(rest: &[u8]) -> Result<(ReplyHead, &[u8]), BadFrame> {
        let (bytes, body) = rest.split_first_chunk::<{ Self::BYTES }>().ok_or(BadFrame::TooShort)?;
        let status = match bytes[0] {
            0 => Status::Done,
            1 => Status::Moved,
            2 => Status::Paused,
            3 => Status::Behind,
            4 => Status::Full,
            5 => Status::Stale,
            _ => return Err(BadFrame::OutOfPlace("an unknown status")),
        };
        let head = ReplyHead {
            status,
            flags: Flags(bytes[1]),
            done: u16::from_le_bytes([bytes[2], bytes[3]]),
            session: u32_at(bytes, 4),
            id: u32_at(bytes, 8),
            epoch: u64_at(bytes, 12),
            state: u64_at(bytes, 20),
        };
        Ok((head, body))
    }
}

impl Entry {
    /// Bytes of it.
    pub const BYTES: usize = 24;
    const FAILED: u64 = 1 << 63;

    /// Writes it over the bytes at `at`.
    #[inline]
    pub fn overwrite(&self, at: usize, out: &mut [u8]) {
        let work = self.work & !Self::FAILED | if self.failed { Self::FAILED } else { 0 };
        out[at..at + 8].copy_from_slice(&self.reply_bytes.to_le_bytes());
        out[at + 8..at + 16].copy_from_slice(&self.data_bytes.to_le_bytes());
        out[at + 16..at + 24].copy_from_slice(&work.to_le_bytes());
    }

    /// Reads the `index`-th entry of a reply's body.
    #[inline]
    pub fn read(body: &[u8], index: usize) -> Result<Entry, BadFrame> {
        let bytes: &[u8; Self::BYTES] =
            body.get(index * Self::BYTES..).and_then(<[u8]>::first_chunk).ok_or(BadFrame::TooShort)?;
        let work = u64_at(bytes, 16);
        Ok(Entry {
            reply_bytes: u64_at(bytes, 0),
            data_bytes: u64_at(bytes, 8),
            work: work & !Self::FAILED,
            failed: work & Self::FAILED != 0,
        })
    }
}

impl ChunkHead {
    /// Bytes of it.
    pub const BYTES: usize = 9;

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.push(u8::from(self.last));
    }

    /// Reads it; returns the piece too.
    pub fn read(rest: &[u8]) -> Result<(ChunkHead, &[u8]), BadFrame> {
        let (bytes, body) = rest.split_first_chunk::<{ Self::BYTES }>().ok_or(BadFrame::TooShort)?;
        Ok((ChunkHead { session: u32_at(bytes, 0), id: u32_at(bytes, 4), last: bytes[8] != 0 }, body))
    }
}

impl UnblockHead {
    /// Writes a whole frame.
    pub fn frame(&self, out: &mut Vec<u8>) {
        let at = begin(Kind::Unblock, out);
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.push(u8::from(self.error));
        end(at, out);
    }

    /// Reads it.
    pub fn read(rest: &[u8]) -> Result<UnblockHead, BadFrame> {
        let bytes = rest.first_chunk::<9>().ok_or(BadFrame::TooShort)?;
        Ok(UnblockHead { session: u32_at(bytes, 0), id: u32_at(bytes, 4), error: bytes[8] != 0 })
    }
}

impl CreditHead {
    /// Writes a whole frame.
    pub fn frame(&self, out: &mut Vec<u8>) {
        let at = begin(Kind::Credit, out);
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        end(at, out);
    }

    /// Reads it.
    pub fn read(rest: &[u8]) -> Result<CreditHead, BadFrame> {
        let bytes = rest.first_chunk::<8>().ok_or(BadFrame::TooShort)?;
        Ok(CreditHead { session: u32_at(bytes, 0), bytes: u32_at(bytes, 4) })
    }
}

/// Writes a `Close` frame.
pub fn close(session: u32, out: &mut Vec<u8>) {
    let at = begin(Kind::Close, out);
    out.extend_from_slice(&session.to_le_bytes());
    end(at, out);
}

/// The session that a `Close` frame names.
pub fn closed(rest: &[u8]) -> Result<u32, BadFrame> {
    rest.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(BadFrame::TooShort)
}

/// Writes a frame whose body is JSON.
pub fn json(kind: Kind, message: &impl serde::Serialize, out: &mut Vec<u8>) {
    let at = begin(kind, out);
    // Our own messages have no keys that JSON cannot write, and a Vec takes all bytes.
    if serde_json::to_writer(&mut *out, message).is_err() {
        out.truncate(at + PREFIX_BYTES);
    }
    end(at, out);
}

#[inline]
fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline]
fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        let head = RequestHead {
            flags: Flags::RESP3.and(Flags::RESTART),
            db: 3,
            cache: 0,
            session: 77,
            id: u32::MAX,
            count: 5,
            epoch: u64::MAX - 1,
            state: 9,
        };
        let mut out = Vec::new();
        let at = begin(Kind::Request, &mut out);
        head.write(&mut out);
        RequestHead::set_count(at + PREFIX_BYTES, 6, &mut out);
        out.extend_from_slice(b"body");
        end(at, &mut out);
        assert!(Frame::first(&out[..out.len() - 1]).unwrap().is_none());
        assert_eq!(wanted(&out), Some(out.len()));
        let frame = Frame::first(&out).unwrap().unwrap();
        assert_eq!((frame.kind, frame.bytes), (Kind::Request, out.len()));
        let (read, body) = RequestHead::read(frame.rest).unwrap();
        assert_eq!((read, body), (RequestHead { count: 6, ..head }, &b"body"[..]));

        let head =
            ReplyHead { status: Status::Moved, flags: Flags::MORE, session: 1, id: 2, done: 3, epoch: 4, state: 5 };
        let mut out = Vec::new();
        head.write(&mut out);
        let entry = Entry { reply_bytes: 1 << 40, data_bytes: 7, work: 8, failed: true };
        let at = out.len();
        out.resize(at + Entry::BYTES, 0);
        entry.overwrite(at, &mut out);
        let (read, body) = ReplyHead::read(&out).unwrap();
        assert_eq!((read, Entry::read(body, 0).unwrap()), (head, entry));
        assert!(Entry::read(body, 1).is_err());
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        assert_eq!(Frame::first(&[0, 0, 0, 0, 99]).unwrap_err(), BadFrame::UnknownKind(99));
        assert!(matches!(Frame::first(&[255; 8]).unwrap_err(), BadFrame::TooLong(_)));
        assert_eq!(RequestHead::read(&[0; 31]).unwrap_err(), BadFrame::TooShort);
        assert_eq!(ReplyHead::read(&[9; 40]).unwrap_err(), BadFrame::OutOfPlace("an unknown status"));
        assert!(ChunkHead::read(&[0; 8]).is_err() && CreditHead::read(&[0; 7]).is_err() && closed(&[1]).is_err());
    }
}
