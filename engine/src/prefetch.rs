//! Asking the memory for what a batch will read, before the first of its calls runs: tables, entries, elements of large
//! collections. Nothing depends on it: what is not there any more when its call runs was asked for in vain.

use swell_wire::Args;

use crate::engine::Engine;
use crate::entry::{Content, EntryPtr};
use crate::key::{Db, KeyHash};
use crate::spec::{ArgDoc, Group, Spec};
use crate::stripe::{STRIPE_SLOTS, stripe_of};
use crate::table::Table;
use crate::value::{KeptRef, LargeRef};

/// Calls whose elements are asked for at once.
const LOOKUPS_MAX: usize = 32;

/// How far looking up an element of a large collection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is about to read which page the element is in, or that page's header.
    Place,
    /// It is about to search the page.
    Page,
    /// It is about to compare the element.
    Element,
}

/// An element that a call will look up in the collection at its key.
#[derive(Clone, Copy)]
struct Lookup<'k> {
    key: &'k KeyHash,
    hash: u64,
}

/// Finds the entries of one key after the other, and keeps the stripe locked while the next key lies in it as well.
struct Finder<'e> {
    engine: &'e Engine,
    db: Db,
    locked: Option<usize>,
    /// The last key's hash, and its entry.
    last: Option<(u64, Option<EntryPtr>)>,
}

impl Engine {
    /// Asks the memory for what the calls with these keys will need: first the tables' words, without any lock.
    #[inline]
    pub fn prefetch_tables(&self, db: Db, keys: &[KeyHash]) {
        for key in keys {
            let Some(descriptor) = self.stripe(stripe_of(key.slot)).descriptor(db, key.slot) else { continue };
            if let Some(address) = Table::home_address(descriptor, key.hash) {
                prefetch(address.cast());
                prefetch(address.cast::<u8>().wrapping_add(64));
            }
        }
    }

    /// Then the entries, each under a try-lock held for that read only; a taken stripe is skipped.
    #[inline]
    pub fn prefetch_entries(&self, db: Db, keys: &[KeyHash]) {
        for key in keys {
            let stripe = self.stripe(stripe_of(key.slot));
            if !stripe.try_lock() {
                continue;
            }
            // SAFETY: the lock is held until the unlock below.
            let directory = unsafe { stripe.directory(db) };
            let candidate =
                directory.and_then(|directory| directory.tables[key.slot.index() % STRIPE_SLOTS].candidate(key.hash));
            stripe.unlock();
            if let Some(entry) = candidate {
                let entry = entry.as_ptr().cast_const();
                prefetch(entry);
                prefetch(entry.wrapping_add(64));
            }
        }
    }

    /// Then, of large collections, the elements that the calls will look up, a step of all look-ups at a time. A taken
    /// stripe is skipped.
    #[inline]
    pub fn prefetch_elements<'a>(&self, db: Db, calls: impl Iterator<Item = (&'static Spec, Args<'a>, &'a [KeyHash])>) {
        let mut calls = calls.filter_map(|(spec, args, keys)| match keys {
            [key] => spec.element(args).map(|element| (key, element)),
            _ => None,
        });
        if let Some(first) = calls.next() {
            self.prefetch_looked_up(db, std::iter::once(first).chain(calls));
        }
    }

    fn prefetch_looked_up<'a>(&self, db: Db, calls: impl Iterator<Item = (&'a KeyHash, &'a [u8])>) {
        let mut lookups: [Option<Lookup<'a>>; LOOKUPS_MAX] = [None; LOOKUPS_MAX];
        let mut count = 0;
        let mut finder = Finder::new(self, db);
        for (key, element) in calls {
            if count == LOOKUPS_MAX {
                break;
            }
            let hash = self.hasher().hash(element);
            if finder.step(key, hash, Step::Place) {
                lookups[count] = Some(Lookup { key, hash });
                count += 1;
            }
        }
        for step in [Step::Page, Step::Element] {
            for lookup in lookups[..count].iter().flatten() {
                finder.step(lookup.key, lookup.hash, step);
            }
        }
    }
}

