//! Streams as RDB objects: nodes verbatim, then what is known of the whole, then groups with what they have pending.

use super::read::Reader;
use super::write::{length, string};
use super::{BadPayload, kinds};
use crate::value::stream::{Group, Nack, Stream, StreamId, StreamMeta};

/// Entries read by a group of which that is not known.
const UNKNOWN_READ: u64 = u64::MAX;
/// When a consumer got something that never got anything: -1. Others before all time are what they are.
const NEVER_MS: u64 = u64::MAX;

/// Writes the object from a place on (a node's number; 0: with its type byte) until `out` has `full` bytes; returns where
/// to go on, nothing at the end. What comes after the nodes is one part.
pub fn write(stream: &Stream, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    let log = stream.log();
    if at == 0 {
        out.push(kinds::STREAM_LISTPACKS_3);
        length(log.nodes_len() as u64, out);
    }
    for (next, (master, node)) in (at..).zip(log.nodes().skip(at as usize)) {
        if out.len() >= full {
            return Some(next);
        }
        length(16, out);
        raw_id(master, out);
        length(node.len() as u64, out);
        out.extend_from_slice(node);
    }
    length(log.len(), out);
    for id in [log.last_id, log.first_id(), log.max_deleted_id()] {
        length(id.ms, out);
        length(id.seq, out);
    }
    length(log.entries_added, out);
    length(stream.groups().len() as u64, out);
    for (name, group) in stream.groups() {
        write_group(name, group, out);
    }
    None
}

fn write_group(name: &[u8], group: &Group, out: &mut Vec<u8>) {
    string(name, out);
    length(group.last_id.ms, out);
    length(group.last_id.seq, out);
    length(group.entries_read.map_or(UNKNOWN_READ, |read| read as u64), out);
    length(group.pending_len() as u64, out);
    for (id, nack) in group.pending(StreamId::MIN, StreamId::MAX) {
        raw_id(id, out);
        out.extend_from_slice(&nack.delivered_ms.to_le_bytes());
        length(nack.count, out);
    }
    length(group.consumers().len() as u64, out);
    for (_, consumer) in group.consumers() {
        string(consumer.name(), out);
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        out.extend_from_slice(&consumer.active_ms.unwrap_or(NEVER_MS).to_le_bytes());
        length(consumer.pending_len() as u64, out);
        consumer.pending(StreamId::MIN, StreamId::MAX).for_each(|id| raw_id(id, out));
    }
}

fn raw_id(id: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

/// Reads the object behind a type byte.
///
/// # Errors
/// The bytes are no stream.
pub fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Stream, BadPayload> {
    let mut nodes = Vec::new();
    let count = at_most(reader.length()?, reader)?;
    for _ in 0..count {
        let master = reader.string()?;
        let master = id_of(master.as_ref().try_into().map_err(|_| BadPayload::Format)?);
        nodes.push((master, reader.string()?.into_owned()));
    }
    let length = reader.length()?;
    let mut meta = StreamMeta { last_id: id(reader)?, ..StreamMeta::default() };
    if kind == kinds::STREAM_LISTPACKS {
        // Before Redis 7 nobody counted.
        meta.entries_added = length;
        meta.first_id = None;
    } else {
        meta.first_id = Some(id(reader)?);
        meta.max_deleted_id = id(reader)?;
        meta.entries_added = reader.length()?;
    }
    let mut stream = Stream::from_nodes(nodes, length, meta).ok_or(BadPayload::Format)?;
    let groups = at_most(reader.length()?, reader)?;
    for _ in 0..groups {
        let name = reader.string()?.into_owned();
        let group = read_group(kind, reader)?;
        if !stream.add_group(&name, group) {
            return Err(BadPayload::Format);
        }
    }
    Ok(stream)
}

fn read_group(kind: u8, reader: &mut Reader<'_>) -> Result<Group, BadPayload> {
    let last_id = id(reader)?;
    let entries_read = match kind {
        kinds::STREAM_LISTPACKS => None,
        _ => Some(reader.length()?).filter(|read| *read != UNKNOWN_READ).map(|read| read as i64),
    };
    let mut group = Group::new(last_id, entries_read);
    // Whose each is stands behind, with the consumers.
    let mut pending = std::collections::BTreeMap::new();
    for _ in 0..at_most(reader.length()?, reader)? {
        let id = id_of(reader.array()?);
        let (delivered_ms, count) = (u64::from_le_bytes(reader.array()?), reader.length()?);
        if pending.insert(id, (delivered_ms, count)).is_some() {
            return Err(BadPayload::Format);
        }
    }
    for _ in 0..at_most(reader.length()?, reader)? {
        let name = reader.string()?;
        let seen_ms = u64::from_le_bytes(reader.array()?);
        let active_ms = match kind {
            kinds::STREAM_LISTPACKS_3 => u64::from_le_bytes(reader.array()?),
            _ => seen_ms,
        };
        let active_ms = Some(active_ms).filter(|at| *at != NEVER_MS);
        group.restore_consumer(&name, seen_ms, active_ms).ok_or(BadPayload::Format)?;
        let consumer = group.find(&name).ok_or(BadPayload::Format)?;
        for _ in 0..at_most(reader.length()?, reader)? {
            let id = id_of(reader.array()?);
            let (delivered_ms, count) = pending.remove(&id).ok_or(BadPayload::Format)?;
            group.restore_pending(id, Nack { delivered_ms, count, consumer }).ok_or(BadPayload::Format)?;
        }
    }
    if pending.is_empty() { Ok(group) } else { Err(BadPayload::Format) }
}

fn id(reader: &mut Reader<'_>) -> Result<StreamId, BadPayload> {
    Ok(StreamId { ms: reader.length()?, seq: reader.length()? })
}

fn id_of(raw: [u8; 16]) -> StreamId {
    let number = u128::from_be_bytes(raw);
    StreamId { ms: (number >> 64) as u64, seq: number as u64 }
}

/// A count that the bytes left can hold.
fn at_most(count: u64, reader: &Reader<'_>) -> Result<usize, BadPayload> {
    if count <= reader.left() as u64 { Ok(count as usize) } else { Err(BadPayload::Format) }
}
