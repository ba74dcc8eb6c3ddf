//! `scale-cpu`: nodes held to a tenth of a core each, a step to three times what one can do; then what several can do.

use anyhow::Result;

use super::report::{Bar, Phase};
use super::run::Run;
use super::watch::{Look, Seen};
use super::{linear, shapes};
use crate::verified::control::Pace;

/// Cores that a node may use.
pub const NODE_CPUS: f64 = 0.1;
/// One that used less than this part of them was not at its end: others have the machine's cores.
const FULL_PART: f64 = 0.9;
/// A node that used less than this many times its cores while it was asked for all it can do was held to them.
const HELD_FACTOR: f64 = 1.6;
/// The step, in capacities of one node, and the load before and after it. A request that comes alone costs a node several
/// times what it costs among others that are read at once, so this little is already a third of its CPU time.
const STEP: f64 = 3.0;
const QUIET: f64 = 0.02;
/// So long it is quiet before the scaler looks: no rate reaches back to the time of the measurement.
const QUIET_S: f64 = 2.0;
/// Detected, serving, balanced: at most so many seconds after the step.
const DETECTED_S_MAX: f64 = 1.0;
const SERVING_S_MAX: f64 = 3.0;
const BALANCED_S_MAX: f64 = 15.0;
/// Requests under way while a capacity is measured, and for how long.
const UNDER_WAY: usize = 64;
const MEASURE_S: f64 = 4.0;
/// Keys while capacities are measured.
const KEYS: u64 = 5_000;

/// # Errors
/// The cache or the load has ended, or Ctrl-C.
pub fn scale_cpu(run: &mut Run<'_>) -> Result<()> {
    run.stage("the first keys", Phase::Apart, 1.0);
    run.bring_keys(run.args.keys.unwrap_or(KEYS), 1.0)?;
    run.stage("what one node can do", Phase::Apart, 1.0);
    // Else there are several after a second.
    scaling(run, "pause")?;
    let (one, busy) = capacity(run)?;
    let quiet = Pace::Open((one * QUIET).max(1.0));
    run.control.set_pace(quiet);
    run.hold(QUIET_S)?;
    scaling(run, "resume")?;
    run.stage("before", Phase::Before, QUIET);
    run.control.set_pace(quiet);
    let first = run.seen(|seen| seen.last().cloned());
    run.hold(run.args.seconds)?;
    let last = run.seen(|seen| seen.last().cloned());
    let before = busiest(first.as_ref(), last.as_ref()) / NODE_CPUS;
    if !is_held(run.target.is_own(), busy) {
        let why = format!("nodes are not held to {NODE_CPUS} of a core here: one used {busy:.2} of one");
        no_step_bars(run, &why);
        linear::not_measured(run, &why);
        return shapes::end(run);
    }
    run.stage("three times that", Phase::During, STEP);
    run.control.set_pace(Pace::Open(one * STEP));
    let step_s = run.at_s();
    let nodes = run.seen(|seen| seen.last().map_or(0, Look::nodes_up));
    run.until_cache(|look| look.owners() >= 3 && look.slots_moving == 0)?;
    run.hold(run.args.seconds.max(BALANCED_S_MAX))?;
    let note = format!(
        "from {:.0} % of one node's CPU time at {:.0} requests/s to {:.0}",
        before * 100.0,
        one * QUIET,
        one * STEP
    );
    match no_step(busy, nodes) {
        None => step_bars(run, step_s, &note),
        Some(why) => no_step_bars(run, &why),
    }
    run.stage("falls again", Phase::During, QUIET);
    run.control.set_pace(quiet);
    run.until_cache(|look| look.nodes_up() <= 1)?;
    linear::measure(run)?;
    run.stage("after", Phase::After, QUIET);
    run.control.set_pace(quiet);
    run.hold(run.args.seconds)?;
    run.settle()
}

/// Whether nodes have the cores that they are meant to have and no more: one used `busy` of a core when asked for all.
fn is_held(is_own: bool, busy: f64) -> bool {
    is_own && busy > 0.0 && busy <= NODE_CPUS * HELD_FACTOR
}

/// Why what followed was no step to three times what one node can do.
fn no_step(busy: f64, nodes: usize) -> Option<String> {
    if busy < NODE_CPUS * FULL_PART {
        let why = "what one can do is not known: it used only";
        return Some(format!("{why} {busy:.3} of its {NODE_CPUS} cores, others have the machine's"));
    }
    (nodes != 1).then(|| format!("there were {nodes} nodes before the step"))
}

fn no_step_bars(run: &mut Run<'_>, why: &str) {
    run.bars.extend(STEP_BARS.map(|(what, bound)| Bar::not_measured(what, bound, why)));
}

/// Has the scaler decide nothing, or again. Of a cache that somebody else has started nothing is changed.
fn scaling(run: &Run<'_>, how: &str) -> Result<()> {
    match run.target.is_own() {
        true => run.target.ask(&["scale", how]).map(drop),
        false => Ok(()),
    }
}

const STEP_BARS: [(&str, &str); 3] = [
    ("seconds until the step is detected", "≤ 1 s"),
    ("seconds until the first new node serves", "≤ 3 s"),
    ("seconds until the nodes are balanced", "≤ 15 s"),
];