impl Spec {
    /// The element that a call looks up in the collection at its key, or the first or last of several: as the
    /// documentation of its arguments has it.
    #[inline]
    fn element<'a>(&self, args: Args<'a>) -> Option<&'a [u8]> {
        if !matches!(self.group, Group::Hash | Group::Set | Group::SortedSet | Group::Geo) || args.len() < 3 {
            return None;
        }
        let is_element = |arg: &ArgDoc| matches!(arg.name, "member" | "field");
        let is_one = |arg: &ArgDoc, part: Option<&ArgDoc>| is_element(arg) || part.is_some_and(is_element);
        match self.arguments {
            [_, first, ..] if is_one(first, first.arguments.first()) => Some(args.slice(2)),
            [.., last] if is_one(last, last.arguments.last()) => Some(args.slice(args.len() - 1)),
            _ => None,
        }
    }
}

impl<'e> Finder<'e> {
    fn new(engine: &'e Engine, db: Db) -> Finder<'e> {
        Finder { engine, db, locked: None, last: None }
    }

    /// Takes one step of looking up an element; false if the key's value is no large collection that has a use for it.
    #[inline]
    fn step(&mut self, key: &KeyHash, hash: u64, step: Step) -> bool {
        let Some(entry) = self.entry(key) else { return false };
        match entry.view().content() {
            Content::Collection(KeptRef::Large(LargeRef::ZSet(ranked))) => ranked.prefetch(step, hash),
            Content::Collection(KeptRef::Large(LargeRef::Hash(map) | LargeRef::Set(map))) => map.prefetch(step, hash),
            _ => return false,
        }
        true
    }

    /// What is probably the key's entry; its stripe is locked until the next key is asked for.
    #[inline]
    fn entry(&mut self, key: &KeyHash) -> Option<EntryPtr> {
        let index = stripe_of(key.slot);
        if self.locked != Some(index) {
            self.unlock();
            if !self.engine.stripe(index).try_lock() {
                return None;
            }
            self.locked = Some(index);
        } else if let Some((hash, entry)) = self.last
            && hash == key.hash
        {
            return entry;
        }
        // SAFETY: the stripe is locked until `unlock`.
        let directory = unsafe { self.engine.stripe(index).directory(self.db) };
        let candidate =
            directory.and_then(|directory| directory.tables[key.slot.index() % STRIPE_SLOTS].candidate(key.hash));
        // SAFETY: the table's words are live entries and the stripe is locked.
        let entry = candidate.map(|raw| unsafe { EntryPtr::from_raw(raw) });
        self.last = Some((key.hash, entry));
        entry
    }

    fn unlock(&mut self) {
        self.last = None;
        if let Some(index) = self.locked.take() {
            self.engine.stripe(index).unlock();
        }
    }
}

impl Drop for Finder<'_> {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Asks the memory for a cache line.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless: it reads nothing that the program sees.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use swell_wire::{Out, OwnedArgs, Proto};

    use super::*;
    use crate::admit::Admitted;
    use crate::commands::table::{Command, Found, tables};
    use crate::{Context, Local, Outcome};

    /// A call that owns its words.
    struct Request {
        command: Command,
        args: OwnedArgs,
        keys: Vec<KeyHash>,
    }

    impl Request {
        fn new(engine: &Engine, text: &str) -> Request {
            let args = OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>());
            let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
            let mut keys = Vec::new();
            command.spec.hash_keys(engine, args.as_args(), &mut keys);
            Request { command, args, keys }
        }

