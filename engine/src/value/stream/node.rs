//! One node of a stream: a run of entries in one listpack, in Valkey's own bytes, so that DUMP copies them.
//!
//! ```text
//! master:  live count | deleted count | number of fields n | n field names | 0
//! entry:   flags | ms - master's ms | seq - master's seq |            n values                      | pieces
//!      or  flags | ms - master's ms | seq - master's seq | m | m field names and values in turn     | pieces
//! ```
//!
//! Every piece is an element. `pieces` counts those of its entry before it, so that a node can be read backwards. The
//! first form is for entries that have the master's fields (flag [`SAME_FIELDS`]). A deleted entry stays and has the
//! flag [`DELETED`]; a node goes away with its last live entry.

use swell_wire::{Args, Out};

use super::id::{ID_TEXT_BYTES_MAX, StreamId};
use crate::value::element::{Element, Needle, decode, decode_checked, skip, skip_back};

/// Flag of an entry that was deleted.
pub const DELETED: i64 = 1;
/// Flag of an entry whose fields are the master's.
pub const SAME_FIELDS: i64 = 2;

/// Total length and number of elements, before the first element.
const HEAD_BYTES: usize = 6;
/// Stands after the last element.
const END: u8 = 0xff;
/// This number of elements, or more.
const ELEMENTS_UNKNOWN: u16 = u16::MAX;
/// Elements of an entry beside fields and values: flags, both differences.
const ENTRY_HEAD_ELEMENTS: i64 = 3;

/// A node read in place: its master entry is decoded.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    bytes: &'a [u8],
    master: StreamId,
    /// Entries that are not deleted.
    pub live: i64,
    /// Entries that are.
    pub deleted: i64,
    /// Number of the master's fields.
    fields: usize,
    /// Where their names begin.
    fields_at: usize,
    /// Where the first entry begins.
    entries_at: usize,
}

/// One entry, read in place.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'a> {
    pub id: StreamId,
    /// Number of its fields.
    pub fields: usize,
    flags: i64,
    node: NodeView<'a>,
    /// Where its flags are.
    at: usize,
    /// Where its values, or its fields and values, begin.
    data_at: usize,
    /// Where the next entry begins.
    end: usize,
}

/// Fields and values of an entry.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    left: usize,
    /// Names that stand elsewhere.
    names: Option<&'a [u8]>,
    data: &'a [u8],
}

/// Entries of one node in either direction, deleted ones too.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    node: NodeView<'a>,
    from: usize,
    to: usize,
}

/// A node with one entry, whose fields are the master's.
pub fn create(fields: Args<'_>) -> Vec<u8> {
    let count = (fields.len() / 2) as i64;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + entry_room(fields) * 2);
    bytes.extend_from_slice(&[0; HEAD_BYTES]);
    [1, 0, count].into_iter().for_each(|number| Element::Int(number).push_to(&mut bytes));
    (0..fields.len()).step_by(2).for_each(|at| Element::from(fields.slice(at)).push_to(&mut bytes));
    Element::Int(0).push_to(&mut bytes);
    push_same(&mut bytes, StreamId::MIN, StreamId::MIN, fields);
    seal(&mut bytes, 3 + count + 1 + ENTRY_HEAD_ELEMENTS + count + 1);
    bytes
}

/// Appends an entry to a node.
pub fn append(bytes: &mut Vec<u8>, master: StreamId, id: StreamId, fields: Args<'_>) {
    let Some(node) = NodeView::new(bytes, master) else { return };
    let (live, is_same) = (node.live, node.has_fields(fields));
    let before = elements(bytes);
    bytes.pop();
    let pushed = if is_same {
        push_same(bytes, master, id, fields);
        ENTRY_HEAD_ELEMENTS + (fields.len() / 2) as i64 + 1
    } else {
        push_different(bytes, master, id, fields);
        ENTRY_HEAD_ELEMENTS + 1 + fields.len() as i64 + 1
    };
    seal(bytes, before + pushed);
    replace_int(bytes, HEAD_BYTES, live + 1);
}