/// Requests per second at most, and the cores that the busiest node used meanwhile.
fn capacity(run: &mut Run<'_>) -> Result<(f64, f64)> {
    run.control.set_pace(Pace::Closed(UNDER_WAY));
    run.hold(1.0)?;
    let count = |run: &Run<'_>| {
        let done = run.control.done();
        (done.at_s, done.tally.requests, run.seen(|seen| seen.last().cloned()))
    };
    let (from_s, from, first) = count(run);
    run.hold(MEASURE_S)?;
    let (to_s, to, last) = count(run);
    Ok(((to - from) as f64 / (to_s - from_s), busiest(first.as_ref(), last.as_ref())))
}

/// Cores used by the node that used most between two looks; 0 where nobody says.
fn busiest(first: Option<&Look>, last: Option<&Look>) -> f64 {
    let (Some(first), Some(last)) = (first, last) else { return 0.0 };
    let used = last.nodes.iter().filter_map(|node| {
        let before = first.nodes.iter().find(|before| before.id == node.id)?;
        Some(node.cpu_us.saturating_sub(before.cpu_us) as f64 / 1e6 / (last.at_s - first.at_s).max(0.1))
    });
    used.fold(0.0, f64::max)
}

fn step_bars(run: &mut Run<'_>, step_s: f64, note: &str) {
    let [detected, serving, balanced] = run.seen(|seen| times_after(seen, step_s));
    let most = [DETECTED_S_MAX, SERVING_S_MAX, BALANCED_S_MAX];
    for (((what, bound), seconds), most) in STEP_BARS.into_iter().zip([detected, serving, balanced]).zip(most) {
        run.bars.push(match seconds {
            Some(seconds) => Bar::at_most(what, seconds, most, " s").with_note(note),
            None => Bar::at_most(what, f64::INFINITY, most, " s").with_note(&format!("it did not happen: {bound}")),
        });
    }
}

/// Seconds from a step to the first decision to grow, to the first new node with slots, and to the last change of who
/// owns how many slots.
fn times_after(seen: &Seen, step_s: f64) -> [Option<f64>; 3] {
    let since = |at_s: f64| at_s - step_s;
    let detected = seen.events.iter().find(|event| event.at_s >= step_s && event.kind == "scale-out");
    let mut looks = seen.looks.iter().filter(|look| look.at_s >= step_s).peekable();
    let Some(first) = looks.peek().copied() else { return [None; 3] };
    let before = first.owners();
    let slots = |look: &Look| look.nodes.iter().map(|node| (node.id, node.slots)).collect::<Vec<_>>();
    let (mut serving, mut balanced, mut last) = (None, None, slots(first));
    for look in looks {
        if look.owners() > before {
            serving = serving.or(Some(since(look.at_s)));
        }
        let now = slots(look);
        if now != last && serving.is_some() {
            (balanced, last) = (Some(since(look.at_s)), now);
        }
    }
    [detected.map(|event| since(event.at_s)), serving, balanced]
}

#[cfg(test)]
mod tests {
    use super::super::watch::{Event, NodeLook};
    use super::*;

    fn look(at_s: f64, slots: &[u64]) -> Look {
        let node = |(id, slots): (usize, &u64)| NodeLook { id: id as u64, slots: *slots, ..NodeLook::default() };
        Look { at_s, nodes: slots.iter().enumerate().map(node).collect(), ..Look::default() }
    }

    #[test]
    fn times_count_from_the_step() {
        let event = |at_s, kind: &str| Event { number: 1, at_s, kind: kind.to_owned(), text: String::new() };
        let looks = vec![
            look(9.0, &[16]),
            look(10.5, &[16]),
            look(12.0, &[16, 0]),
            look(12.5, &[12, 4]),
            look(14.0, &[8, 8]),
            look(16.0, &[8, 8]),
        ];
        let events = vec![event(3.0, "scale-out"), event(10.2, "held"), event(10.7, "scale-out")];
        let times = times_after(&Seen { looks, events }, 10.0).map(|time| time.map(|time| (time * 10.0).round()));
        assert_eq!(times, [Some(7.0), Some(25.0), Some(40.0)]);
        assert_eq!(times_after(&Seen::default(), 0.0), [None; 3]);
    }

    #[test]
    fn a_step_needs_one_node_that_was_at_its_end() {
        assert!(is_held(true, 0.1) && is_held(true, 0.05));
        assert!(!is_held(false, 0.1) && !is_held(true, 0.0) && !is_held(true, 0.7));
        assert_eq!(no_step(0.099, 1), None);
        assert!(no_step(0.05, 1).is_some_and(|why| why.contains("only 0.050 of its 0.1 cores")));
        assert!(no_step(0.1, 2).is_some_and(|why| why.contains("2 nodes before")));
    }

    #[test]
    fn the_busiest_node_is_known_by_its_cpu_time() {
        let busy = |at_s, cpu_us: u64| Look {
            at_s,
            nodes: vec![NodeLook { id: 1, cpu_us, ..NodeLook::default() }],
            ..Look::default()
        };
        assert_eq!(busiest(Some(&busy(1.0, 500_000)), Some(&busy(3.0, 700_000))), 0.1);
        assert_eq!(busiest(None, Some(&busy(3.0, 700_000))), 0.0);
    }
}
