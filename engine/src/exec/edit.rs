//! Changing collections: the value is moved out of its entry, changed by the command's body, and put back.

use swell_wire::OwnedArgs;

use super::{Exec, Ttl};
use crate::effect::Effect;
use crate::entry::{EntryPtr, Fields, Outside, Stored};
use crate::error::Fault;
use crate::key::{Hasher, Key};
use crate::table::Position;
use crate::value::{Collection, Form, Kept, LargeBox, Limits};

/// What an edit does where the key is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Begins with an empty value.
    Create,
    /// Does nothing.
    Skip,
}

/// What an edit has done to a value, for those who follow.
#[derive(Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// What the command that is being run does, so that running it again on the same value does the same: it depends on
    /// nothing but the value and its own words.
    Verbatim,
    /// What this command on the same key does; the same rule holds for it.
    Effect(OwnedArgs),
    /// Anything: the whole value is told. For values just made, and where no command says it.
    Whole,
}

/// What the body of an edit may use.
#[derive(Clone, Copy, Debug)]
pub struct Tools {
    pub hasher: Hasher,
    pub limits: Limits,
    /// Unix milliseconds; 0 when an effect is replayed.
    pub now_ms: u64,
    /// Whether somebody is told of the change: if not, any kind of [`Change`] but none at all is as good as another.
    pub followed: bool,
}

impl Tools {
    /// The change that a command tells, which is put together only where somebody is told.
    #[inline]
    pub fn effect(&self, args: impl FnOnce() -> OwnedArgs) -> Change {
        if self.followed { Change::Effect(args()) } else { Change::Whole }
    }
}

/// A value that is out of its entry. Goes back also when the body panics, so that no entry is left without one.
struct Taken<'x, 'e, C: Collection> {
    exec: &'x mut Exec<'e>,
    key: Key<'x>,
    found: Option<(Position, EntryPtr)>,
    /// The form it had, and the bytes that were counted outside of the entry.
    was: Option<(Form, usize)>,
    value: Option<C>,
}

impl<'e> Exec<'e> {
    /// What edits and other bodies need of the settings.
    #[inline]
    pub fn tools(&self) -> Tools {
        let limits = self.engine.settings().limits();
        Tools { hasher: *self.engine.hasher(), limits, now_ms: self.now_ms, followed: true }
    }

    /// Changes a collection. Looks the key up, gives its value to `edit`, puts it back; a value that is left empty
    /// deletes its key (unless [`Collection::KEEP_EMPTY`]). `None`: the key is missing and was to be skipped.
    ///
    /// # Errors
    /// [`Fault::WrongType`]; what `edit` says, which must then have changed nothing.
    pub fn edit<C: Collection, R>(
        &mut self,
        key: Key<'_>,
        missing: Missing,
        edit: impl FnOnce(&mut C, &Tools) -> Result<(R, Change), Fault>,
    ) -> Result<Option<R>, Fault> {
        let found = match self.find_at(key) {
            Some((position, entry)) => {
                if entry.form().kind() != C::KIND {
                    return Err(Fault::WrongType);
                }
                self.touch(entry);
                Some((position, entry))
            }
            None if missing == Missing::Skip => return Ok(None),
            None => None,
        };
        let tools = Tools { followed: self.is_followed(key), ..self.tools() };
        self.before(key, found.map(|(_, entry)| entry));
        let mut taken = Taken::<C>::take(self, key, found);
        let Some(value) = &mut taken.value else { return Err(Fault::WrongType) };
        let (reply, change) = match edit(value, &tools) {
            Ok(done) => done,
            Err(fault) => {
                taken.put_back();
                return Err(fault);
            }
        };
        taken.finish(change);
        Ok(Some(reply))
    }

    /// Whether somebody is told of changes of this key.
    #[inline]
    fn is_followed(&self, key: Key<'_>) -> bool {
        self.stripe_data(key.slot).observer.as_ref().is_some_and(|observers| observers.are_told())
    }

    /// Stores a whole collection, which is not empty, creating or overwriting the key.
    pub fn put_collection<C: Collection>(&mut self, key: Key<'_>, value: C, ttl: Ttl) {
        self.put_kept(key, value.into_kept(), ttl);
    }

    /// As [`Exec::put_collection`], for a value of whatever type.
    pub fn put_kept(&mut self, key: Key<'_>, kept: Kept, ttl: Ttl) {
        let found = self.overwritten(key);
        let fields = self.collection_fields(found.map(|(_, entry)| entry), ttl);
        self.put_kept_entry(key, found, kept, &fields);
    }

    pub(crate) fn put_kept_entry(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        kept: Kept,
        fields: &Fields,
    ) {
        self.before(key, found.map(|(_, entry)| entry));
        self.note_fields(key, &kept);
        let entry = self.store_kept(key, found, &kept_fields(*fields), kept);
        self.after(key, || Effect::Put(entry.view()));
    }

    fn collection_fields(&mut self, old: Option<EntryPtr>, ttl: Ttl) -> Fields {
        let expire_at_ms = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => old.and_then(EntryPtr::expire_at_ms),
            Ttl::At(at) => Some(at),
        };
        Fields { clock: self.clock_for(old), expire_at_ms, ..Fields::default() }
    }

    fn store_kept(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        fields: &Fields,
        kept: Kept,
    ) -> EntryPtr {
        match kept {
            Kept::Compact(form, bytes) => {
                let entry = self.store(key, found, fields, Stored::Inline(form, &bytes));
                self.local.keep_scratch(bytes);
                entry
            }
            Kept::Large(large) => self.store(key, found, fields, Stored::Outside(Outside::Large(large))),
        }
    }
}

