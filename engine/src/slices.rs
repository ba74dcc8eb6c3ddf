//! Answers that are long. A command that finds much to tell takes a snapshot (a copy shares the value's pages), and its
//! reply is written from that: a slice at a time, with no lock held, others running in between.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::{fmt, mem};

use swell_wire::Out;

use crate::entry::{Content, Entry};
use crate::exec::Exec;
use crate::garbage::ELEMENTS_AT_ONCE as FREED_AT_ONCE;
use crate::gate::Refusal;
use crate::value::{Collection, Kept, KeptRef, LargeBox};
use crate::waiters::Waiter;

/// Elements that a command answers at once, under its locks: about 100 µs.
pub const ELEMENTS_AT_ONCE: usize = 4_096;
/// Bytes that it answers at once, by the mean of the value's elements.
pub const BYTES_AT_ONCE: usize = 256 * 1024;
/// So few elements are answered at once whatever their size: nobody looks.
const ELEMENTS_FEW: usize = 64;
/// Elements that are gone over by cursor before it is looked whether there is room for more.
const SCANNED_AT_ONCE: usize = 64;
/// Elements of one slice.
const SLICE_ELEMENTS: usize = 2_048;
/// Bytes of one slice, but for what its last element is longer.
const SLICE_BYTES: usize = 128 * 1024;

/// How much may be written in one go. Both bounds are soft by one element.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub elements: usize,
    pub bytes: usize,
}

/// Something that is written in slices.
pub trait Slices: Send {
    /// Writes what there is room for, and adds what it comes to in work beyond what the command has counted; says
    /// whether there is more.
    fn step(&mut self, room: Room, out: &mut Out, work: &mut u64) -> bool;
    /// Gives its snapshot away, to be freed in slices too. It writes nothing after that.
    fn take_snapshot(&mut self) -> Option<Kept>;
    /// Whether there is something to write. False only for what is still being worked out elsewhere.
    fn is_ready(&self) -> bool {
        true
    }
    /// Has this woken when there is, where there was nothing. For one waiter.
    fn wait(&mut self, _waker: &Waker) {}
    /// Whether what it has written is an error.
    fn failed(&self) -> bool {
        false
    }
    /// The request, if it waits for something that is not there.
    fn waiter(&self) -> Option<&Arc<Waiter>> {
        None
    }
    /// Why there will be no answer: the request has to run anew, elsewhere perhaps.
    fn refused(&self) -> Option<(Refusal, usize)> {
        None
    }
}

/// The rest of a reply whose command has run: it comes in slices.
pub struct Deferred {
    slices: Box<dyn Slices>,
    work: u64,
    leftovers: Arc<Leftovers>,
}

/// Snapshots of one engine that nobody reads any longer, until some worker frees them.
#[derive(Default)]
pub(crate) struct Leftovers {
    large: Mutex<Vec<LargeBox>>,
    is_any: AtomicBool,
}

/// Writes from the snapshot of one value.
struct FromSnapshot<C, F> {
    kept: Option<Kept>,
    write: F,
    of: PhantomData<fn() -> C>,
}

/// Writes an array or map whose length is known only when all its elements are: they are kept until then.
struct Counted<C, F> {
    from: FromSnapshot<C, F>,
    body: Out,
    count: usize,
    head: fn(&mut Out, usize),
}

impl Room {
    /// For what is answered at once.
    pub const ALL: Room = Room { elements: usize::MAX, bytes: usize::MAX };

    /// Writes as many of these as there is room for; returns how many.
    #[inline]
    pub fn fill<T>(&self, items: impl Iterator<Item = T>, out: &mut Out, mut write: impl FnMut(T, &mut Out)) -> usize {
        let (full, mut written) = (out.len().saturating_add(self.bytes), 0);
        for item in items.take(self.elements) {
            write(item, out);
            written += 1;
            if out.len() >= full {
                break;
            }
        }
        written
    }
}

impl Deferred {
    pub(crate) fn new(slices: Box<dyn Slices>, leftovers: Arc<Leftovers>) -> Deferred {
        Deferred { slices, work: 0, leftovers }
    }

    /// Whether the next step has something to write. Not so for what a helper thread still works at: then
    /// [`Deferred::wait`], and ask again.
    pub fn is_ready(&self) -> bool {
        self.slices.is_ready()
    }

