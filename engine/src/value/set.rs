//! Sets: members in an intset, in a listpack or in pages.

use super::element::{DIGITS_MAX, Element, Needle, OVERHEAD_BYTES_MAX};
use super::index::{self, Index};
use super::intset::{IntSet, IntSetRef};
use super::listpack::{Elements, Listpack, ListpackRef};
use super::pages::{self, PageMap};
use super::random::Random;
use super::{COMPACT_BYTES_MAX, Collection, Form, Kept, KeptRef, Kind, LargeBox, LargeRef, Limits, distinct};
use crate::exec::Tools;
use crate::key::Hasher;
use crate::number::parse_i64;

/// A set that owns its value.
#[derive(Clone, Debug)]
pub enum Set {
    Ints(IntSet),
    Pack(Listpack),
    Large(Box<PageMap>),
}

/// A set in its entry.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    Ints(IntSetRef<'a>),
    Pack(ListpackRef<'a>),
    Large(&'a PageMap),
}

/// A set in which many members are looked for.
#[derive(Debug)]
pub enum Lookup<'a> {
    Direct(SetRef<'a>),
    Indexed(Index<'a, ()>),
}

/// The members, in the order of the listpack, of their numbers or of their hashes.
#[derive(Clone, Debug)]
pub enum Members<'a> {
    Ints(IntSetRef<'a>, usize),
    Pack(Elements<'a>),
    Large(pages::Iter<'a>),
}

impl Collection for Set {
    const KIND: Kind = Kind::Set;
    type Ref<'a> = SetRef<'a>;

    fn empty() -> Self {
        Set::Ints(IntSet::new())
    }

    fn from_kept(kept: Kept) -> Option<Self> {
        match kept {
            Kept::Compact(Form::SetInts, bytes) => Some(Set::Ints(IntSet::from_bytes(bytes))),
            Kept::Compact(Form::SetPack, bytes) => Some(Set::Pack(Listpack::from_bytes(bytes))),
            Kept::Large(LargeBox::Set(large)) => Some(Set::Large(large)),
            _ => None,
        }
    }

    fn into_kept(self) -> Kept {
        match self {
            Set::Ints(ints) => Kept::Compact(Form::SetInts, ints.into_bytes()),
            Set::Pack(pack) => Kept::Compact(Form::SetPack, pack.into_bytes()),
            Set::Large(large) => Kept::Large(LargeBox::Set(large)),
        }
    }

    fn read(kept: KeptRef<'_>) -> Option<SetRef<'_>> {
        match kept {
            KeptRef::Compact(Form::SetInts, bytes) => Some(SetRef::Ints(IntSetRef(bytes))),
            KeptRef::Compact(Form::SetPack, bytes) => Some(SetRef::Pack(ListpackRef(bytes))),
            KeptRef::Large(LargeRef::Set(large)) => Some(SetRef::Large(large)),
            _ => None,
        }
    }

    fn to_owned(from: SetRef<'_>) -> Self {
        match from {
            SetRef::Ints(ints) => Set::Ints(ints.to_owned()),
            SetRef::Pack(pack) => Set::Pack(pack.to_owned()),
            SetRef::Large(large) => Set::Large(Box::new(large.clone())),
        }
    }

    fn is_empty(&self) -> bool {
        self.view().is_empty()
    }
}

/// Most integers of an intset that fit an entry, whatever the threshold says.
const INTS_MAX: usize = (COMPACT_BYTES_MAX - 8) / size_of::<i64>();

impl Set {
    /// Reads it.
    #[inline]
    pub fn view(&self) -> SetRef<'_> {
        match self {
            Set::Ints(ints) => SetRef::Ints(ints.view()),
            Set::Pack(pack) => SetRef::Pack(pack.view()),
            Set::Large(large) => SetRef::Large(large),
        }
    }

    /// Chooses the form, as Valkey does before it adds so many members, of which `first` is one: an empty set for
    /// their number, another one only if they are too many for its form.
    pub fn make_room(&mut self, first: &[u8], members: usize, tools: &Tools) {
        let Limits { set_ints, set_entries, .. } = tools.limits;
        let is_empty = self.view().is_empty();
        match self {
            Set::Ints(_) if is_empty && (members > set_ints || parse_i64(first).is_none()) => {
                *self = Set::Pack(Listpack::new());
                if members > set_entries {
                    self.grow(tools);
                }
            }
            Set::Ints(_) if members > set_ints => self.grow(tools),
            Set::Pack(_) if members > set_entries => self.grow(tools),
            _ => {}
        }
    }

    /// Adds a member; says whether it is new.
    pub fn add(&mut self, member: &[u8], tools: &Tools) -> bool {
        if let Set::Pack(pack) = self
            && find_in_pack(pack.view(), member).is_some()
        {
            return false;
        }
        self.add_unless_packed(member, tools)
    }

    /// Adds something that is no member yet.
    pub fn add_new(&mut self, member: Element<'_>, tools: &Tools) {
        self.add_unless_packed(member.bytes(&mut [0; DIGITS_MAX]), tools);
    }

    /// Adds a member, which is no member of a listpack; says whether it is new.
    fn add_unless_packed(&mut self, member: &[u8], tools: &Tools) -> bool {
        match self {
            Set::Ints(ints) => {
                if let Some(number) = parse_i64(member) {
                    let is_new = ints.insert(number);
                    if is_new && ints.view().len() > tools.limits.set_ints.min(INTS_MAX) {
                        self.grow(tools);
                    }
                    return is_new;
                }
                let ints = ints.view();
                if may_pack(ints.len(), longest_number(ints).max(member.len()), &tools.limits) {
                    let mut pack = Listpack::with_capacity(ints.bytes().len() + member.len());
                    ints.iter().for_each(|number| pack.push_back(number));
                    *self = Set::Pack(pack);
                } else {
                    self.grow(tools);
                }
                self.add_unless_packed(member, tools)
            }
            Set::Pack(pack) => {
                let bytes = pack.view().bytes().len() + member.len() + OVERHEAD_BYTES_MAX;
                if may_pack(pack.view().len(), member.len(), &tools.limits) && bytes <= COMPACT_BYTES_MAX {
                    pack.push_back(member);
                    return true;
                }
                self.grow(tools);
                self.add_unless_packed(member, tools)
            }
            Set::Large(large) => large.add(&tools.hasher, member),
        }
    }

    /// Removes a member; says whether it was one.
    pub fn remove(&mut self, member: &[u8], tools: &Tools) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|number| ints.remove(number)),
            Set::Pack(pack) => find_in_pack(pack.view(), member).is_some_and(|at| pack.delete(at, 1) > 0),
            Set::Large(large) => large.remove(&tools.hasher, member),
        }
    }

    /// Makes a compact set large.
    fn grow(&mut self, tools: &Tools) {
        let mut large = PageMap::new();
        for member in self.view().members() {
            large.add(&tools.hasher, member.bytes(&mut [0; DIGITS_MAX]));
        }
        *self = Set::Large(Box::new(large));
    }
}

impl<'a> SetRef<'a> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        match self {
            SetRef::Ints(ints) => ints.is_empty(),
            SetRef::Pack(pack) => pack.is_empty(),
            SetRef::Large(large) => large.is_empty(),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            SetRef::Ints(ints) => ints.len(),
            SetRef::Pack(pack) => pack.len(),
            SetRef::Large(large) => large.len(),
        }
    }

    /// Whether something is a member.
    #[inline]
    pub fn contains(&self, member: &[u8], hasher: &Hasher) -> bool {
        match self {
            SetRef::Ints(ints) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            SetRef::Pack(pack) => find_in_pack(*pack, member).is_some(),
            SetRef::Large(large) => large.contains(hasher, member),
        }
    }

    /// Whether a member of another set is a member.
    #[inline]
    pub fn has(&self, member: Element<'_>, hasher: &Hasher) -> bool {
        match (self, member) {
            (SetRef::Ints(ints), Element::Int(number)) => ints.contains(number),
            _ => self.contains(member.bytes(&mut [0; DIGITS_MAX]), hasher),
        }
    }

    /// The same, to look for so many members in it.
    pub fn for_lookups(self, lookups: usize, hasher: &Hasher) -> Lookup<'a> {
        match self {
            SetRef::Pack(pack) if index::pays(pack.len(), lookups) => {
                let mut index = Index::with_capacity(pack.len(), hasher);
                pack.iter().for_each(|member| _ = index.insert(member, ()));
                Lookup::Indexed(index)
            }
            set => Lookup::Direct(set),
        }
    }

    /// The members.
    #[inline]
    pub fn members(&self) -> Members<'a> {
        match self {
            SetRef::Ints(ints) => Members::Ints(*ints, 0),
            SetRef::Pack(pack) => Members::Pack(pack.iter()),
            SetRef::Large(large) => Members::Large(large.iter()),
        }
    }

    /// Visits about `count` members from a cursor on, all of a compact set; returns the cursor to go on with and how
    /// many members were looked at.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(Element<'a>)) -> (u64, usize) {
        let SetRef::Large(large) = self else {
            self.members().for_each(each);
            return (0, self.len());
        };
        let mut visited = 0;
        let next = large.scan(cursor, count, |element| {
            visited += 1;
            each(Element::Str(element.key));
        });
        (next, visited)
    }

    /// A member drawn at random.
    pub fn random(&self, random: &mut Random) -> Option<Element<'a>> {
        match self {
            SetRef::Ints(ints) => ints.get(random.below(ints.len())).map(Element::Int),
            SetRef::Pack(pack) => pack.get(random.below(pack.len()) as i64),
            SetRef::Large(large) => large.random(|| random.number()).map(|element| Element::Str(element.key)),
        }
    }

    /// `count` members, none twice, drawn at random.
    pub fn sample(&self, count: usize, random: &mut Random, mut each: impl FnMut(Element<'a>)) {
        match self {
            SetRef::Large(large) => large.sample(count, random, |element| each(Element::Str(element.key))),
            _ => random.sample(self.members(), self.len(), count, each),
        }
    }

    /// `count` members, each drawn by itself.
    pub fn draw(&self, count: usize, random: &mut Random, mut each: impl FnMut(Element<'a>)) {
        if let SetRef::Large(_) = self {
            return (0..count).filter_map(|_| self.random(random)).for_each(each);
        }
        let members: Vec<Element<'a>> = self.members().collect();
        if !members.is_empty() {
            (0..count).for_each(|_| each(members[random.below(members.len())]));
        }
    }
}

impl Lookup<'_> {
    /// Whether a member of another set is a member.
    #[inline]
    pub fn has(&self, member: Element<'_>, hasher: &Hasher) -> bool {
        match self {
            Lookup::Direct(set) => set.has(member, hasher),
            Lookup::Indexed(index) => index.get(member).is_some(),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Members::Ints(ints, at) => {
                *at += 1;
                ints.get(*at - 1).map(Element::Int)
            }
            Members::Pack(elements) => elements.next(),
            Members::Large(elements) => elements.next().map(|element| Element::Str(element.key)),
        }
    }
}