impl<'x, 'e, C: Collection> Taken<'x, 'e, C> {
    #[inline]
    fn take(exec: &'x mut Exec<'e>, key: Key<'x>, found: Option<(Position, EntryPtr)>) -> Self {
        let Some((_, entry)) = found else {
            return Taken { exec, key, found, was: None, value: Some(C::empty()) };
        };
        // SAFETY: the value is given back in `put_back` or `finish`, at the latest when this is dropped.
        let (was, kept) = match unsafe { entry.take_outside() } {
            Some(Outside::Large(large)) => ((large.form(), large.as_ref().heap_bytes()), Kept::Large(large)),
            Some(outside) => {
                // SAFETY: just taken. It is a string, which is refused before.
                unsafe { entry.put_outside(outside) };
                return Taken { exec, key, found, was: None, value: None };
            }
            None => {
                let (form, mut bytes) = (entry.form(), exec.local.scratch());
                bytes.extend_from_slice(entry.inline_value());
                ((form, 0), Kept::Compact(form, bytes))
            }
        };
        Taken { exec, key, found, was: Some(was), value: C::from_kept(kept) }
    }

    /// Nothing was changed.
    fn put_back(mut self) {
        self.restore();
    }

    fn restore(&mut self) {
        if let Some(value) = self.value.take() {
            self.give_back(value.into_kept());
        }
    }

    /// Gives the entry its value back. Nothing has changed, but perhaps the form, or the bytes that it takes.
    fn give_back(&mut self, kept: Kept) {
        let (Some((_, entry)), Some((was, bytes))) = (self.found, self.was) else { return };
        match kept {
            Kept::Compact(form, bytes) if form == was && bytes == entry.inline_value() => {
                self.exec.local.keep_scratch(bytes);
            }
            kept => {
                self.exec.store_taken(self.key, self.found, was, bytes, kept);
            }
        }
    }

    fn finish(mut self, change: Change) {
        let Some(value) = self.value.take() else { return };
        let (key, found) = (self.key, self.found);
        let is_left_empty = !C::KEEP_EMPTY && value.is_empty();
        let kept = value.into_kept();
        let is_as_before = self.was.is_none_or(|(was, _)| was == kept.form());
        let change = match change {
            Change::None if is_as_before => return self.give_back(kept),
            // No element has changed, but the form has (ZADD XX with a long member): a copy has to follow.
            Change::None => Change::Whole,
            change => change,
        };
        if is_left_empty {
            self.give_back(kept);
            if let Some((position, entry)) = self.exec.position(key) {
                self.exec.delete(key, position, entry);
            }
            return;
        }
        self.exec.note_fields(key, &kept);
        let is_large_as_before = self.was.is_some() && is_as_before && matches!(kept, Kept::Large(_));
        let entry = match self.was {
            Some((was, bytes)) => self.exec.store_taken(key, found, was, bytes, kept),
            None => {
                let fields = self.exec.collection_fields(None, Ttl::Clear);
                self.exec.store_kept(key, None, &fields, kept)
            }
        };
        match change {
            Change::Effect(args) if is_large_as_before => self.exec.after(key, || Effect::Argv(args, entry.view())),
            Change::Verbatim if is_large_as_before => {
                let args = self.exec.args;
                self.exec.after(key, || Effect::Argv(args.to_owned(false), entry.view()));
            }
            _ => self.exec.after(key, || Effect::Put(entry.view())),
        }
    }
}

impl<C: Collection> Drop for Taken<'_, '_, C> {
    #[inline]
    fn drop(&mut self) {
        if self.value.is_some() {
            self.restore();
        }
    }
}

impl Exec<'_> {
    /// Puts a changed value into the entry that it was taken from.
    fn store_taken(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        was: Form,
        outside_bytes: usize,
        kept: Kept,
    ) -> EntryPtr {
        let Some((_, entry)) = found else { return self.store_kept(key, None, &Fields::default(), kept) };
        match kept {
            Kept::Large(large) if was == large.form() => {
                let more = large.as_ref().heap_bytes() as i64 - outside_bytes as i64;
                // SAFETY: the pointer of this form was taken from this entry.
                unsafe { entry.put_outside(Outside::Large(large)) };
                if more != 0 {
                    self.grow(key, more);
                }
                entry
            }
            kept => {
                if was.is_large() {
                    // The pointer is gone and still counted.
                    entry.forget_outside();
                    self.grow(key, -(outside_bytes as i64));
                }
                self.store_kept(key, found, &kept_fields(entry.fields()), kept)
            }
        }
    }
}

impl Exec<'_> {
    /// Upkeep is to come by when the first field of a hash expires.
    #[inline]
    fn note_fields(&mut self, key: Key<'_>, kept: &Kept) {
        if let Kept::Large(LargeBox::Hash(large)) = kept
            && let Some(at_ms) = large.earliest_expiry()
        {
            self.place(key).note_expiry(at_ms);
        }
    }
}

/// Fields as collections have them: what memcached clients write is a string.
fn kept_fields(fields: Fields) -> Fields {
    Fields { cas: None, mc_flags: 0, raw: false, memcached: false, ..fields }
}
