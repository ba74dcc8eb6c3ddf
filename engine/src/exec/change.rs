//! Changing keys: storing, appending, removing, expiries, moving from name to name.

use swell_wire::{Arg, OwnedArgs, SEGMENT_BYTES, Segments};

use super::{Exec, McField, Ttl};
use crate::effect::Effect;
use crate::entry::{Content, EntryPtr, Fields, NewValue, Outside, Stored, Value};
use crate::key::Key;
use crate::notify::Class;
use crate::table::Position;
use crate::value::Form;

impl Exec<'_> {
    /// Stores a whole value, creating or overwriting the key.
    #[inline]
    pub fn put(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl, mc: McField) {
        let found = self.overwritten(key);
        self.put_with(key, found, value, ttl, mc, false);
    }

    /// As [`Exec::put`], for a body that has seen that nobody is told of events.
    #[inline]
    pub fn put_untold(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl, mc: McField) {
        let found = self.position(key);
        self.put_with(key, found, value, ttl, mc, false);
    }

    /// As [`Exec::put`], for a value that was put together from parts: `OBJECT ENCODING` then says "raw".
    pub fn put_raw(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl, mc: McField) {
        let found = self.overwritten(key);
        self.put_with(key, found, value, ttl, mc, true);
    }

    #[inline]
    fn put_with(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        value: NewValue<'_>,
        ttl: Ttl,
        mc: McField,
        raw: bool,
    ) {
        let old = found.map(|(_, entry)| entry);
        let before = old.map_or_else(Fields::default, EntryPtr::fields);
        let fields = Fields {
            clock: self.clock_for(old),
            expire_at_ms: match ttl {
                Ttl::Clear => None,
                Ttl::Keep => before.expire_at_ms,
                Ttl::At(at) => Some(at),
            },
            cas: before.cas.map(|_| self.engine.fresh_cas()),
            mc_flags: match mc {
                McField::Clear => 0,
                McField::Keep => before.mc_flags,
                McField::Flags(flags) => flags,
            },
            raw,
            memcached: match mc {
                McField::Clear => false,
                McField::Keep => before.memcached,
                McField::Flags(_) => {
                    self.engine.note_memcached();
                    true
                }
            },
        };
        self.put_entry(key, found, value, &fields);
    }

    /// Stores a value with all its fields as they are given.
    #[inline]
    pub(crate) fn put_entry(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        value: NewValue<'_>,
        fields: &Fields,
    ) {
        self.before(key, found.map(|(_, entry)| entry));
        let entry = match value {
            NewValue::Bytes(bytes) if bytes.len() <= SEGMENT_BYTES => {
                self.store(key, found, fields, Stored::Inline(Form::Bytes, bytes))
            }
            NewValue::Bytes(bytes) => self.store(key, found, fields, in_segments(Segments::from_slice(bytes))),
            NewValue::Segments(segments) if segments.len() > SEGMENT_BYTES => {
                self.store(key, found, fields, in_segments(segments))
            }
            NewValue::Segments(segments) => {
                self.store(key, found, fields, Stored::Inline(Form::Bytes, &segments.to_vec()))
            }
        };
        self.after(key, || Effect::Put(entry.view()));
    }

    /// Gives an entry that is there all its fields; tells nobody, as the change that it belongs to is being told.
    pub(crate) fn set_fields(&mut self, key: Key<'_>, fields: Fields) -> bool {
        let Some((_, entry)) = self.position(key) else { return false };
        entry.set_clock(fields.clock);
        if let (Some(_), Some(cas)) = (entry.fields().cas, fields.cas) {
            entry.overwrite_cas(cas);
        }
        if entry.fields() != fields {
            self.rewrite(key, entry, fields);
        }
        true
    }

    /// Appends to a string that exists; returns the new length in bytes.
    pub fn append(&mut self, key: Key<'_>, arg: Arg<'_>) -> usize {
        let len = self.find(key).map_or(0, |entry| string_of(entry).len());
        self.write_range(key, len, arg)
    }

    /// Overwrites part of a string that exists, padding with zero bytes; returns the new length in bytes.
    pub fn write_range(&mut self, key: Key<'_>, offset: usize, arg: Arg<'_>) -> usize {
        let Some((position, entry)) = self.position(key) else { return 0 };
        let old_len = string_of(entry).len();
        let len = old_len.max(offset + arg.len());
        if let Arg::Slice(patch) = arg
            && len == old_len
            && self.patch(key, |bytes| bytes[offset..offset + patch.len()].copy_from_slice(patch))
        {
            return len;
        }
        self.before(key, Some(entry));
        if let Some(segments) = entry.segments_mut() {
            let bytes_before = segments.heap_bytes();
            write_segments(segments, offset, arg);
            let more = segments.heap_bytes() as i64 - bytes_before as i64;
            self.grow(key, more);
            entry.set_raw();
            if entry.fields().cas.is_some() {
                entry.overwrite_cas(self.engine.fresh_cas());
            }
            self.after(key, || Effect::Argv(range_effect(key, offset, arg), entry.view()));
            return len;
        }
        let before = entry.fields();
        let fields = Fields { raw: true, cas: before.cas.map(|_| self.engine.fresh_cas()), ..before };
        let stored = if len > SEGMENT_BYTES {
            let mut segments = Segments::from_slice(&string_of(entry).to_bytes());
            write_segments(&mut segments, offset, arg);
            self.store(key, Some((position, entry)), &fields, in_segments(segments))
        } else {
            let mut bytes = Vec::with_capacity(len);
            bytes.extend_from_slice(&string_of(entry).to_bytes());
            bytes.resize(len, 0);
            bytes[offset..offset + arg.len()].copy_from_slice(&arg.to_bytes());
            self.store(key, Some((position, entry)), &fields, Stored::Inline(Form::Bytes, &bytes))
        };
        self.after(key, || Effect::Put(stored.view()));
        len
    }

    /// Changes bytes of a string where they lie; does nothing and says so where there is no string of up to 64 KiB.
    pub fn patch(&mut self, key: Key<'_>, change: impl FnOnce(&mut [u8])) -> bool {
        let Some((_, entry)) = self.position(key) else { return false };
        if entry.form() != Form::Bytes {
            return false;
        }
        self.before(key, Some(entry));
        let Some(bytes) = entry.inline_string_mut() else { return false };
        change(bytes);
        entry.set_raw();
        if entry.fields().cas.is_some() {
            entry.overwrite_cas(self.engine.fresh_cas());
        }
        self.after(key, || Effect::Put(entry.view()));
        true
    }

    /// Whether a command that only reads may all the same change the key's entry: not while its slot is being moved.
    pub fn may_change(&self, key: Key<'_>) -> bool {
        self.stripe_data(key.slot).gate_of(key.slot).may_reap()
    }

    /// Deletes a key; says whether it was there.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        if self.find(key).is_none() {
            return false;
        }
        let Some((position, entry)) = self.position(key) else { return false };
        self.delete(key, position, entry);
        true
    }

    /// Deletes a key. A string's segments are freed in pieces of 64 KiB, so it is never long; large values are freed
    /// in slices, outside of any lock, by either command.
    pub fn remove_lazily(&mut self, key: Key<'_>) -> bool {
        self.remove(key)
    }

    /// Sets or clears the expiry (unix milliseconds) of a key; says whether the key is there.
    pub fn set_expiry(&mut self, key: Key<'_>, at_ms: Option<u64>) -> bool {
        let Some(entry) = self.find(key) else { return false };
        let fields = entry.fields();
        if fields.expire_at_ms == at_ms {
            return true;
        }
        self.before(key, Some(entry));
        match at_ms {
            Some(at) if fields.expire_at_ms.is_some() => {
                entry.overwrite_expiry(at);
                self.place(key).note_expiry(at);
            }
            _ => {
                self.rewrite(key, entry, Fields { expire_at_ms: at_ms, ..fields });
            }
        }
        self.after(key, || Effect::ExpireAt(at_ms));
        true
    }

    /// Sets the access clock of a key; an access tells nobody who follows.
    pub fn set_clock(&mut self, key: Key<'_>, clock: u32) {
        if let Some(entry) = self.find(key) {
            entry.set_clock(clock);
        }
    }

    /// Moves value and fields of `from`, which exists, to `to`, which is overwritten.
    pub fn rename(&mut self, from: Key<'_>, to: Key<'_>) {
        self.copy(from, to);
        self.remove(from);
    }

    /// Copies value and fields of `from`, which exists, to `to`, which is overwritten. Long values share segments,
    /// large ones pages.
    pub fn copy(&mut self, from: Key<'_>, to: Key<'_>) {
        let Some(entry) = self.find(from) else { return };
        let found = self.overwritten(to);
        let fields = entry.fields();
        let ttl = fields.expire_at_ms.map_or(Ttl::Clear, Ttl::At);
        let mc = if fields.memcached { McField::Flags(fields.mc_flags) } else { McField::Clear };
        match entry.view().content() {
            Content::String(Value::Slice(bytes)) => {
                let bytes = bytes.to_vec();
                self.put_with(to, found, NewValue::Bytes(&bytes), ttl, mc, fields.raw);
            }
            Content::String(Value::Segments(segments)) => {
                let segments = segments.clone();
                self.put_with(to, found, NewValue::Segments(segments), ttl, mc, fields.raw);
            }
            Content::Collection(kept) => self.put_kept(to, kept.to_kept(), ttl),
        }
        if found.is_some() {
            // What was there counts as deleted before; where nothing was, this has been told.
            self.notify(Class::NEW, "new", to);
        }
    }
}

/// The string of an entry that the caller knows to hold one; the empty string otherwise.
fn string_of<'a>(entry: EntryPtr) -> Value<'a> {
    entry.view().string().unwrap_or(Value::Slice(b""))
}

fn in_segments<'a>(segments: Segments) -> Stored<'a> {
    Stored::Outside(Outside::Segments(Box::new(segments)))
}

fn write_segments(segments: &mut Segments, offset: usize, arg: Arg<'_>) {
    match arg {
        Arg::Slice(bytes) => segments.write_at(offset, bytes),
        Arg::Segments(more) => {
            let mut at = offset;
            for part in more.parts() {
                segments.write_at(at, part);
                at += part.len();
            }
        }
    }
}

fn range_effect(key: Key<'_>, offset: usize, arg: Arg<'_>) -> OwnedArgs {
    let mut args = OwnedArgs::default();
    args.push(b"setrange");
    args.push(key.bytes);
    args.push(offset.to_string().as_bytes());
    match arg {
        Arg::Slice(bytes) => args.push(bytes),
        Arg::Segments(segments) => args.push_segments(segments.clone()),
    }
    args
}