/// Bytes that another entry may take in a node, as an upper bound.
pub fn entry_room(fields: Args<'_>) -> usize {
    // Flags, two differences of up to 10 bytes, the numbers of fields and of pieces; then each string with its frame.
    2 + 20 + 20 + (0..fields.len()).map(|at| fields.slice(at).len() + 11).sum::<usize>() + 1
}

/// Marks the entries at these places as deleted and counts them so.
pub fn delete(bytes: &mut Vec<u8>, places: &[usize]) {
    let Some(counts) = Counts::read(bytes) else { return };
    mark_deleted(bytes, places);
    let (live, deleted) = counts.after(places.len());
    // The second first: the first one's length may change.
    replace_int(bytes, counts.deleted_at, deleted);
    replace_int(bytes, HEAD_BYTES, live);
}

/// As [`delete`], where nothing has to move for it; says whether that is so.
pub fn delete_in_place(bytes: &mut [u8], places: &[usize]) -> bool {
    let Some(counts) = Counts::read(bytes) else { return true };
    let (live, deleted) = counts.after(places.len());
    let fits = |number: i64, old: i64| Element::Int(number).encoded_bytes() == Element::Int(old).encoded_bytes();
    if !fits(live, counts.live) || !fits(deleted, counts.deleted) {
        return false;
    }
    mark_deleted(bytes, places);
    overwrite_int(bytes, counts.deleted_at, deleted);
    overwrite_int(bytes, HEAD_BYTES, live);
    true
}

/// Whether bytes from elsewhere are a node whose every entry can be read, in either direction and in order; returns
/// its first and last ID and the number of live entries.
pub fn check(bytes: &[u8], master: StreamId) -> Option<(StreamId, StreamId, u64)> {
    let total = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    if total != bytes.len() || bytes.last() != Some(&END) {
        return None;
    }
    let counted = check_elements(bytes)?;
    let said = i64::from(u16::from_le_bytes(*bytes.get(4..)?.first_chunk()?));
    if said != i64::from(ELEMENTS_UNKNOWN) && said != counted {
        return None;
    }
    let node = NodeView::new(bytes, master)?;
    let (mut live, mut deleted, mut ids) = (0i64, 0i64, None);
    let mut entries = node.entries();
    for entry in entries.by_ref() {
        let pieces = entry.pieces();
        if !entry.says(pieces) || ids.is_some_and(|(_, last)| last >= entry.id) || entry.flags & !3 != 0 {
            return None;
        }
        ids = Some((ids.map_or(entry.id, |(first, _)| first), entry.id));
        *(if entry.is_deleted() { &mut deleted } else { &mut live }) += 1;
    }
    let (first, last) = ids?;
    let whole = entries.from == node.bytes.len() - 1 && (live, deleted) == (node.live, node.deleted);
    (whole && first >= master).then_some((first, last, live as u64))
}

impl<'a> NodeView<'a> {
    /// Reads the master entry.
    #[inline]
    pub fn new(bytes: &'a [u8], master: StreamId) -> Option<NodeView<'a>> {
        let mut at = HEAD_BYTES;
        let mut number = || {
            let (Element::Int(number), skipped) = decode(bytes.get(at..)?)? else { return None };
            at += skipped;
            Some(number)
        };
        let (live, deleted, fields) = (number()?, number()?, usize::try_from(number()?).ok()?);
        let fields_at = at;
        let mut entries_at = fields_at;
        for _ in 0..fields {
            entries_at += skip(bytes.get(entries_at..)?)?;
        }
        entries_at += skip(bytes.get(entries_at..)?)?;
        Some(NodeView { bytes, master, live, deleted, fields, fields_at, entries_at })
    }

    /// Its entries, deleted ones too.
    pub fn entries(self) -> Entries<'a> {
        Entries { from: self.entries_at, to: self.bytes.len().saturating_sub(1), node: self }
    }

    /// Whether these are the master's fields.
    fn has_fields(&self, fields: Args<'_>) -> bool {
        if fields.len() != self.fields * 2 {
            return false;
        }
        let mut rest = &self.bytes[self.fields_at..];
        (0..self.fields).all(|index| {
            let Some((name, skipped)) = decode(rest) else { return false };
            rest = &rest[skipped..];
            name.is(&Needle::new(fields.slice(index * 2)))
        })
    }