    /// Has this woken, once, when there is something to write.
    pub fn wait(&mut self, waker: &Waker) {
        self.slices.wait(waker);
    }

    /// Whether the reply is an error, once all is written.
    pub fn failed(&self) -> bool {
        self.slices.failed()
    }

    /// The request, if it waits for something that is not there (BLPOP): nothing of its reply is written.
    pub fn waiter(&self) -> Option<&Arc<Waiter>> {
        self.slices.waiter()
    }

    /// Once it is ready: whether there is no answer, because it must not wait here any longer. As
    /// [`Outcome::NotExecuted`](crate::run::Outcome::NotExecuted).
    pub fn refused(&self) -> Option<(Refusal, usize)> {
        self.slices.refused()
    }

    /// Writes the next slice, which takes some 100 µs; says whether there is more.
    pub fn step(&mut self, out: &mut Out) -> bool {
        self.slices.step(Room { elements: SLICE_ELEMENTS, bytes: SLICE_BYTES }, out, &mut self.work)
    }

    /// Writes all that is left.
    pub fn finish(&mut self, out: &mut Out) {
        while self.slices.step(Room::ALL, out, &mut self.work) {}
    }

    /// The logical work of the whole command, once all is written.
    pub fn work(&self) -> u64 {
        self.work
    }

    /// The command has counted this much.
    pub(crate) fn with_work(mut self: Box<Self>, work: u64) -> Box<Self> {
        self.work += work;
        self
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        while let Some(kept) = self.slices.take_snapshot() {
            self.leftovers.add(kept);
        }
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("work", &self.work).finish_non_exhaustive()
    }
}

impl Leftovers {
    /// All that there is, mostly nothing.
    pub fn take(&self) -> Vec<LargeBox> {
        match self.is_any.swap(false, Relaxed) {
            true => mem::take(&mut *self.large.lock().unwrap_or_else(PoisonError::into_inner)),
            false => Vec::new(),
        }
    }

    fn add(&self, kept: Kept) {
        if let Kept::Large(large) = kept
            && large.as_ref().elements() > FREED_AT_ONCE
        {
            self.large.lock().unwrap_or_else(PoisonError::into_inner).push(large);
            self.is_any.store(true, Relaxed);
        }
    }
}

impl Exec<'_> {
    /// The rest of the reply, if any, comes in slices from here on: the last that a body does with its reply.
    #[inline]
    pub fn defer(&mut self, slices: Option<Box<dyn Slices>>) {
        if let Some(slices) = slices {
            let leftovers = self.engine.leftovers().clone();
            self.deferred = Some(Box::new(Deferred::new(slices, leftovers)));
        }
    }
}

/// Whether so many elements of a value are too much for one go.
#[inline]
pub fn is_long(entry: &Entry<'_>, elements: usize) -> bool {
    elements > ELEMENTS_FEW && is_much(entry, elements)
}

#[cold]
fn is_much(entry: &Entry<'_>, elements: usize) -> bool {
    let Content::Collection(KeptRef::Large(large)) = entry.content() else { return false };
    elements > ELEMENTS_AT_ONCE
        || (large.heap_bytes() / large.elements().max(1)).saturating_mul(elements) > BYTES_AT_ONCE
}

/// Answers `elements` elements of a value. `write` goes on where it was, as far as there is room, and says whether there
/// is more. Few are written at once; many are for [`Exec::defer`].
#[inline]
pub fn from<C: Collection + 'static>(
    entry: &Entry<'_>,
    elements: usize,
    out: &mut Out,
    mut write: impl for<'a> FnMut(C::Ref<'a>, Room, &mut Out) -> bool + Send + 'static,
) -> Option<Box<dyn Slices>> {
    if !is_long(entry, elements) {
        let value = entry.collection::<C>().ok()?;
        while write(value, Room::ALL, out) {}
        return None;
    }
    let mut count = move |value: C::Ref<'_>, room: Room, out: &mut Out| (0, write(value, room, out));
    Some(Box::new(FromSnapshot::<C, _>::new(entry, move |value: C::Ref<'_>, room, out: &mut Out| {
        count(value, room, out)
    })))
}

