//! The target's end of a stream: makes the group Dark, takes what comes, and says whether all of it has.

use swell_engine::entry::{Fields, NewValue};
use swell_engine::gate::Gate;
use swell_engine::import::Import;
use swell_engine::key::Key;
use swell_engine::stripe::stripe_of;
use swell_engine::value::stream::ENTRY_BYTES_MAX;
use swell_engine::value::{Form, Kept, LargeBox};
use swell_engine::{Engine, Local};
use swell_ring::{Slot, SlotSet};
use swell_wire::limits::BULK_BYTES_MAX;
use swell_wire::{OwnedArgs, Segments};

use super::StreamError;
use super::record::{self, End, Payload, Record};
use super::spool::LongValue;
use crate::embedded::Handle;

/// Records applied under one lock of a stripe; some 30 µs.
const RECORDS_PER_LOCK: usize = 128;
/// Bytes applied under one lock, about.
const BYTES_PER_LOCK: usize = 32 * 1024;
/// Longest head of a record that comes in pieces: keys have the bound of a request's strings.
const HEAD_BYTES_MAX: usize = BULK_BYTES_MAX + 64 * 1024;
/// Longest part of a large value: one with an element of the greatest length, be it a field and its value or an entry.
const PART_BYTES_MAX: usize = ENTRY_BYTES_MAX + HEAD_BYTES_MAX;
/// Entries freed between two looks at anything else.
const GARBAGE_PER_SLICE: u64 = 10_000;

/// A group of slots on its way in. Everything here is for one control thread, with a handle of the node.
///
/// The bytes come from another process: whatever they are, only Dark slots of the group change. After an error it takes
/// nothing more; [`Incoming::abandon`] it then.
#[derive(Debug)]
pub struct Incoming {
    slots: SlotSet,
    long: Option<Long>,
    records: u64,
    keys: u64,
    end: Option<End>,
    failed: Option<StreamError>,
}

/// A record that comes in pieces.
#[derive(Debug, Default)]
struct Long {
    head: Vec<u8>,
    /// Nothing before the first piece of the value: the head says what it is.
    value: Option<LongValue>,
    /// The beginning of a part that is too long for one piece.
    part: Vec<u8>,
}

impl Incoming {
    /// Makes the slots Dark and empty. The caller has made sure that this node does not serve them.
    pub fn prepare(handle: &mut Handle, slots: &SlotSet) -> Incoming {
        set_gates(handle.engine(), slots, Gate::Dark);
        drop_slots(handle, slots);
        Incoming { slots: slots.clone(), long: None, records: 0, keys: 0, end: None, failed: None }
    }

    /// The group.
    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// Applies the whole records of one frame. Takes one stripe's lock at a time, and waits for it.
    ///
    /// # Errors
    /// The bytes are no stream, or of other slots, or the cache's maximum would be passed: nothing of the target's own
    /// is ever evicted for an import.
    pub fn apply(&mut self, handle: &mut Handle, bytes: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (engine, local) = handle.parts();
        let applied = self.apply_all(engine, local, bytes);
        // What FLUSHALL left, and large values that are overwritten: a moment's work each time. The rest is freed later.
        engine.free_garbage(local, GARBAGE_PER_SLICE);
        if let Err(error) = &applied {
            self.failed = Some(error.clone());
            self.long = None;
        }
        applied
    }

    /// Whether the source has said that this was all.
    pub fn is_complete(&self) -> bool {
        self.end.is_some() && self.failed.is_none()
    }

