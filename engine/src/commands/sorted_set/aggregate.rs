//! What ZUNION, ZINTER and ZDIFF have in common: their requests, their results.

use std::cmp::Ordering;

use swell_wire::{Args, Out};

use super::source::{Lookup, Member, Source};
use super::write_members;
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply, Ttl};
use crate::key::Hasher;
use crate::notify::Class;
use crate::number::{parse_f64, parse_i64};
use crate::value::element::Element;
use crate::value::zset::ZSet;

/// What is made of the scores that one member has in several inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
}

/// Which of the three operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Inter,
    Diff,
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Request {
    /// Of the inputs, among the command's keys.
    first_key: usize,
    keys: usize,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

/// Members with their scores.
pub(super) type Scored<'a> = Vec<(Member<'a>, f64)>;

impl Aggregate {
    fn apply(self, old: f64, new: f64) -> f64 {
        match self {
            // The sum of both infinities is 0 here.
            Aggregate::Sum => {
                let sum = old + new;
                if sum.is_nan() { 0.0 } else { sum }
            }
            Aggregate::Min => {
                if new < old {
                    new
                } else {
                    old
                }
            }
            Aggregate::Max => {
                if new > old {
                    new
                } else {
                    old
                }
            }
        }
    }
}

impl Request {
    /// Reads a request whose number of keys stands at `at`. `name` is for the error about it.
    /// The inputs are looked up on the way: a wrong type is found before a wrong option.
    pub(super) fn parse(
        cx: &mut Exec<'_>,
        args: Args<'_>,
        at: usize,
        operation: Operation,
        name: &'static str,
    ) -> Result<Request, Fault> {
        let stores = at > 1;
        let keys = number_of_keys(args, at, name)?;
        let first_key = usize::from(stores);
        touch(cx, args, first_key, keys)?;
        let mut request =
            Request { first_key, keys, weights: Vec::new(), aggregate: Aggregate::Sum, with_scores: false };
        request.read_options(args.from(at + 1 + keys), operation, stores)?;
        Ok(request)
    }

    fn read_options(&mut self, args: Args<'_>, operation: Operation, stores: bool) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(word) = args.opt(at) {
            let left = args.len() - at - 1;
            if operation != Operation::Diff && left >= self.keys && is_word(word, "WEIGHTS") {
                let weights = args.from(at + 1).iter().take(self.keys);
                let weights =
                    weights.map(|weight| parse_f64(weight).ok_or(Fault::say("ERR weight value is not a float")));
                self.weights = weights.collect::<Result<_, _>>()?;
                at += 1 + self.keys;
            } else if operation != Operation::Diff && left >= 1 && is_word(word, "AGGREGATE") {
                self.aggregate = match args.slice(at + 1) {
                    word if is_word(word, "SUM") => Aggregate::Sum,
                    word if is_word(word, "MIN") => Aggregate::Min,
                    word if is_word(word, "MAX") => Aggregate::Max,
                    _ => return Err(Fault::Syntax),
                };
                at += 2;
            } else if !stores && is_word(word, "WITHSCORES") {
                self.with_scores = true;
                at += 1;
            } else {
                return Err(Fault::Syntax);
            }
        }
        Ok(())
    }

    fn weight(&self, input: usize) -> f64 {
        self.weights.get(input).copied().unwrap_or(1.0)
    }
}

/// Answers the result of an operation.
pub(super) fn answer(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    operation: Operation,
    name: &'static str,
) -> Reply {
    let request = Request::parse(cx, args, 1, operation, name)?;
    let (result, work) = compute(cx, args, operation, &request)?;
    let members = result.iter().map(|(member, score)| (Element::Str(member), *score));
    write_members(members, result.len(), request.with_scores, out);
    cx.work(work);
    Ok(())
}

/// Stores the result of an operation, and answers how many members it has.
pub(super) fn store(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    operation: Operation,
    name: &'static str,
) -> Reply {
    let request = Request::parse(cx, args, 2, operation, name)?;
    let (result, work) = compute(cx, args, operation, &request)?;
    let (tools, count) = (cx.tools(), result.len());
    let sorted = result.iter().map(|(member, score)| (&member[..], *score));
    let zset = ZSet::from_sorted(sorted, &tools.limits, &tools.hasher);
    let to = cx.key(args, 0);
    if count == 0 {
        cx.remove_target(to);
    } else {
        cx.put_collection(to, zset, Ttl::Clear);
        cx.notify(Class::SORTED_SET, name, to);
    }
    out.int(count as i64);
    cx.work(work);
    Ok(())
}

/// The number of keys, which stands at `at` and is followed by so many arguments.
pub(super) fn number_of_keys(args: Args<'_>, at: usize, name: &'static str) -> Result<usize, Fault> {
    let keys = parse_i64(args.slice(at)).ok_or(Fault::NotInteger)?;
    if keys < 1 {
        return Err(Fault::Other(format!("ERR at least 1 input key is needed for '{name}' command").into()));
    }
    usize::try_from(keys).ok().filter(|&keys| keys < args.len() - at).ok_or(Fault::Syntax)
}

