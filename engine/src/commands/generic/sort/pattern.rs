//! The patterns of BY and GET: names of other keys in which an element stands for the `*`, and maybe a hash's field.

use swell_ring::{Slot, slot_of};

use crate::entry::{Content, Value};
use crate::exec::Exec;
use crate::value::Collection;
use crate::value::element::{DIGITS_MAX, Needle};
use crate::value::hash::{Hash, HashRef};

/// One pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern<'a> {
    whole: &'a [u8],
    star: Option<usize>,
    /// Of the key's part behind the star; behind it come `->` and the field.
    end: usize,
}

/// What a pattern leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    Bytes(&'a [u8]),
    Value(Value<'a>),
}

impl<'a> Pattern<'a> {
    pub fn new(whole: &'a [u8]) -> Self {
        let star = whole.iter().position(|&byte| byte == b'*');
        let arrow = star.and_then(|star| {
            let behind = &whole[star + 1..];
            behind.windows(2).position(|two| two == b"->").map(|at| star + 1 + at)
        });
        let end = arrow.filter(|arrow| arrow + 2 < whole.len()).unwrap_or(whole.len());
        Pattern { whole, star, end }
    }

    /// `#`: the element itself.
    pub fn is_element(&self) -> bool {
        self.whole == b"#"
    }

    /// Whether the element stands anywhere in it.
    pub fn has_star(&self) -> bool {
        self.star.is_some()
    }

    /// The one slot that all its keys lie in; nothing if an element decides: a hash tag must end before the star. What
    /// else counts as a wildcard in it is Valkey's rule.
    pub fn slot(&self) -> Option<Slot> {
        let Some(star) = self.star else { return Some(slot_of(self.whole)) };
        let before = &self.whole[..star];
        let open = before.iter().position(|&byte| byte == b'{')?;
        let tag = before[open + 1..].iter().position(|&byte| byte == b'}')?;
        let end = open + 1 + tag;
        let is_fixed = tag > 0 && !before[..end].iter().any(|byte| b"?[\\".contains(byte));
        is_fixed.then(|| slot_of(&before[..=end]))
    }

    /// Shows what the pattern leads to for an element; nothing where the key or the field is not there, is of another
    /// type, or the pattern has no star.
    pub fn look_up(&self, cx: &mut Exec<'_>, element: &[u8], show: impl FnOnce(Option<Found<'_>>)) {
        if self.is_element() {
            return show(Some(Found::Bytes(element)));
        }
        let Some(star) = self.star else { return show(None) };
        let name = [&self.whole[..star], element, &self.whole[star + 1..self.end]].concat();
        let field = self.whole.get(self.end + 2..);
        let (hasher, now_ms) = (cx.tools().hasher, cx.now_ms());
        let Some(entry) = cx.read(cx.key_of(&name)) else { return show(None) };
        match (entry.content(), field) {
            (Content::String(value), None) => show(Some(Found::Value(value))),
            (Content::Collection(kept), Some(field)) => match Hash::read(kept) {
                Some(HashRef::Pack(pack)) => {
                    let place = pack.first().and_then(|first| pack.find(first, &Needle::new(field), 1));
                    let value = place.and_then(|place| pack.after(place)).and_then(|place| pack.at(place));
                    let mut digits = [0; DIGITS_MAX];
                    show(value.as_ref().map(|value| Found::Bytes(value.bytes(&mut digits))));
                }
                Some(HashRef::Large(map)) => {
                    let found = map.get(&hasher, field);
                    let alive = found.filter(|found| found.expire_at_ms.is_none_or(|at| at > now_ms));
                    show(alive.map(|found| Found::Value(found.value)));
                }
                None => show(None),
            },
            _ => show(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_patterns() {
        let slot = |pattern: &str| Pattern::new(pattern.as_bytes()).slot();
        assert_eq!(slot("{a}w_*"), Some(slot_of(b"a")));
        assert_eq!(slot("w{a}_*"), Some(slot_of(b"a")));
        assert_eq!(slot("w_*{a}"), None);
        assert_eq!(slot("{*}a"), None);
        assert_eq!(slot("{}a*"), None);
        assert_eq!(slot("a?{b}*"), None);
        assert_eq!(slot("fixed"), Some(slot_of(b"fixed")));
        assert_eq!(slot("{}{a}*"), None, "an empty tag is none: the whole key is hashed");
    }

    #[test]
    fn fields_of_patterns() {
        let field = |pattern: &'static str| {
            let pattern = Pattern::new(pattern.as_bytes());
            (pattern.end, pattern.whole.get(pattern.end + 2..))
        };
        assert_eq!(field("w_*->f"), (3, Some(&b"f"[..])));
        assert_eq!(field("w_*->"), (5, None));
        assert_eq!(field("w->*f"), (5, None));
        assert_eq!(field("*x->a->b"), (2, Some(&b"a->b"[..])));
    }
}