    /// Whether everything has come: compares what is here with what the source counted. The slots stay Dark.
    ///
    /// # Errors
    /// The stream has failed, or is not at its end, or the numbers differ.
    pub fn end(&self, handle: &Handle) -> Result<(), StreamError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(end) = &self.end else { return Err(StreamError::Bad("a stream without an end")) };
        if end.records != self.records {
            return Err(StreamError::Bad("records are missing"));
        }
        let here: Vec<(Slot, u64)> = self.slots.iter().map(|slot| (slot, handle.engine().slot_keys(slot))).collect();
        if here != end.keys {
            let target = here.iter().map(|(_, keys)| keys).sum();
            return Err(StreamError::Counts { source_keys: end.total_keys(), target });
        }
        Ok(())
    }

    /// Forgets what has come: slots that are still Dark become Released and empty.
    pub fn abandon(self, handle: &mut Handle) {
        let dark: SlotSet = self.slots.iter().filter(|slot| handle.engine().gate(*slot) == Gate::Dark).collect();
        drop_slots(handle, &dark);
        set_gates(handle.engine(), &dark, Gate::Released);
    }

    /// Records applied, and keys put.
    pub fn progress(&self) -> (u64, u64) {
        (self.records, self.keys)
    }

    fn apply_all(&mut self, engine: &Engine, local: &mut Local, mut bytes: &[u8]) -> Result<(), StreamError> {
        let mut coming = record::next(&mut bytes)?;
        while let Some(record) = coming.take() {
            if self.end.is_some() {
                return Err(StreamError::Bad("a record after the last one"));
            }
            let is_piece =
                matches!(record, Record::LongHead(_) | Record::LongPart(_) | Record::LongMore(_) | Record::LongEnd);
            if self.long.is_some() != is_piece && !matches!(record, Record::LongHead(_)) {
                return Err(StreamError::Bad("pieces of a record that are not together"));
            }
            coming = match record {
                Record::LongHead(piece) => self.long_head(engine, local, piece)?,
                Record::LongMore(piece) => self.long_more(engine, local, piece)?,
                Record::LongPart(piece) => self.long_part(engine, local, piece)?,
                Record::LongEnd => self.long_end(engine, local)?,
                Record::End(end) => self.ended(end),
                record => self.apply_run(engine, local, record, &mut bytes)?,
            };
            if coming.is_none() {
                coming = record::next(&mut bytes)?;
            }
        }
        Ok(())
    }

    /// Applies a record and those after it that are in the same stripe, under one lock. Returns the first that is not.
    fn apply_run<'b>(
        &mut self,
        engine: &Engine,
        local: &mut Local,
        first: Record<'b>,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Record<'b>>, StreamError> {
        let left_before = bytes.len();
        let Some(place) = Place::of(engine, &first) else { return Ok(None) };
        let stripe = stripe_of(place.slot());
        let mut import = engine.import(local, stripe);
        self.apply_one(&mut import, place, first, None)?;
        for _ in 1..RECORDS_PER_LOCK {
            let Some(record) = record::next(bytes)? else { return Ok(None) };
            let place = Place::of(engine, &record).filter(|place| stripe_of(place.slot()) == stripe);
            let Some(place) = place else { return Ok(Some(record)) };
            self.apply_one(&mut import, place, record, None)?;
            if left_before - bytes.len() > BYTES_PER_LOCK {
                break;
            }
        }
        Ok(None)
    }

    #[inline]
    fn apply_one(
        &mut self,
        import: &mut Import<'_>,
        place: Place<'_>,
        record: Record<'_>,
        outside: Option<LongValue>,
    ) -> Result<(), StreamError> {
        if !self.slots.contains(place.slot()) {
            return Err(StreamError::OutsideGroup(place.slot()));
        }
        self.records += 1;
        match (record, place) {
            (Record::Put { form, value, fields, .. }, Place::Key(key)) => {
                self.keys += 1;
                put(import, key, form, value, outside, &fields)
            }
            (Record::Argv { args, fields, .. }, Place::Key(key)) => {
                let args = arguments(&args, outside)?;
                Ok(import.run(key, args.as_args(), fields)?)
            }
            (Record::Delete { .. }, Place::Key(key)) => Ok(import.delete(key)?),
            (Record::ExpireAt { at_ms, .. }, Place::Key(key)) => Ok(import.expire_at(key, at_ms)?),
            (Record::Clear { db, .. }, Place::Slot(slot)) => Ok(import.clear(slot, db)?),
            _ => Err(StreamError::Bad("a record out of place")),
        }
    }

    fn long_head<'b>(
        &mut self,
        engine: &Engine,
        local: &Local,
        piece: &[u8],
    ) -> Result<Option<Record<'b>>, StreamError> {
        let long = self.long.get_or_insert_default();
        if long.head.len() + piece.len() > HEAD_BYTES_MAX || long.value.is_some() {
            return Err(StreamError::Bad("a head that is too long"));
        }
        if engine.would_pass(local, long.head.len() + piece.len()) {
            return Err(StreamError::NoMemory);
        }
        long.head.extend_from_slice(piece);
        Ok(None)
    }

    fn long_part<'b>(
        &mut self,
        engine: &Engine,
        local: &Local,
        piece: &[u8],
    ) -> Result<Option<Record<'b>>, StreamError> {
        let long = self.long.get_or_insert_default();
        let value = match &mut long.value {
            Some(value) => value,
            none => none.insert(begun(&long.head)?),
        };
        if engine.would_pass(local, value.bytes() + long.part.len() + piece.len()) {
            return Err(StreamError::NoMemory);
        }
        let whole = if long.part.is_empty() {
            piece
        } else {
            long.part.extend_from_slice(piece);
            &long.part
        };
        match value {
            LongValue::Segments(_) if !long.part.is_empty() => {
                return Err(StreamError::Bad("a string in parts of parts"));
            }
            LongValue::Segments(segments) => {
                if segments.len() + piece.len() > engine.settings().string_bytes_max().max(BULK_BYTES_MAX) {
                    return Err(StreamError::Bad("a value that is too long"));
                }
                segments.extend(piece);
            }
            LongValue::Large(large) => large
                .read_part(whole, engine.hasher())
                .map_err(|_| StreamError::Bad("a part of a large value that is none"))?,
        }
        long.part = Vec::new();
        Ok(None)
    }

    fn long_more<'b>(
        &mut self,
        engine: &Engine,
        local: &Local,
        piece: &[u8],
    ) -> Result<Option<Record<'b>>, StreamError> {
        let long = self.long.get_or_insert_default();
        if long.part.len() + piece.len() > PART_BYTES_MAX {
            return Err(StreamError::Bad("a part that is too long"));
        }
        let value = long.value.as_ref().map_or(0, LongValue::bytes);
        if engine.would_pass(local, value + long.part.len() + piece.len()) {
            return Err(StreamError::NoMemory);
        }
        long.part.extend_from_slice(piece);
        Ok(None)
    }

    fn long_end<'b>(&mut self, engine: &Engine, local: &mut Local) -> Result<Option<Record<'b>>, StreamError> {
        let long = self.long.take().unwrap_or_default();
        let mut head = long.head.as_slice();
        let Some(record) = record::next(&mut head)?.filter(|_| head.is_empty() && long.part.is_empty()) else {
            return Err(StreamError::Bad("pieces that make no record"));
        };
        if let Record::End(end) = record {
            return Ok(self.ended(end));
        }
        let place = Place::of(engine, &record).ok_or(StreamError::Bad("pieces within pieces"))?;
        let mut import = engine.import(local, stripe_of(place.slot()));
        self.apply_one(&mut import, place, record, long.value)?;
        Ok(None)
    }

    fn ended<'b>(&mut self, end: End) -> Option<Record<'b>> {
        self.end = Some(end);
        None
    }
}