    /// The entry whose flags are at `at`; nothing at the end.
    #[inline]
    fn entry_at(self, at: usize) -> Option<EntryView<'a>> {
        let mut next = at;
        let mut number = || {
            let (Element::Int(number), skipped) = decode(self.bytes.get(next..)?)? else { return None };
            next += skipped;
            Some(number)
        };
        let (flags, ms, seq) = (number()?, number()?, number()?);
        let is_same = flags & SAME_FIELDS != 0;
        let fields = if is_same { self.fields } else { usize::try_from(number()?).ok()? };
        let data_at = next;
        let strings = if is_same { fields } else { fields.checked_mul(2)? };
        for _ in 0..strings {
            next += skip(self.bytes.get(next..)?)?;
        }
        next += skip(self.bytes.get(next..)?)?;
        let id = StreamId::new(self.master.ms.wrapping_add(ms as u64), self.master.seq.wrapping_add(seq as u64));
        Some(EntryView { id, fields, flags, node: self, at, data_at, end: next })
    }
}

impl<'a> EntryView<'a> {
    /// Whether it was deleted.
    #[inline]
    pub fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    /// Its place in the node, for [`delete`].
    pub fn at(&self) -> usize {
        self.at
    }

    /// Its fields with their values, in order.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        let names = (self.flags & SAME_FIELDS != 0).then(|| &self.node.bytes[self.node.fields_at..]);
        Fields { left: self.fields, names, data: &self.node.bytes[self.data_at..] }
    }

    /// Answers it: an array of its ID and an array of its fields and values in turn.
    #[inline]
    pub fn write(&self, out: &mut Out) {
        out.array(2);
        out.bulk(self.id.format(&mut [0; ID_TEXT_BYTES_MAX]));
        out.array(self.fields * 2);
        for (field, value) in self.fields() {
            field.write(out);
            value.write(out);
        }
    }

    /// How many elements it has before the one that says so.
    fn pieces(&self) -> i64 {
        let fields = self.fields as i64;
        ENTRY_HEAD_ELEMENTS + if self.flags & SAME_FIELDS != 0 { fields } else { fields.saturating_mul(2) + 1 }
    }

    /// Whether its last element is this number.
    fn says(&self, pieces: i64) -> bool {
        let whole = &self.node.bytes[self.at..self.end];
        let last = skip_back(whole).and_then(|len| decode(&whole[whole.len() - len..]));
        last.is_some_and(|(element, _)| element == Element::Int(pieces))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let names = self.names.as_mut().unwrap_or(&mut self.data);
        let (field, skipped) = decode(names)?;
        *names = &names[skipped..];
        let (value, skipped) = decode(self.data)?;
        self.data = &self.data[skipped..];
        Some((field, value))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = EntryView<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let entry = self.node.entry_at(self.from)?;
        self.from = entry.end;
        Some(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from >= self.to {
            return None;
        }
        let run = &self.node.bytes[..self.to];
        let mut at = self.to - skip_back(run)?;
        let (Element::Int(pieces), _) = decode(&run[at..])? else { return None };
        for _ in 0..pieces {
            at -= skip_back(run.get(..at)?)?;
        }
        self.to = at;
        self.node.entry_at(at)
    }
}

/// The entry with this ID, if it is not deleted.
pub fn find<'a>(node: NodeView<'a>, id: StreamId) -> Option<EntryView<'a>> {
    node.entries().find(|entry| entry.id >= id && !entry.is_deleted()).filter(|entry| entry.id == id)
}

/// The last entry's ID, deleted or not.
pub fn last_id(node: NodeView<'_>) -> StreamId {
    node.entries().next_back().map_or(node.master, |entry| entry.id)
}

