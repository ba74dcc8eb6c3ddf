//! LATENCY: what took too long (a time series for each kind of event), and how long commands take (histograms).

mod doctor;
mod graph;

use std::collections::BTreeMap;

use swell_engine::commands::table::{Command, tables};
use swell_engine::spec::Body;
use swell_wire::{Args, Out};

use super::{done, help};
use crate::catalog;
use crate::error::ProxyError;
use crate::observe::{Event, Series};
use crate::others::{self, Figures, Question, Told};
use crate::session::{Flow, SessionCx};

const HELP_LINES: &[&str] = &[
    "LATENCY <subcommand> [<arg> ...]. Subcommands are:",
    "DOCTOR",
    "    Say in words what the monitor has seen.",
    "GRAPH <event>",
    "    Draw the samples of a kind of event.",
    "HISTORY <event>",
    "    List the samples of a kind of event.",
    "LATEST",
    "    List the latest sample of every kind of event, with the worst, the sum and how many.",
    "RESET [<event> ...]",
    "    Forget the samples of these kinds of events (default: of all).",
    "HISTOGRAM [<command> ...]",
    "    Show how long these commands (default: all) take: how many calls took up to so many",
    "    microseconds.",
    "HELP",
    "    Print these lines.",
];

pub fn doctor(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    match events(cx, args, out) {
        Ok(events) => out.verbatim(doctor::report(&cx.core.shared.watch, &events).as_bytes()),
        Err(flow) => return flow,
    }
    Flow::Done
}

pub fn graph(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let now_seconds = cx.core.now_ms / 1000;
    let events = match events(cx, args, out) {
        Ok(events) => events,
        Err(flow) => return flow,
    };
    let name = String::from_utf8_lossy(args.slice(2)).into_owned();
    match named(&events, args.slice(2)) {
        Some(series) => {
            out.verbatim(graph::draw(&name.to_ascii_lowercase(), series, now_seconds).as_bytes());
            Flow::Done
        }
        None => done(Err(ProxyError::NoSamples(name)), out),
    }
}

pub fn history(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let events = match events(cx, args, out) {
        Ok(events) => events,
        Err(flow) => return flow,
    };
    let series = named(&events, args.slice(2)).cloned().unwrap_or_default();
    out.array(series.samples.len());
    for (at, ms) in series.samples {
        out.array(2);
        [at, ms].into_iter().for_each(|number| out.int(number as i64));
    }
    Flow::Done
}

pub fn latest(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let events = match events(cx, args, out) {
        Ok(events) => events,
        Err(flow) => return flow,
    };
    out.array(events.len());
    for (event, series) in events {
        let (at, ms) = series.samples.back().copied().unwrap_or_default();
        out.array(6);
        out.bulk(event.name().as_bytes());
        [at, ms, series.worst_ms, series.sum_ms, series.count].into_iter().for_each(|number| out.int(number as i64));
    }
    Flow::Done
}

pub fn reset(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let names: Vec<&[u8]> = args.from(2).iter().collect();
    let spelt = || names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let told = match others::ask(cx, args, out, || Question::EventsReset { names: spelt() }) {
        Ok(told) => told,
        Err(flow) => return flow,
    };
    // Series of the same name are one series of the cache.
    let elsewhere = told.iter().map(|told| if let Told::Count(count) = told { *count } else { 0 }).max();
    out.int((cx.core.shared.watch.events.reset(&names) as i64).max(elsewhere.unwrap_or(0)));
    Flow::Done
}

/// The time series of all proxies together.
fn events(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Result<BTreeMap<Event, Series>, Flow> {
    let told = others::ask(cx, args, out, || Question::Events)?;
    let mut all = cx.core.shared.watch.events.all();
    for told in told.iter() {
        let Told::Events(events) = told else { continue };
        events.iter().for_each(|(event, series)| all.entry(*event).or_default().merge(series));
    }
    Ok(all)
}

fn named<'a>(events: &'a BTreeMap<Event, Series>, name: &[u8]) -> Option<&'a Series> {
    events.iter().find(|(event, _)| name.eq_ignore_ascii_case(event.name().as_bytes())).map(|(_, series)| series)
}

/// A container's name stands for its subcommands. What is unknown or was never called is left out.
pub fn histogram(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let told = match others::ask(cx, args, out, || Question::Figures { times: true }) {
        Ok(told) => told,
        Err(flow) => return flow,
    };
    cx.core.report();
    let mut wanted: Vec<Command> = Vec::new();
    for name in args.from(2).iter() {
        let Some(command) = catalog::resp().by_name(name) else { continue };
        match command.spec.body {
            Body::Container => wanted.extend(catalog::resp().subcommands(command.spec)),
            _ => wanted.push(command),
        }
    }
    if args.len() == 2 {
        wanted = tables().iter().collect();
    }
    let rows: Vec<_> = rows(&Figures::all(cx.core, cx.core.now_ms, true, &told))
        .into_iter()
        .filter(|(id, ..)| wanted.iter().any(|one| one.id == *id))
        .collect();
    out.map(rows.len());
    for (_, label, calls, buckets) in rows {
        out.bulk(label.as_bytes());
        out.map(2);
        out.bulk(b"calls");
        out.int(calls as i64);
        out.bulk(b"histogram_usec");
        out.map(buckets.len());
        buckets.into_iter().for_each(|(end, count)| {
            out.int(end as i64);
            out.int(count as i64);
        });
    }
    Flow::Done
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}

type Row = (swell_engine::spec::CommandId, String, u64, Vec<(u64, u64)>);

/// Every command that was timed, with its calls and how many of them took so long.
fn rows(figures: &Figures) -> Vec<Row> {
    let histograms = figures.histograms();
    let mut calls = vec![0; tables().len()];
    figures.calls().into_iter().for_each(|(command, usage)| calls[command.id.0 as usize] = usage.calls);
    let row = |command: Command| {
        let times = histograms.get(command.id)?;
        let calls = calls.get(command.id.0 as usize).copied().filter(|calls| *calls > 0).unwrap_or(times.count());
        Some((command.id, swell_meter::label(command), calls, times.buckets(calls)))
    };
    tables().iter().filter_map(row).collect()
}
