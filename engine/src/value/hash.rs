//! Hashes: fields with values, in a listpack (field, value, field, …) or in pages. Only pages have fields that expire.

use swell_wire::Arg;

use super::element::{Element, Needle, OVERHEAD_BYTES_MAX};
use super::item::Item;
use super::listpack::{Elements, Listpack, ListpackRef};
use super::pages::{self, PageMap};
use super::random::Random;
use super::{COMPACT_BYTES_MAX, Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, distinct};
use crate::entry::Value;
use crate::exec::Tools;
use crate::key::Hasher;

/// A hash that owns its value.
#[derive(Clone, Debug)]
pub enum Hash {
    Pack(Listpack),
    Large(Box<PageMap>),
}

/// A hash in its entry.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    Pack(ListpackRef<'a>),
    Large(&'a PageMap),
}

/// One field that has not expired.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: Item<'a>,
    pub value: Item<'a>,
    /// Unix milliseconds.
    pub expire_at_ms: Option<u64>,
}

/// The fields that have not expired, in the order of the listpack or of their hashes.
#[derive(Clone, Debug)]
pub enum Fields<'a> {
    Pack(Elements<'a>),
    Large(pages::Iter<'a>, u64),
}

impl Collection for Hash {
    const KIND: Kind = Kind::Hash;
    type Ref<'a> = HashRef<'a>;

    fn empty() -> Self {
        Hash::Pack(Listpack::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::HashPack, bytes) => Some(Hash::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::Hash(large)) => Some(Hash::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            Hash::Pack(pack) => Kept::Compact(Form::HashPack, pack.into_bytes()),
            Hash::Large(large) => Kept::Large(LargeBox::Hash(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<HashRef<'_>> {
        match kept {
            KeptRef::Compact(Form::HashPack, bytes) => Some(HashRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::Hash(large)) => Some(HashRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: HashRef<'_>) -> Self {
        match from {
            HashRef::Pack(pack) => Hash::Pack(pack.to_owned()),
            HashRef::Large(large) => Hash::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

/// Draws for one random field of a hash where many have expired; after them the living ones are counted.
const DRAWS_MAX: usize = 100;

impl Hash {
    /// Reads it.
    #[inline]
    pub fn view(&self) -> HashRef<'_> {
        match self {
            Hash::Pack(pack) => HashRef::Pack(pack.view()),
            Hash::Large(large) => HashRef::Large(large),
        }
    }

    /// Makes the hash large if so many fields are to be set, or one field or value is so long, that Valkey would.
    pub fn make_room(&mut self, fields: usize, longest: usize, tools: &Tools) {
        if let Hash::Pack(_) = self
            && (fields > tools.limits.hash_entries || longest > tools.limits.hash_value_bytes)
        {
            self.grow(tools);
        }
    }

    /// Gives a field this value, and this expiry (unix milliseconds) or none; says whether the field is new.
    pub fn set(&mut self, field: &[u8], value: Arg<'_>, expire_at_ms: Option<u64>, tools: &Tools) -> bool {
        self.make_room(1, field.len().max(value.len()), tools);
        if expire_at_ms.is_some() || !self.fits(field, value) {
            self.grow(tools);
        }
        match (&mut *self, value) {
            (Hash::Large(large), value) => {
                let was = (large.volatile_len() > 0)
                    .then(|| large.get(&tools.hasher, field).is_some_and(is_living(tools.now_ms)));
                let replaced = large.set(&tools.hasher, field, value, expire_at_ms);
                !was.unwrap_or(replaced)
            }
            (Hash::Pack(pack), Arg::Slice(value)) => {
                let is_new = set_in_pack(pack, field, value);
                if is_new && pack.view().len() / 2 > tools.limits.hash_entries {
                    self.grow(tools);
                }
                is_new
            }
            (Hash::Pack(_), Arg::Segments(_)) => unreachable!("a value in segments does not fit a listpack"),
        }
    }

    /// Removes a field; says whether it was there and had not expired. One that has stays.
    pub fn remove(&mut self, field: &[u8], tools: &Tools) -> bool {
        match self {
            Hash::Pack(pack) => {
                let Some(at) = find_in_pack(pack.view(), field) else { return false };
                pack.delete(at, 2);
                true
            }
            Hash::Large(large) => {
                let dead = large.volatile_len() > 0
                    && large.get(&tools.hasher, field).is_some_and(|element| !is_living(tools.now_ms)(element));
                !dead && large.remove(&tools.hasher, field)
            }
        }
    }

    /// Sets or clears the expiry (unix milliseconds) of a field that is there.
    pub fn set_expiry(&mut self, field: &[u8], expire_at_ms: Option<u64>, tools: &Tools) {
        if expire_at_ms.is_some() {
            self.grow(tools);
        }
        if let Hash::Large(large) = self {
            large.set_expiry(&tools.hasher, field, expire_at_ms);
        }
    }

    /// Removes about `max` fields that have expired and tells each; returns how many there were.
    pub fn remove_expired(&mut self, max: usize, tools: &Tools, gone: impl FnMut(&[u8])) -> usize {
        match self {
            Hash::Pack(_) => 0,
            Hash::Large(large) => large.remove_expired(&tools.hasher, tools.now_ms, max, gone),
        }
    }

    /// Whether this value fits a listpack in an entry, which only matters with thresholds above Valkey's own.
    fn fits(&self, field: &[u8], value: Arg<'_>) -> bool {
        let Hash::Pack(pack) = self else { return true };
        let more = field.len() + value.len() + 2 * OVERHEAD_BYTES_MAX;
        matches!(value, Arg::Slice(_)) && pack.view().bytes().len() + more <= COMPACT_BYTES_MAX
    }

    /// Makes a compact hash large.
    fn grow(&mut self, tools: &Tools) {
        let Hash::Pack(pack) = self else { return };
        let mut large = PageMap::new();
        let mut elements = pack.view().iter();
        while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
            let (field, value) = (field.to_vec(), value.to_vec());
            large.set(&tools.hasher, &field, Arg::Slice(&value), None);
        }
        *self = Hash::Large(Box::new(large));
    }
}

impl<'a> HashRef<'a> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            HashRef::Pack(pack) => pack.is_empty(),
            HashRef::Large(large) => large.is_empty(),
        }
    }

    /// Number of fields; as in Valkey those that have expired count until they are removed.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            HashRef::Pack(pack) => pack.len() / 2,
            HashRef::Large(large) => large.len(),
        }
    }

    /// Number of fields that have not expired.
    pub fn living(&self, now_ms: u64) -> usize {
        match self {
            HashRef::Large(large) if large.earliest_expiry().is_some_and(|at| at < now_ms) => {
                large.iter().filter(|element| is_living(now_ms)(*element)).count()
            }
            _ => self.len(),
        }
    }

    /// Whether a field of it may expire.
    pub fn is_volatile(&self) -> bool {
        matches!(self, HashRef::Large(large) if large.volatile_len() > 0)
    }

    /// The value of a field that has not expired.
    #[inline]
    pub fn get(&self, field: &[u8], hasher: &Hasher, now_ms: u64) -> Option<Item<'a>> {
        match self {
            HashRef::Pack(pack) => pack.at(pack.after(find_in_pack(*pack, field)?)?).map(Item::Short),
            HashRef::Large(large) => large
                .get(hasher, field)
                .filter(|element| is_living(now_ms)(*element))
                .map(|element| item(element.value)),
        }
    }

    /// Whether a field is there and has not expired.
    #[inline]
    pub fn contains(&self, field: &[u8], hasher: &Hasher, now_ms: u64) -> bool {
        match self {
            HashRef::Pack(pack) => find_in_pack(*pack, field).is_some(),
            HashRef::Large(large) => large.get(hasher, field).is_some_and(is_living(now_ms)),
        }
    }

    /// When a field that has not expired expires (unix milliseconds). Outer nothing: there is no such field.
    pub fn expiry(&self, field: &[u8], hasher: &Hasher, now_ms: u64) -> Option<Option<u64>> {
        match self {
            HashRef::Pack(pack) => find_in_pack(*pack, field).map(|_| None),
            HashRef::Large(large) => {
                let element = large.get(hasher, field).filter(|element| is_living(now_ms)(*element));
                element.map(|element| element.expire_at_ms)
            }
        }
    }

    /// Whether a field is there that has expired and was not removed yet.
    pub fn has_expired(&self, field: &[u8], hasher: &Hasher, now_ms: u64) -> bool {
        let HashRef::Large(large) = self else { return false };
        large.get(hasher, field).is_some_and(|element| !is_living(now_ms)(element))
    }

    /// The fields that have not expired.
    #[inline]
    pub fn fields(&self, now_ms: u64) -> Fields<'a> {
        match self {
            HashRef::Pack(pack) => Fields::Pack(pack.iter()),
            HashRef::Large(large) => Fields::Large(large.iter(), now_ms),
        }
    }

    /// Visits about `count` fields from a cursor on, all of a compact hash; returns the cursor to go on with and how
    /// many fields were looked at.
    pub fn scan(&self, cursor: u64, count: usize, now_ms: u64, mut each: impl FnMut(Field<'a>)) -> (u64, usize) {
        let HashRef::Large(large) = self else {
            self.fields(now_ms).for_each(each);
            return (0, self.len());
        };
        let mut visited = 0;
        let next = large.scan(cursor, count, |element| {
            visited += 1;
            if is_living(now_ms)(element) {
                each(element.into());
            }
        });
        (next, visited)
    }

    /// A field drawn at random among those that have not expired.
    pub fn random(&self, now_ms: u64, random: &mut Random) -> Option<Field<'a>> {
        let HashRef::Large(large) = self else {
            let drawn = random.below(self.len());
            return self.fields(now_ms).nth(drawn);
        };
        for _ in 0..DRAWS_MAX {
            let element = large.random(|| random.number())?;
            if is_living(now_ms)(element) {
                return Some(element.into());
            }
        }
        let drawn = random.below(self.living(now_ms));
        self.fields(now_ms).nth(drawn)
    }

    /// `count` fields that have not expired, none twice, drawn at random.
    pub fn sample(&self, count: usize, now_ms: u64, random: &mut Random, mut each: impl FnMut(Field<'a>)) {
        match self {
            HashRef::Large(large) if large.volatile_len() == 0 => {
                large.sample(count, random, |element| each(element.into()))
            }
            _ => random.sample(self.fields(now_ms), self.living(now_ms), count, each),
        }
    }

    /// `count` fields that have not expired, each drawn by itself.
    pub fn draw(&self, count: usize, now_ms: u64, random: &mut Random, mut each: impl FnMut(Field<'a>)) {
        if let HashRef::Large(large) = self
            && large.volatile_len() == 0
        {
            return (0..count)
                .filter_map(|_| large.random(|| random.number()))
                .for_each(|element| each(element.into()));
        }
        let living: Vec<Field<'a>> = self.fields(now_ms).collect();
        if !living.is_empty() {
            (0..count).for_each(|_| each(living[random.below(living.len())]));
        }
    }
}

impl<'a> From<pages::Element<'a>> for Field<'a> {
    #[inline]
    fn from(element: pages::Element<'a>) -> Self {
        Field {
            name: Item::Short(Element::Str(element.key)),
            value: item(element.value),
            expire_at_ms: element.expire_at_ms,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        match self {
            Fields::Pack(elements) => {
                let (name, value) = (elements.next()?, elements.next()?);
                Some(Field { name: Item::Short(name), value: Item::Short(value), expire_at_ms: None })
            }
            Fields::Large(elements, now_ms) => elements.find(|element| is_living(*now_ms)(*element)).map(Field::from),
        }
    }
}

/// Whether an element has not expired at this time.
#[inline]
fn is_living(now_ms: u64) -> impl Fn(pages::Element<'_>) -> bool {
    move |element| element.expire_at_ms.is_none_or(|at| at >= now_ms)
}

#[inline]
fn item(value: Value<'_>) -> Item<'_> {
    match value {
        Value::Slice(bytes) => Item::Short(Element::Str(bytes)),
        Value::Segments(segments) => Item::Long(segments),
    }
}

/// The place of a field.
#[inline]
fn find_in_pack(pack: ListpackRef<'_>, field: &[u8]) -> Option<usize> {
    pack.find(pack.first()?, &Needle::new(field), 1)
}

/// Gives a field a value; says whether the field is new.
#[inline]
fn set_in_pack(pack: &mut Listpack, field: &[u8], value: &[u8]) -> bool {
    let found = find_in_pack(pack.view(), field).and_then(|at| pack.view().after(at));
    match found {
        Some(at) => drop(pack.replace(at, value)),
        None => {
            pack.push_back(field);
            pack.push_back(value);
        }
    }
    found.is_none()
}

/// Whether bytes from elsewhere are a listpack of fields and values, no field twice.
pub fn is_hash(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty() && pack.len() % 2 == 0 && distinct(&pack, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Limits;

    const NOW_MS: u64 = 1_000;

    fn tools() -> Tools {
        Tools { hasher: Hasher::new(1), limits: Limits::default(), now_ms: NOW_MS, followed: true }
    }

    fn set(hash: &mut Hash, field: &str, value: &str, expire_at_ms: Option<u64>) -> bool {
        hash.set(field.as_bytes(), Arg::Slice(value.as_bytes()), expire_at_ms, &tools())
    }

    fn names(hash: &Hash) -> Vec<String> {
        let name = |field: Field<'_>| String::from_utf8(field.name.to_vec()).unwrap();
        let mut names: Vec<String> = hash.view().fields(NOW_MS).map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn it_becomes_large_where_valkeys_does() {
        let mut hash = Hash::empty();
        for n in 0..512 {
            assert!(set(&mut hash, &n.to_string(), "v", None));
        }
        assert!(matches!(hash, Hash::Pack(_)) && !set(&mut hash, "0", "w", None));
        set(&mut hash, "one more", "v", None);
        assert!(matches!(hash, Hash::Large(_)) && hash.view().len() == 513);
        for (field, value) in [("f".repeat(65), "v".to_owned()), ("f".to_owned(), "v".repeat(65))] {
            let mut hash = Hash::empty();
            set(&mut hash, &field, &value, None);
            assert!(matches!(hash, Hash::Large(_)));
        }
        let mut hash = Hash::empty();
        set(&mut hash, "f", "v", Some(5_000));
        assert!(matches!(hash, Hash::Large(_)) && hash.view().is_volatile());
    }

    #[test]
    fn what_would_not_fit_an_entry_becomes_large() {
        let limits = Limits { hash_entries: usize::MAX, hash_value_bytes: usize::MAX, ..Limits::default() };
        let tools = Tools { limits, ..tools() };
        let mut hash = Hash::empty();
        for n in 0..3u8 {
            hash.set(&[n], Arg::Slice(&[n; 60_000]), None, &tools);
        }
        assert!(matches!(hash, Hash::Large(_)) && hash.view().len() == 3);
    }

    #[test]
    fn expired_fields_are_seen_by_nobody() {
        let mut hash = Hash::empty();
        for (field, at) in [("dead", Some(NOW_MS - 1)), ("last", Some(NOW_MS)), ("long", Some(9_999)), ("plain", None)]
        {
            set(&mut hash, field, "v", at);
        }
        let tools = tools();
        assert_eq!(names(&hash), ["last", "long", "plain"]);
        assert_eq!((hash.view().len(), hash.view().living(NOW_MS)), (4, 3));
        assert!(hash.view().get(b"dead", &tools.hasher, NOW_MS).is_none());
        assert!(hash.view().has_expired(b"dead", &tools.hasher, NOW_MS));
        assert!(!hash.remove(b"dead", &tools) && hash.view().len() == 4);
        assert_eq!(hash.view().expiry(b"long", &tools.hasher, NOW_MS), Some(Some(9_999)));
        let mut random = Random::new(1);
        for count in [1, 3, 10] {
            let mut drawn = Vec::new();
            hash.view().sample(count, NOW_MS, &mut random, |field| drawn.push(field.name.to_vec()));
            assert!(drawn.len() == count.min(3) && !drawn.contains(&b"dead".to_vec()));
        }
        let mut drawn = 0;
        hash.view().draw(50, NOW_MS, &mut random, |field| drawn += usize::from(field.name.to_vec() != b"dead"));
        assert_eq!(drawn, 50);
        assert!(set(&mut hash, "dead", "again", None), "an expired field is new again");
        set(&mut hash, "dead", "v", Some(1));
        let mut gone = Vec::new();
        assert_eq!(hash.remove_expired(10, &tools, |field| gone.push(field.to_vec())), 1);
        assert_eq!((gone, hash.view().len()), (vec![b"dead".to_vec()], 3));
    }

    #[test]
    fn a_hash_of_expired_fields_has_no_random_one() {
        let mut hash = Hash::empty();
        (0..20).for_each(|n| _ = set(&mut hash, &n.to_string(), "v", Some(1)));
        assert!(hash.view().random(NOW_MS, &mut Random::new(1)).is_none());
        hash.view().draw(3, NOW_MS, &mut Random::new(1), |_| panic!("none is left"));
    }

    #[test]
    fn a_long_value_is_kept_in_segments() {
        let mut hash = Hash::empty();
        let value = swell_wire::Segments::from_slice(&[7; 100_000]);
        hash.set(b"f", Arg::Segments(&value), None, &tools());
        assert!(
            matches!(hash.view().get(b"f", &tools().hasher, NOW_MS), Some(Item::Long(long)) if long.len() == 100_000)
        );
    }
}