fn push_same(bytes: &mut Vec<u8>, master: StreamId, id: StreamId, fields: Args<'_>) {
    push_entry_head(bytes, SAME_FIELDS, master, id);
    (1..fields.len()).step_by(2).for_each(|at| Element::from(fields.slice(at)).push_to(bytes));
    Element::Int(ENTRY_HEAD_ELEMENTS + (fields.len() / 2) as i64).push_to(bytes);
}

fn push_different(bytes: &mut Vec<u8>, master: StreamId, id: StreamId, fields: Args<'_>) {
    push_entry_head(bytes, 0, master, id);
    Element::Int((fields.len() / 2) as i64).push_to(bytes);
    (0..fields.len()).for_each(|at| Element::from(fields.slice(at)).push_to(bytes));
    Element::Int(ENTRY_HEAD_ELEMENTS + 1 + fields.len() as i64).push_to(bytes);
}

fn push_entry_head(bytes: &mut Vec<u8>, flags: i64, master: StreamId, id: StreamId) {
    let (ms, seq) = (id.ms.wrapping_sub(master.ms) as i64, id.seq.wrapping_sub(master.seq) as i64);
    [flags, ms, seq].into_iter().for_each(|number| Element::Int(number).push_to(bytes));
}

/// What a node's master entry begins with.
struct Counts {
    live: i64,
    deleted: i64,
    deleted_at: usize,
}

impl Counts {
    fn read(bytes: &[u8]) -> Option<Counts> {
        let (Element::Int(live), skipped) = decode(bytes.get(HEAD_BYTES..)?)? else { return None };
        let deleted_at = HEAD_BYTES + skipped;
        let (Element::Int(deleted), _) = decode(bytes.get(deleted_at..)?)? else { return None };
        Some(Counts { live, deleted, deleted_at })
    }

    /// The counts when so many more are deleted.
    fn after(&self, more: usize) -> (i64, i64) {
        (self.live.saturating_sub(more as i64), self.deleted.saturating_add(more as i64))
    }
}

/// Flags take one byte, deleted or not: nothing moves.
fn mark_deleted(bytes: &mut [u8], places: &[usize]) {
    for &at in places {
        if let Some((Element::Int(flags), _)) = bytes.get(at..).and_then(decode) {
            overwrite_int(bytes, at, flags | DELETED);
        }
    }
}

/// Writes a number over one of the same length.
fn overwrite_int(bytes: &mut [u8], at: usize, number: i64) {
    let new = Element::Int(number);
    let len = new.encoded_bytes();
    if bytes.get(at..).and_then(skip) == Some(len) {
        new.encode(&mut bytes[at..at + len]);
    }
}

/// Ends a listpack and writes its head.
fn seal(bytes: &mut Vec<u8>, elements: i64) {
    bytes.push(END);
    let total = bytes.len() as u32;
    bytes[..4].copy_from_slice(&total.to_le_bytes());
    let elements = u16::try_from(elements).unwrap_or(ELEMENTS_UNKNOWN);
    bytes[4..HEAD_BYTES].copy_from_slice(&elements.to_le_bytes());
}

/// Number of elements as the head says it; many, where it does not.
fn elements(bytes: &[u8]) -> i64 {
    bytes.get(4..HEAD_BYTES).map_or(0, |said| i64::from(u16::from_le_bytes([said[0], said[1]])))
}

/// Writes a number over the one at `at`.
fn replace_int(bytes: &mut Vec<u8>, at: usize, number: i64) {
    let Some(old) = bytes.get(at..).and_then(skip) else { return };
    let new = Element::Int(number);
    let len = new.encoded_bytes();
    if len != old {
        let room = len.saturating_sub(old);
        bytes.reserve_exact(room);
        bytes.splice(at..at + old, std::iter::repeat_n(0, len));
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
    }
    new.encode(&mut bytes[at..at + len]);
}

/// Counts the elements between head and end, if all are whole.
fn check_elements(bytes: &[u8]) -> Option<i64> {
    let mut run = bytes.get(HEAD_BYTES..bytes.len().checked_sub(1)?)?;
    let mut count = 0;
    while !run.is_empty() {
        let (_, skipped) = decode_checked(run)?;
        run = &run[skipped..];
        count += 1;
    }
    Some(count)
}
