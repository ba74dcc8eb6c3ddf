//! Searching a shape, and answering or storing what is found.

use std::cmp::Ordering;

use swell_wire::Out;

use super::earth::Point;
use super::shape::Shape;
use super::{write_distance, write_point};
use crate::exec::{Exec, Ttl};
use crate::key::Key;
use crate::notify::Class;
use crate::value::element::Element;
use crate::value::zset::{ScoreRange, ZSet, ZSetRef};

/// In which order to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As they are found.
    Any,
    NearFirst,
    FarFirst,
}

/// What to do with what is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_point: bool,
    pub(super) order: Order,
    /// Places at most; 0: all.
    pub(super) count: usize,
    /// Whether the first ones found will do.
    pub(super) any: bool,
    /// What is stored: distances, or the places themselves.
    pub(super) store_distances: bool,
}

/// A place that was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    member: Element<'a>,
    score: f64,
    point: Point,
    /// In the request's unit.
    distance: f64,
}

/// The places of an index in a shape, and how many were looked at.
pub(super) fn search<'a>(zset: ZSetRef<'a>, shape: &Shape, options: &Options) -> (Vec<Found<'a>>, u64) {
    let limit = if options.any { options.count } else { 0 };
    let (mut found, mut visited) = (Vec::new(), 0);
    let mut last = None;
    'cells: for (index, cell) in shape.cells().into_iter().enumerate() {
        // In a search of half the earth a cell may come twice. (Valkey compares with the cell before, but not with the
        // first one.)
        if last == Some(cell) {
            continue;
        }
        if index > 0 {
            last = Some(cell);
        }
        let (min, max) = cell.scores();
        let range = zset.score_range(&ScoreRange { min, max, min_open: false, max_open: true });
        for (member, score) in zset.ranks(range, false) {
            visited += 1;
            let point = Point::of_score(score);
            let Some(distance) = shape.distance(point) else { continue };
            found.push(Found { member, score, point, distance });
            if limit > 0 && found.len() >= limit {
                break 'cells;
            }
        }
    }
    let nearest =
        |left: &Found<'_>, right: &Found<'_>| left.distance.partial_cmp(&right.distance).unwrap_or(Ordering::Equal);
    match options.order {
        // The nearest ones are wanted, then.
        Order::Any if options.count > 0 && !options.any => found.sort_by(nearest),
        Order::Any => {}
        Order::NearFirst => found.sort_by(nearest),
        Order::FarFirst => found.sort_by(|left, right| nearest(right, left)),
    }
    if options.count > 0 {
        found.truncate(options.count);
    }
    found.iter_mut().for_each(|found| found.distance /= shape.unit);
    (found, visited)
}

/// The places in the cells of a shape.
pub(super) fn places(zset: ZSetRef<'_>, shape: &Shape) -> usize {
    let within = |(min, max)| zset.score_range(&ScoreRange { min, max, min_open: false, max_open: true }).len();
    shape.cells().into_iter().map(|cell| within(cell.scores())).sum()
}

/// Answers places.
pub(super) fn write(found: &[Found<'_>], options: &Options, out: &mut Out) {
    let more = [options.with_distance, options.with_hash, options.with_point];
    let parts = 1 + more.iter().filter(|&&with| with).count();
    out.array(found.len());
    for Found { member, score, point, distance } in found {
        if parts > 1 {
            out.array(parts);
        }
        member.write(out);
        if options.with_distance {
            write_distance(out, *distance);
        }
        if options.with_hash {
            out.int(*score as i64);
        }
        if options.with_point {
            write_point(out, *point);
        }
    }
}

/// The sorted set of what was found, for [`store`].
pub(super) fn collect(cx: &Exec<'_>, found: &[Found<'_>], options: &Options) -> ZSet {
    let tools = cx.tools();
    let score_of = |found: &Found<'_>| if options.store_distances { found.distance } else { found.score };
    let mut members: Vec<(Vec<u8>, f64)> = found.iter().map(|found| (found.member.to_vec(), score_of(found))).collect();
    members.sort_by(|left, right| {
        left.1.partial_cmp(&right.1).unwrap_or(Ordering::Equal).then_with(|| left.0.cmp(&right.0))
    });
    let sorted = members.iter().map(|(member, score)| (&member[..], *score));
    ZSet::from_sorted(sorted, &tools.limits, &tools.hasher)
}

/// Stores a result, which may be empty, and answers how many places it has.
pub(super) fn store(cx: &mut Exec<'_>, to: Key<'_>, event: &str, result: ZSet, out: &mut Out) {
    let count = result.view().len();
    if count == 0 {
        cx.remove_target(to);
    } else {
        cx.put_collection(to, result, Ttl::Clear);
        cx.notify(Class::SORTED_SET, event, to);
    }
    out.int(count as i64);
}
