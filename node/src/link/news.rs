//! Frames of channels: what a proxy's worker has subscribed to (`Subscribe`, answered by `Subscribed`), and the messages
//! for it (`Push`). Little-endian.
//!
//! A `Push` may also say that copies of a key, in the place of the channel, are stale.
//!
//! `Subscribe`: [`SubscribeHead`], then any number of entries: topic u8, count u32, length u32, name. `Subscribed`: number
//! u32, status u8. `Push`: kind u8, 1 if more follows u8, length of the channel u32, then the next piece of channel and
//! message.

use swell_engine::channels::ChannelKind;

use crate::broker::{Matter, PeerId, Published, Told, Topic};
use crate::link::frame::{self, BadFrame, CHUNK_BYTES, Kind};

/// Bytes of entries in one frame before another one is begun.
pub const SUBSCRIBE_BYTES: usize = CHUNK_BYTES;
/// Longest channel and message together: two arguments.
const PUSH_BYTES_MAX: usize = 2 * swell_wire::limits::BULK_BYTES_MAX;
const PUSH_HEAD_BYTES: usize = 6;

/// What messages are about.
const MATTERS: [Matter; 5] = [
    Matter::Channel(ChannelKind::Plain),
    Matter::Channel(ChannelKind::Shard),
    Matter::StaleRead,
    Matter::StaleAny,
    Matter::AllStale,
];

fn matter_code(matter: Matter) -> u8 {
    match matter {
        Matter::Channel(ChannelKind::Plain) => 0,
        Matter::Channel(ChannelKind::Shard) => 1,
        Matter::StaleRead => 2,
        Matter::StaleAny => 3,
        Matter::AllStale => 4,
    }
}

/// The header of `Subscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeHead {
    pub peer: PeerId,
    /// Names the frame.
    pub number: u32,
    /// The slot map that the proxy knows: it tells all nodes of that map.
    pub epoch: u64,
    /// With this frame all is said.
    pub is_last: bool,
}

impl SubscribeHead {
    const BYTES: usize = 21;

    /// Begins a frame; [`entry`] and [`frame::end`] follow.
    pub fn begin(&self, out: &mut Vec<u8>) -> usize {
        let at = frame::begin(Kind::Subscribe, out);
        out.extend_from_slice(&self.peer.0.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.push(u8::from(self.is_last));
        at
    }

    /// Reads it; returns the entries too.
    ///
    /// # Errors
    /// Too few bytes.
    pub fn read(rest: &[u8]) -> Result<(SubscribeHead, &[u8]), BadFrame> {
        let (bytes, body) = rest.split_first_chunk::<{ Self::BYTES }>().ok_or(BadFrame::TooShort)?;
        let [peer @ .., _, _, _, _, _, _, _, _, _, _, _, _, _] = *bytes;
        let [_, _, _, _, _, _, _, _, number @ .., _, _, _, _, _, _, _, _, _] = *bytes;
        let [_, _, _, _, _, _, _, _, _, _, _, _, epoch @ .., is_last] = *bytes;
        let head = SubscribeHead {
            peer: PeerId(u64::from_le_bytes(peer)),
            number: u32::from_le_bytes(number),
            epoch: u64::from_le_bytes(epoch),
            is_last: is_last != 0,
        };
        Ok((head, body))
    }
}

/// Adds an entry: so many clients have subscribed.
pub fn entry(topic: Topic, name: &[u8], count: u32, out: &mut Vec<u8>) {
    out.push(topic as u8);
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(name);
}

/// Reads all entries.
///
/// # Errors
/// What no proxy writes.
pub fn entries(mut body: &[u8]) -> Result<Vec<(Topic, &[u8], u32)>, BadFrame> {
    let mut all = Vec::new();
    while let Some((topic, rest)) = body.split_first() {
        let topic = Topic::EVERY.into_iter().find(|known| *known as u8 == *topic);
        let topic = topic.ok_or(BadFrame::OutOfPlace("a subscription to nothing known"))?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(BadFrame::TooShort)?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or(BadFrame::TooShort)?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(BadFrame::TooShort)?;
        all.push((topic, name, u32::from_le_bytes(*count)));
        body = rest;
    }
    Ok(all)
}

/// Writes the answer to a `Subscribe`.
pub fn subscribed(number: u32, told: Told, out: &mut Vec<u8>) {
    let at = frame::begin(Kind::Subscribed, out);
    out.extend_from_slice(&number.to_le_bytes());
    out.push(u8::from(told == Told::Later));
    frame::end(at, out);
}

/// Reads it.
///
/// # Errors
/// Too few bytes.
pub fn read_subscribed(rest: &[u8]) -> Result<(u32, Told), BadFrame> {
    let [number @ .., later] = *rest.first_chunk::<5>().ok_or(BadFrame::TooShort)?;
    Ok((u32::from_le_bytes(number), if later == 0 { Told::Done } else { Told::Later }))
}

/// Writes a message in as many frames as it takes.
pub fn push(published: &Published, out: &mut Vec<u8>) {
    let mut left = published.bytes();
    loop {
        let (piece, rest) = left.split_at(left.len().min(CHUNK_BYTES));
        left = rest;
        let at = frame::begin(Kind::Push, out);
        out.push(matter_code(published.matter()));
        out.push(u8::from(!left.is_empty()));
        out.extend_from_slice(&(published.channel().len() as u32).to_le_bytes());
        out.extend_from_slice(piece);
        frame::end(at, out);
        if left.is_empty() {
            return;
        }
    }
}

/// A message whose frames are still coming: a link's come one behind the other.
#[derive(Debug, Default)]
pub struct Arriving(Vec<u8>);

impl Arriving {
    /// Takes a frame; returns the message if that was its last.
    ///
    /// # Errors
    /// What no node writes.
    pub fn take(&mut self, rest: &[u8]) -> Result<Option<Published>, BadFrame> {
        let (head, piece) = rest.split_first_chunk::<PUSH_HEAD_BYTES>().ok_or(BadFrame::TooShort)?;
        let [kind, more, channel_len @ ..] = *head;
        self.0.extend_from_slice(piece);
        if self.0.len() > PUSH_BYTES_MAX {
            return Err(BadFrame::TooLong(self.0.len()));
        }
        if more != 0 {
            return Ok(None);
        }
        let matter = MATTERS.into_iter().find(|matter| matter_code(*matter) == kind);
        let matter = matter.ok_or(BadFrame::OutOfPlace("a message about nothing known"))?;
        let bytes = std::mem::take(&mut self.0);
        Published::from_bytes(matter, u32::from_le_bytes(channel_len) as usize, bytes)
            .map(Some)
            .ok_or(BadFrame::TooShort)
    }