/// Where a record belongs.
#[derive(Clone, Copy)]
enum Place<'a> {
    Key(Key<'a>),
    Slot(Slot),
}

impl<'a> Place<'a> {
    /// Nothing for records that are about no key or slot.
    #[inline]
    fn of(engine: &Engine, record: &Record<'a>) -> Option<Place<'a>> {
        match record {
            Record::Put { db, key, .. }
            | Record::Delete { db, key }
            | Record::ExpireAt { db, key, .. }
            | Record::Argv { db, key, .. } => Some(Place::Key(engine.key_in(key, *db))),
            Record::Clear { slot, .. } => Some(Place::Slot(*slot)),
            Record::LongHead(_) | Record::LongPart(_) | Record::LongMore(_) | Record::LongEnd | Record::End(_) => None,
        }
    }

    #[inline]
    fn slot(&self) -> Slot {
        match self {
            Place::Key(key) => key.slot,
            Place::Slot(slot) => *slot,
        }
    }
}

/// Takes all keys of these slots away, whatever their gates, and frees them a slice at a time. Returns how many.
pub fn drop_slots(handle: &mut Handle, slots: &SlotSet) -> u64 {
    let (engine, local) = handle.parts();
    let mut keys = 0;
    for slot in slots.iter() {
        keys += engine.drop_slot(local, slot);
        while engine.free_garbage(local, GARBAGE_PER_SLICE) {}
    }
    keys
}

fn set_gates(engine: &Engine, slots: &SlotSet, gate: Gate) {
    slots.iter().for_each(|slot| engine.stripe(stripe_of(slot)).set_gate(slot, gate));
}

#[inline]
fn put(
    import: &mut Import<'_>,
    key: Key<'_>,
    form: Form,
    value: Payload<'_>,
    outside: Option<LongValue>,
    fields: &Fields,
) -> Result<(), StreamError> {
    let value = match (form, value) {
        (Form::Bytes, Payload::Here(bytes)) => NewValue::Bytes(bytes),
        (Form::Bytes, Payload::Outside(len)) => NewValue::Segments(whole(outside, len)?),
        (form, Payload::Here(bytes)) => return Ok(import.put_kept(key, compact(form, bytes)?, fields)?),
        (form, Payload::Outside(elements)) => {
            let large = whole_large(outside, form, elements)?;
            return Ok(import.put_kept(key, Kept::Large(large), fields)?);
        }
    };
    Ok(import.put(key, value, fields)?)
}

/// The value that a head announces, without any of its parts.
fn begun(mut head: &[u8]) -> Result<LongValue, StreamError> {
    match record::next(&mut head)? {
        Some(Record::Put { form, .. }) if form.is_large() => {
            LargeBox::empty(form).map(LongValue::Large).ok_or(StreamError::Bad("a value of an unknown form"))
        }
        _ => Ok(LongValue::Segments(Segments::new())),
    }
}

/// A compact value, looked through: whoever reads it later trusts it.
fn compact(form: Form, bytes: &[u8]) -> Result<Kept, StreamError> {
    Kept::checked(form, bytes).map_err(|_| StreamError::Bad("a compact value that is none"))
}

fn arguments(args: &[Payload<'_>], mut outside: Option<LongValue>) -> Result<OwnedArgs, StreamError> {
    let mut owned = OwnedArgs::default();
    for arg in args {
        match arg {
            Payload::Here(bytes) => owned.push(bytes),
            Payload::Outside(len) => owned.push_segments(whole(outside.take(), *len)?),
        }
    }
    Ok(owned)
}

/// The string that came in pieces, if it is all there.
fn whole(outside: Option<LongValue>, len: u64) -> Result<Segments, StreamError> {
    match outside {
        Some(LongValue::Segments(value)) if value.len() as u64 == len => Ok(value),
        _ => Err(MISSING),
    }
}

/// The large value that came in pieces, if it is all there.
fn whole_large(outside: Option<LongValue>, form: Form, elements: u64) -> Result<LargeBox, StreamError> {
    match outside {
        // Only a stream may be empty.
        _ if elements == 0 && form != Form::Stream => Err(StreamError::Bad("a collection without elements")),
        Some(LongValue::Large(value))
            if value.as_ref().form() == form && value.as_ref().elements() as u64 == elements =>
        {
            Ok(value)
        }
        _ => Err(MISSING),
    }
}

const MISSING: StreamError = StreamError::Bad("a value that is not all there");