/// Looks the inputs up, with all that looking up brings: expiry, clocks, hits. After that they stand still.
pub(super) fn touch(cx: &mut Exec<'_>, args: Args<'_>, first: usize, keys: usize) -> Result<(), Fault> {
    (first..first + keys).try_for_each(|n| Source::of(cx.read(cx.key(args, n))).map(|_| ()))
}

/// The inputs, in the order of the request.
pub(super) fn sources<'a>(
    cx: &'a Exec<'_>,
    args: Args<'a>,
    first: usize,
    keys: usize,
) -> Result<Vec<Source<'a>>, Fault> {
    (first..first + keys).map(|n| Source::of(cx.look(cx.key(args, n)))).collect()
}

/// The result in order, and how many members were looked at beyond the first.
fn compute<'a>(
    cx: &'a Exec<'_>,
    args: Args<'a>,
    operation: Operation,
    request: &Request,
) -> Result<(Scored<'a>, u64), Fault> {
    let hasher = cx.tools().hasher;
    let inputs = sources(cx, args, request.first_key, request.keys)?;
    let mut inputs: Vec<(Source<'_>, f64)> =
        inputs.into_iter().enumerate().map(|(n, source)| (source, request.weight(n))).collect();
    if operation != Operation::Diff {
        // The smallest first: sums of doubles depend on the order.
        inputs.sort_by_key(|(source, _)| source.len());
    }
    let visited: usize = match operation {
        Operation::Union => inputs.iter().map(|(source, _)| source.len()).sum(),
        _ => inputs.first().map_or(0, |(source, _)| source.len()) * inputs.len(),
    };
    let mut result = match operation {
        Operation::Union => union(&inputs, request.aggregate),
        Operation::Inter => {
            let mut result = Vec::new();
            intersect(&inputs, request.aggregate, &hasher, |member, score| {
                result.push((member, score));
                true
            });
            result
        }
        Operation::Diff => difference(&inputs, &hasher),
    };
    result.sort_unstable_by(|left, right| compare(left.1, right.1).then_with(|| left.0.cmp(&right.0)));
    Ok((result, visited.saturating_sub(1) as u64))
}

fn union<'a>(inputs: &[(Source<'a>, f64)], aggregate: Aggregate) -> Scored<'a> {
    let mut all: Scored<'a> = Vec::with_capacity(inputs.iter().map(|(source, _)| source.len()).sum());
    for (source, weight) in inputs {
        source.visit(|member, score| {
            all.push((member, weighted(score, *weight)));
            true
        });
    }
    if inputs.len() == 1 {
        return all;
    }
    // Equal members come together in the order of their inputs.
    all.sort_by(|left, right| left.0.cmp(&right.0));
    let mut result: Scored<'a> = Vec::with_capacity(all.len());
    for (member, score) in all {
        match result.last_mut() {
            Some(last) if last.0 == member => last.1 = aggregate.apply(last.1, score),
            _ => result.push((member, score)),
        }
    }
    result
}

/// Gives `found` the members that all inputs have, until it answers false. The first input is the smallest.
pub(super) fn intersect<'a>(
    inputs: &[(Source<'a>, f64)],
    aggregate: Aggregate,
    hasher: &Hasher,
    mut found: impl FnMut(Member<'a>, f64) -> bool,
) {
    let Some(((first, weight), others)) = inputs.split_first() else { return };
    let others: Vec<(Lookup<'a>, f64)> =
        others.iter().map(|(other, weight)| (other.for_lookups(first.len(), hasher), *weight)).collect();
    first.visit(|member, score| {
        let mut sum = Some(weighted(score, *weight));
        for (other, weight) in &others {
            let Some(score) = other.score(&member, hasher) else {
                sum = None;
                break;
            };
            // No number here makes the sum 0, and no other aggregate.
            sum = sum.map(|sum| aggregate.apply(sum, score * weight));
        }
        sum.is_none_or(|sum| found(member, sum))
    });
}

fn difference<'a>(inputs: &[(Source<'a>, f64)], hasher: &Hasher) -> Scored<'a> {
    let mut result = Vec::new();
    let Some(((first, _), others)) = inputs.split_first() else { return result };
    let others: Vec<Lookup<'a>> = others.iter().map(|(other, _)| other.for_lookups(first.len(), hasher)).collect();
    first.visit(|member, score| {
        if others.iter().all(|other| other.score(&member, hasher).is_none()) {
            result.push((member, score));
        }
        true
    });
    result
}

/// Scores are never NaN; both zeros are equal.
fn compare(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// Infinity times 0 is 0 here.
fn weighted(score: f64, weight: f64) -> f64 {
    let product = score * weight;
    if product.is_nan() { 0.0 } else { product }
}