    /// The link was lost.
    pub fn forget(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame::Frame;

    #[test]
    fn subscriptions_are_written_and_read() {
        let head = SubscribeHead { peer: PeerId(u64::MAX - 1), number: 7, epoch: 300, is_last: true };
        let mut out = Vec::new();
        let at = head.begin(&mut out);
        entry(Topic::Pattern, b"a*", 3, &mut out);
        entry(Topic::Shard, b"", 0, &mut out);
        frame::end(at, &mut out);
        let frame = Frame::first(&out).unwrap().unwrap();
        assert_eq!((frame.kind, frame.bytes), (Kind::Subscribe, out.len()));
        let (read, body) = SubscribeHead::read(frame.rest).unwrap();
        assert_eq!(read, head);
        assert_eq!(entries(body).unwrap(), [(Topic::Pattern, &b"a*"[..], 3), (Topic::Shard, b"", 0)]);
        for cut in 1..body.len() {
            // A cut may fall between two entries.
            assert!(entries(&body[..cut]).is_err() || cut == body.len() - 9, "{cut}");
        }
        assert!(entries(&[9, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        let mut out = Vec::new();
        subscribed(9, Told::Later, &mut out);
        assert_eq!(read_subscribed(Frame::first(&out).unwrap().unwrap().rest), Ok((9, Told::Later)));
    }

    #[test]
    fn messages_of_any_length_arrive() {
        for len in [0, 1, CHUNK_BYTES - 2, CHUNK_BYTES, 5 * CHUNK_BYTES + 1] {
            let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let published = Published::new(ChannelKind::Shard, b"ch", &message);
            let (mut out, mut arriving) = (Vec::new(), Arriving::default());
            push(&published, &mut out);
            let (mut at, mut come) = (0, None);
            while let Some(frame) = Frame::first(&out[at..]).unwrap() {
                assert!(come.is_none());
                come = arriving.take(frame.rest).unwrap();
                at += frame.bytes;
            }
            let come = come.unwrap();
            assert_eq!((come.matter(), come.channel()), (published.matter(), &b"ch"[..]));
            assert_eq!(come.message(), message);
        }
        assert!(Arriving::default().take(&[0, 0, 9, 0, 0, 0, b'x']).is_err(), "a channel longer than all");
    }
}