/// As [`from`], for elements that have places: `write` writes those of `part` from its beginning, as far as there is
/// room, and says how many.
#[inline]
pub fn range<C: Collection + 'static>(
    entry: &Entry<'_>,
    range: Range<usize>,
    out: &mut Out,
    mut write: impl for<'a> FnMut(C::Ref<'a>, Range<usize>, Room, &mut Out) -> usize + Send + 'static,
) -> Option<Box<dyn Slices>> {
    let mut left = range;
    from::<C>(entry, left.len(), out, move |value, room, out| {
        let written = write(value, left.clone(), room, out);
        left.start += written;
        written > 0 && !left.is_empty()
    })
}

/// As [`from`], for all `elements` of a value that is gone over with a cursor: `write` writes about so many from the cursor
/// on, and says how many that were and where to go on; 0 is the beginning, and the end.
#[inline]
pub fn scan<C: Collection + 'static>(
    entry: &Entry<'_>,
    elements: usize,
    out: &mut Out,
    mut write: impl for<'a> FnMut(C::Ref<'a>, u64, usize, &mut Out) -> (usize, u64) + Send + 'static,
) -> Option<Box<dyn Slices>> {
    let mut cursor = 0;
    from::<C>(entry, elements, out, move |value, room, out| {
        let (full, mut written) = (out.len().saturating_add(room.bytes), 0);
        while written < room.elements && out.len() < full {
            let (count, next) = write(value, cursor, SCANNED_AT_ONCE, out);
            (cursor, written) = (next, written + count);
            if next == 0 {
                return false;
            }
        }
        true
    })
}

/// Answers elements of a value that nobody has counted, behind the head of an array that the caller has left open:
/// `write` says how many it has written, and whether there are more. Few are written at once, and the first answer is
/// their number. Of many nothing is left in `out`; the head must go too, and the rest is for [`Exec::defer`], whose work
/// is one for each element beyond the first.
pub fn counted<C: Collection + 'static>(
    entry: &Entry<'_>,
    head: fn(&mut Out, usize),
    out: &mut Out,
    mut write: impl for<'a> FnMut(C::Ref<'a>, Room, &mut Out) -> (usize, bool) + Send + 'static,
) -> (usize, Option<Box<dyn Slices>>) {
    let Ok(value) = entry.collection::<C>() else { return (0, None) };
    let mark = out.mark();
    let (count, more) = write(value, Room { elements: ELEMENTS_AT_ONCE, bytes: BYTES_AT_ONCE }, out);
    if !more {
        return (count, None);
    }
    let mut body = Out::new(out.proto());
    body.attach(out.split_off(mark));
    (count, Some(Box::new(Counted { from: FromSnapshot::<C, _>::new(entry, write), body, count, head })))
}

impl<C, F> FromSnapshot<C, F>
where
    C: Collection,
    F: for<'a> FnMut(C::Ref<'a>, Room, &mut Out) -> (usize, bool) + Send,
{
    fn new(entry: &Entry<'_>, write: F) -> Self {
        FromSnapshot { kept: entry.to_kept(), write, of: PhantomData }
    }

    fn write(&mut self, room: Room, out: &mut Out) -> (usize, bool) {
        match self.kept.as_ref().and_then(|kept| C::read(kept.as_ref())) {
            Some(value) => (self.write)(value, room, out),
            None => (0, false),
        }
    }
}

impl<C, F> Slices for FromSnapshot<C, F>
where
    C: Collection,
    F: for<'a> FnMut(C::Ref<'a>, Room, &mut Out) -> (usize, bool) + Send,
{
    fn step(&mut self, room: Room, out: &mut Out, _work: &mut u64) -> bool {
        self.write(room, out).1
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        self.kept.take()
    }
}

impl<C, F> Slices for Counted<C, F>
where
    C: Collection,
    F: for<'a> FnMut(C::Ref<'a>, Room, &mut Out) -> (usize, bool) + Send,
{
    fn step(&mut self, room: Room, out: &mut Out, work: &mut u64) -> bool {
        let mut piece = Out::new(self.body.proto());
        let (written, more) = self.from.write(room, &mut piece);
        self.body.attach(piece);
        self.count += written;
        if more {
            return true;
        }
        *work += self.count.saturating_sub(1) as u64;
        (self.head)(out, self.count);
        out.attach(mem::take(&mut self.body));
        false
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        self.from.take_snapshot()
    }
}
