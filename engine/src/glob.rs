//! Patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a]`, `\` before what is meant literally.
//!
//! Every element but `*` takes exactly one byte, so only the last `*` ever has to be tried again, with one byte more:
//! the time is at most the product of both lengths, and nothing recurses. The corners (an unclosed bracket, a
//! backslash at the end, an empty text) are those of Redis's `stringmatchlen`.

/// Whether all of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte)
}

/// Whether all of `text` matches `pattern`, ASCII letters in any case.
pub fn matches_any_case(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Whether every text matches, the empty one included: Redis lets `*` alone through without looking.
pub fn is_everything(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Where to go on after the last `*`: the pattern behind it, and the text that it has not yet taken.
#[derive(Clone, Copy)]
struct Retry<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
}

fn matches_folded<'a>(mut pattern: &'a [u8], mut text: &'a [u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    // Redis does not look at the pattern when there is no text: "" matches "" only, not even "*" does.
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut retry: Option<Retry<'a>> = None;
    while let Some((&byte, rest)) = text.split_first() {
        if pattern.first() == Some(&b'*') {
            pattern = skip_stars(pattern);
            if pattern.is_empty() {
                return true;
            }
            retry = Some(Retry { pattern, text });
        } else if let Some(behind) = match_one(pattern, byte, fold) {
            (pattern, text) = (behind, rest);
        } else {
            let Some(last) = &mut retry else { return false };
            last.text = &last.text[1..];
            (pattern, text) = (last.pattern, last.text);
        }
    }
    // What is left of the pattern now is left for every longer run of the last star, too.
    skip_stars(pattern).is_empty()
}

fn skip_stars(pattern: &[u8]) -> &[u8] {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    &pattern[stars..]
}

/// Matches one byte with the pattern's first element, which is no `*`; returns what follows it.
fn match_one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => match_class(rest, byte, fold),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (fold(*literal) == fold(byte)).then_some(rest),
    }
}

/// Matches one byte with a class, its `[` left out; returns what follows its `]`. An unclosed class ends with the
/// pattern; a range may be written backwards; a `]` as the end of a range does not close the class; a letter after
/// a backslash keeps its case.
fn match_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<&[u8]> {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    let rest = loop {
        class = match class {
            [] => break class,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (*from.min(to), *from.max(to));
                found |= (fold(from)..=fold(to)).contains(&fold(byte));
                rest
            }
            [literal, rest @ ..] => {
                found |= fold(*literal) == fold(byte);
                rest
            }
        };
    };
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_those_of_the_real_server() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "a", true),
            ("**", "", false),
            ("?*", "", false),
            ("?*", "a", true),
            ("*?", "a", true),
            ("a**", "a", true),
            ("h?llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-f]llo", "hello", true),
            ("[z-a]", "m", true),
            ("[a-]", "b", false),
            ("[a-]", "a", true),
            ("[a-", "-", true),
            ("[-a]", "-", true),
            ("[]", "a", false),
            ("[^]", "a", true),
            ("[]]", "]", false),
            ("[", "a", false),
            ("[^", "a", true),
            ("a[", "a", false),
            ("[a", "a", true),
            ("[*]", "*", true),
            ("[\\]", "\\", false),
            ("[\\]]", "]", true),
            ("[\\a-c]", "b", false),
            ("[\\a-c]", "-", true),
            ("[a-\\]", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("a\\", "a\\", true),
            ("*ab", "aab", true),
            ("*a*b", "xaxbxb", true),
            ("*a*bc", "xaxbxb", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn any_case() {
        assert!(matches_any_case(b"MaxMem*", b"maxMEMORY"));
        assert!(matches_any_case(b"[A-C]x", b"bX"));
        assert!(!matches(b"MaxMem*", b"maxMEMORY"));
        assert!(matches_any_case(b"[\\A]", b"A"));
        assert!(!matches_any_case(b"[\\A]", b"a"));
    }

    /// With backtracking into every star this would take longer than the universe has.
    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = [b"*a".repeat(5_000), b"*b".to_vec()].concat();
        assert!(!matches(&pattern, &b"a".repeat(10_000)));
        assert!(matches(&pattern, &[b"a".repeat(10_000), b"b".to_vec()].concat()));
    }
}
