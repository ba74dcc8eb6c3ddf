//! Expected lines against the lines of a RESP reply, with elements in any order where the transcript says so.

use super::format::{Captured, Expect, What};
use crate::harness::extent;

/// Matches one whole reply and says how many expected lines it took; None when it differs.
pub fn take_reply(expect: &[Expect], got: &[Vec<u8>], captured: &mut Captured) -> Option<usize> {
    if matches!(expect.first()?.what, What::Any) {
        return Some(1);
    }
    let mut taken = 0;
    let mut at = 0;
    while at < got.len() {
        let (wanted, used) = take_node(&expect[taken..], &got[at..], captured)?;
        taken += wanted;
        at += used;
    }
    Some(taken)
}

/// One line, or one aggregate in any order: how many expected lines and how many lines of the reply it took.
fn take_node(expect: &[Expect], got: &[Vec<u8>], captured: &mut Captured) -> Option<(usize, usize)> {
    let first = expect.first()?;
    if matches!(first.what, What::Any) {
        return Some((1, extent(got, 0)));
    }
    let What::AnyOrder { count, map } = first.what else {
        return take_line(expect, &got[0], captured).map(|wanted| (wanted, 1));
    };
    let kinds: &[u8] = if map { b"%" } else { b"*~" };
    if !kinds.contains(got[0].first()?) || got[0][1..] != *count.to_string().as_bytes() {
        return None;
    }
    take_any_order(&expect[1..], &got[1..], count, if map { 2 } else { 1 }, captured)
        .map(|(wanted, used)| (wanted + 1, used + 1))
}

/// One line of the reply; a payload with line ends in it may be written as one line or as several.
fn take_line(expect: &[Expect], got: &[u8], captured: &mut Captured) -> Option<usize> {
    if captured.matches(&expect.first()?.what, got) {
        return Some(1);
    }
    let end = got.windows(2).position(|pair| pair == b"\r\n")?;
    let rest = captured.matches(&expect.first()?.what, &got[..end]).then_some(&got[end + 2..])?;
    take_line(&expect[1..], rest, captured).map(|wanted| wanted + 1)
}

fn take_any_order(
    expect: &[Expect],
    got: &[Vec<u8>],
    count: usize,
    nodes: usize,
    captured: &mut Captured,
) -> Option<(usize, usize)> {
    let mut elements = Vec::with_capacity(count);
    let mut used = 0;
    for _ in 0..count {
        let end = (0..nodes).fold(used, |at, _| extent(got, at));
        elements.push(&got[used..end]);
        used = end;
    }
    let mut wanted = 0;
    for _ in 0..count {
        let end = (0..nodes).fold(wanted, |at, _| expected_extent(expect, at));
        let element = expect.get(wanted..end)?;
        let found = elements.iter().position(|lines| take_reply(element, lines, captured) == Some(element.len()))?;
        elements.swap_remove(found);
        wanted = end;
    }
    Some((wanted, used))
}

/// Index after the expected node that starts at line `at`. A pattern that begins with `\$` stands for a bulk's length.
fn expected_extent(expect: &[Expect], at: usize) -> usize {
    let Some(first) = expect.get(at) else { return at + 1 };
    match &first.what {
        What::Line(text) => {
            let sketch: Vec<Vec<u8>> = vec![text.clone().into_bytes()];
            let bulk = extent(&sketch, 0) == 2;
            let children = match text.as_bytes().first() {
                Some(b'*' | b'~' | b'>') => text[1..].parse().unwrap_or(0),
                Some(b'%') => text[1..].parse::<usize>().unwrap_or(0) * 2,
                _ => 0,
            };
            if bulk { at + 2 } else { (0..children).fold(at + 1, |next, _| expected_extent(expect, next)) }
        }
        What::Pattern(pattern) if pattern.starts_with(r"\$") => at + 2,
        What::AnyOrder { count, map } => {
            let children = count * if *map { 2 } else { 1 };
            (0..children).fold(at + 1, |next, _| expected_extent(expect, next))
        }
        _ => at + 1,
    }
}

#[test]
fn elements_are_found_in_any_order() {
    let line = |text: &str| Expect { line: 0, what: What::Line(text.to_owned()) };
    let any = Expect { line: 0, what: What::AnyOrder { count: 2, map: false } };
    let expect = [any, line("$1"), line("a"), line("*1"), line(":1"), line("+OK")];
    let got = |text: &str| text.split(' ').map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut captured = Captured::default();
    assert_eq!(take_reply(&expect, &got("*2 *1 :1 $1 a"), &mut captured), Some(5));
    assert_eq!(take_reply(&expect, &got("~2 $1 a *1 :1"), &mut captured), Some(5));
    assert_eq!(take_reply(&expect, &got("*2 $1 a $1 a"), &mut captured), None);
    assert_eq!(take_reply(&expect, &got("*1 $1 a"), &mut captured), None);
}