        fn run(&self, engine: &Engine, local: &mut Local) -> String {
            let mut out = Out::new(Proto::Resp2);
            let context = Context { now_ms: 1_700_000_000_000, ..Context::default() };
            let call = Admitted::from_link(self.command.spec, self.args.as_args()).call(&self.keys, context);
            let outcome = engine.execute(local, &call, None, &mut out);
            assert!(matches!(outcome, Outcome::Done { .. }));
            String::from_utf8(out.to_vec()).expect("text")
        }
    }

    fn prefetch_all(engine: &Engine, requests: &[Request]) {
        let calls = requests.iter().map(|call| (call.command.spec, call.args.as_args(), &call.keys[..]));
        engine.prefetch_elements(Db::default(), calls);
    }

    #[test]
    fn documentation_says_which_argument_is_an_element() {
        let engine = Engine::new(1);
        for (text, element) in [
            ("ZADD z 1 a", Some("a")),
            ("ZADD z NX CH 1 a 2 b", Some("b")),
            ("ZINCRBY z 1 a", Some("a")),
            ("ZSCORE z a", Some("a")),
            ("ZRANK z a WITHSCORE", Some("a")),
            ("ZREM z a b", Some("a")),
            ("HSET h f v g w", Some("f")),
            ("HGET h f", Some("f")),
            ("HINCRBY h f 1", Some("f")),
            ("HDEL h f g", Some("f")),
            ("SADD s a b", Some("a")),
            ("SISMEMBER s a", Some("a")),
            ("SREM s a", Some("a")),
            ("GEOADD g 1 2 a", Some("a")),
            ("ZPOPMIN z", None),
            ("ZPOPMIN z 3", None),
            ("ZRANGE z 0 9", None),
            ("ZCOUNT z 0 9", None),
            ("HGETALL h", None),
            ("SINTER s t", None),
            ("SET k v", None),
            ("XADD x * field v", None),
        ] {
            let request = Request::new(&engine, text);
            let found = request.command.spec.element(request.args.as_args());
            assert_eq!(found, element.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn asking_changes_nothing_whatever_the_keys_hold() {
        let (engine, words) = (Engine::new(1), ["ZADD z 1", "HSET h", "SADD s", "ZADD small 1", "SADD string"]);
        let mut local = engine.local(1);
        let run = |local: &mut Local, text: &str| Request::new(&engine, text).run(&engine, local);
        run(&mut local, "SET string v");
        run(&mut local, "ZADD small 1 one");
        let mut requests = Vec::new();
        for word in words {
            for at in 0..if word.ends_with("small 1") { 3 } else { 2_000 } {
                let value = if word.starts_with('H') { " v" } else { "" };
                requests.push(Request::new(&engine, &format!("{word} member:{at}{value}")));
            }
        }
        // At first there is nothing, then something compact, then it is large; also calls of all keys at once.
        for part in requests.chunks(20) {
            prefetch_all(&engine, part);
            part.iter().for_each(|request| drop(request.run(&engine, &mut local)));
        }
        let mixed: Vec<Request> = (0..64)
            .map(|at| Request::new(&engine, &format!("{} member:{at}", ["ZSCORE z", "HGET h", "SREM s"][at % 3])))
            .collect();
        let stripe = engine.stripe(stripe_of(mixed[0].keys[0].slot));
        assert!(stripe.try_lock());
        prefetch_all(&engine, &mixed);
        assert!(!stripe.try_lock(), "what others hold is left alone");
        stripe.unlock();
        prefetch_all(&engine, &mixed);
        for request in &mixed {
            let stripe = engine.stripe(stripe_of(request.keys[0].slot));
            assert!(stripe.try_lock(), "nothing is left locked");
            stripe.unlock();
        }
        for (text, reply) in [("ZCARD z", ":2000"), ("HLEN h", ":2000"), ("SCARD s", ":2000"), ("ZCARD small", ":4")] {
            assert_eq!(run(&mut local, text), format!("{reply}\r\n"));
        }
        assert_eq!(run(&mut local, "GET string"), "$1\r\nv\r\n");
    }
}