/// Whether a listpack of `len` members may get one more, with none of them longer than `longest`.
fn may_pack(len: usize, longest: usize, limits: &Limits) -> bool {
    len < limits.set_entries && longest <= limits.set_value_bytes
}

/// Digits of the longest integer: the first or the last.
fn longest_number(ints: IntSetRef<'_>) -> usize {
    let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
    ends.into_iter().flatten().map(|number| Element::Int(number).len()).max().unwrap_or(0)
}

#[inline]
fn find_in_pack(pack: ListpackRef<'_>, member: &[u8]) -> Option<usize> {
    pack.find(pack.first()?, &Needle::new(member), 0)
}

/// Whether bytes from elsewhere are a listpack of members, none twice.
pub fn is_set(bytes: &[u8]) -> bool {
    ListpackRef::validate(bytes).is_ok_and(|pack| !pack.is_empty() && distinct(&pack, 1))
}

/// Whether bytes from elsewhere are an intset.
pub fn is_ints(bytes: &[u8]) -> bool {
    IntSetRef::validate(bytes).is_ok_and(|ints| !ints.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn tools() -> Tools {
        Tools { hasher: Hasher::new(1), limits: Limits::default(), now_ms: 0, followed: true }
    }

    fn made(members: impl Iterator<Item = String>) -> Set {
        let mut set = Set::empty();
        members.for_each(|member| _ = set.add(member.as_bytes(), &tools()));
        set
    }

    fn ints(count: usize) -> Set {
        made((0..count).map(|n| n.to_string()))
    }

    fn form(set: &Set) -> &'static str {
        set.clone().into_kept().form().encoding()
    }

    #[test]
    fn it_changes_its_form_where_valkeys_does() {
        assert_eq!((form(&ints(512)), form(&ints(513))), ("intset", "hashtable"));
        for (count, member, expected) in [
            (127, "a".to_owned(), "listpack"),
            (128, "a".to_owned(), "hashtable"),
            (1, "a".repeat(64), "listpack"),
            (1, "a".repeat(65), "hashtable"),
            (0, "a".repeat(65), "hashtable"),
        ] {
            let mut set = ints(count);
            assert!(set.add(member.as_bytes(), &tools()) && !set.add(member.as_bytes(), &tools()));
            assert_eq!((form(&set), set.view().len()), (expected, count + 1), "{count} {member}");
        }
        let mut set = made((0..128).map(|n| format!("m{n}")));
        assert_eq!(form(&set), "listpack");
        set.add(b"1", &tools());
        assert_eq!(form(&set), "hashtable");
    }

    #[test]
    fn room_is_made_for_what_is_announced() {
        for (before, first, count, expected) in [
            (ints(0), "1", 512, "intset"),
            (ints(0), "1", 513, "hashtable"),
            (ints(0), "a", 128, "listpack"),
            (ints(0), "a", 129, "hashtable"),
            (ints(1), "a", 129, "intset"),
            (ints(1), "1", 513, "hashtable"),
            (made(["a".to_owned()].into_iter()), "1", 129, "hashtable"),
        ] {
            let mut set = before;
            set.make_room(first.as_bytes(), count, &tools());
            assert_eq!(form(&set), expected, "{first} {count}");
        }
    }

    #[test]
    fn every_form_answers_the_same() {
        let tools = tools();
        for mut set in [ints(100), made((0..100).map(|n| format!("{n}.0"))), made((0..1000).map(|n| format!("{n}.0")))]
        {
            let members: BTreeSet<Vec<u8>> = set.view().members().map(|member| member.to_vec()).collect();
            assert_eq!(members.len(), set.view().len());
            let mut scanned = BTreeSet::new();
            let mut cursor = 0;
            loop {
                (cursor, _) = set.view().scan(cursor, 10, |member| _ = scanned.insert(member.to_vec()));
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(scanned, members);
            let mut random = Random::new(4);
            for count in [1, 40, 100, 2000] {
                let mut drawn = BTreeSet::new();
                set.view().sample(count, &mut random, |member| assert!(drawn.insert(member.to_vec())));
                assert!(drawn.len() == count.min(members.len()) && drawn.is_subset(&members));
            }
            let mut drawn = Vec::new();
            set.view().draw(300, &mut random, |member| drawn.push(member.to_vec()));
            assert!(drawn.len() == 300 && drawn.iter().all(|member| members.contains(member)));
            for member in &members {
                assert!(set.view().has(Element::from(member), &tools.hasher) && set.remove(member, &tools));
                assert!(!set.view().contains(member, &tools.hasher) && !set.remove(member, &tools));
            }
            assert!(set.is_empty() && set.view().random(&mut random).is_none());
        }
    }
}
