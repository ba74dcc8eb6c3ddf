//! A stream as a value among others: always large, kept when empty; and made from what a payload says.

use super::{Log, Stream, StreamId};
use crate::key::Hasher;
use crate::value::{Collection, Kept, KeptRef, Kind, Large, LargeBox, LargeRef, Malformed};

/// What a payload says of a stream beside its nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamMeta {
    pub last_id: StreamId,
    /// Nothing: the payload does not say, the nodes do.
    pub first_id: Option<StreamId>,
    pub max_deleted_id: StreamId,
    pub entries_added: u64,
}

impl Stream {
    /// A stream of these nodes, in order, with so many entries that are not deleted; nothing where that cannot be.
    pub fn from_nodes(nodes: Vec<(StreamId, Vec<u8>)>, length: u64, meta: StreamMeta) -> Option<Stream> {
        let StreamMeta { last_id, first_id, max_deleted_id, entries_added } = meta;
        let log = Log { last_id, max_deleted_id, entries_added, ..Log::default() };
        let mut stream = Stream { log, ..Stream::default() };
        for (master, bytes) in nodes {
            stream.push_checked_node(master, &bytes).ok()?;
        }
        let first = stream.log.range(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
        stream.log.first_id = first_id.unwrap_or(first);
        (stream.log.length == length).then_some(stream)
    }
}

impl Large for Stream {
    fn heap_bytes(&self) -> usize {
        Stream::heap_bytes(self)
    }

    fn elements(&self) -> usize {
        let pending: usize = self.groups().map(|(_, group)| group.pending_len()).sum();
        self.log.len() as usize + pending
    }

    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        Stream::write_part(self, at, out)
    }

    fn read_part(&mut self, part: &[u8], _: &Hasher) -> Result<(), Malformed> {
        Stream::read_part(self, part)
    }

    fn free_some(&mut self, elements: usize) -> bool {
        Stream::free_some(self, elements)
    }
}

impl Collection for Stream {
    const KIND: Kind = Kind::Stream;
    const KEEP_EMPTY: bool = true;
    type Ref<'a> = &'a Stream;

    fn empty() -> Self {
        Stream::default()
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Large(LargeBox::Stream(stream)) => Some(*stream),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        Kept::Large(LargeBox::Stream(Box::new(self)))
    }

    fn read(kept: KeptRef<'_>) -> Option<&Stream> {
        match kept {
            KeptRef::Large(LargeRef::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn to_owned(from: &Stream) -> Self {
        from.clone()
    }

    fn is_empty(&self) -> bool {
        self.log.is_empty()
    }
}

/// The same without moving it: what commands edit.
impl Collection for Box<Stream> {
    const KIND: Kind = Kind::Stream;
    const KEEP_EMPTY: bool = true;
    type Ref<'a> = &'a Stream;

    fn empty() -> Self {
        Box::default()
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Large(LargeBox::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        Kept::Large(LargeBox::Stream(self))
    }

    fn read(kept: KeptRef<'_>) -> Option<&Stream> {
        Stream::read(kept)
    }

    fn to_owned(from: &Stream) -> Self {
        Box::new(from.clone())
    }

    fn is_empty(&self) -> bool {
        self.log.is_empty()
    }
}
