//! The control run: the base rate once more, with no scaling, beside hogs that use the CPU time that scaling had used.
//!
//! On a machine that load, cache and nodes share, whatever uses CPU makes requests wait. The hogs show how much of the
//! wait while the cache scales is only that. What scaling used in a second is what all processes of the cache used (new
//! ones, those that move slots, those that have ended) beyond what they used on average in the quiet time before; the
//! hogs use it again second by second, so that its peaks are the same.

use anyhow::Result;
use serde::Serialize;

use super::report::{Bar, Phase, Stage};
use super::run::Run;
use super::watch::Look;
use crate::bench::hog::Hogs;

/// Seconds of scaling that are played again at most; of more, evenly chosen ones.
pub const SECONDS_MAX: usize = 60;
/// Times the p99 of the control run.
pub const P99_FACTOR_MAX: f64 = 1.0;
pub const WHAT: &str = "p99 at the base rate, during over beside an equal hog";

/// What the hogs were asked for and what they used, in cores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ControlRun {
    pub seconds: usize,
    /// What the cache used in the quiet time before.
    pub cores_before: f64,
    /// What it used beyond that while it scaled: on average, and in the worst second.
    pub cores_mean: f64,
    pub cores_most: f64,
    /// What the hogs used: less where the machine had no more.
    pub hog_cores_mean: f64,
}

/// Plays it; the bar is set when all latencies are known.
///
/// # Errors
/// The cache or the load has ended, or Ctrl-C.
pub fn beside_hogs(run: &mut Run<'_>) -> Result<()> {
    let (cores_before, profile) = run.seen(|seen| profile(&seen.looks, run.stages()));
    let profile = thinned(&profile, SECONDS_MAX);
    if profile.is_empty() {
        let why = "the CPU time of the cache is known only if the test has started it";
        run.bars.push(Bar::not_measured(WHAT, "≤ 1×", why));
        return Ok(());
    }
    let seconds = profile.len();
    let cores_most = profile.iter().copied().fold(0.0, f64::max);
    let hogs = Hogs::start(cores_most);
    run.stage("beside a hog", Phase::Control, 1.0);
    for cores in &profile {
        hogs.use_cores(*cores);
        run.hold(1.0)?;
    }
    let hog_cores_mean = hogs.end()?.as_secs_f64() / seconds as f64;
    let cores_mean = profile.iter().sum::<f64>() / seconds as f64;
    run.control_run = Some(ControlRun { seconds, cores_before, cores_mean, cores_most, hog_cores_mean });
    Ok(())
}

/// The promise: no more than the control run's p99.
pub fn bar(control: &ControlRun, p99_ms_during: f64, p99_ms_control: f64) -> Bar {
    if !(p99_ms_during > 0.0 && p99_ms_control > 0.0) {
        return Bar::not_measured(WHAT, "≤ 1×", "no requests at the base rate in one of them");
    }
    let ControlRun { seconds, cores_before, cores_mean, cores_most, hog_cores_mean } = control;
    Bar::at_most(WHAT, p99_ms_during / p99_ms_control, P99_FACTOR_MAX, "×").with_note(&format!(
        "this or 2 × before is promised; scaling used {cores_mean:.2} cores beyond the {cores_before:.2} before, \
        {cores_most:.2} at most; the hog {hog_cores_mean:.2}, for {seconds} s"
    ))
}

/// The cores used before scaling, and those used beyond that in each second of scaling at the base rate. Both are
/// nothing if nobody knows.
fn profile(looks: &[Look], stages: &[Stage]) -> (f64, Vec<f64>) {
    let of = |phase| stages.iter().filter(move |stage| stage.phase == phase && stage.is_base_rate);
    let before: Vec<f64> = of(Phase::Before).flat_map(|stage| by_second(looks, stage)).collect();
    if before.is_empty() || looks.iter().all(|look| look.cpu_us == 0) {
        return (0.0, Vec::new());
    }
    let before = before.iter().sum::<f64>() / before.len() as f64;
    // A second that used less than usual pays for the next ones: what is played again is as much in all.
    let mut debt = 0.0;
    let mut beyond = |cores: f64| {
        let due: f64 = cores - before - debt;
        debt = (-due).max(0.0);
        due.max(0.0)
    };
    (before, of(Phase::During).flat_map(|stage| by_second(looks, stage)).map(&mut beyond).collect())
}

/// The cores that the cache used in each whole second of a stage.
fn by_second(looks: &[Look], stage: &Stage) -> Vec<f64> {
    let mut seconds = Vec::new();
    let mut within = looks.iter().filter(|look| (stage.from_s..=stage.to_s).contains(&look.at_s));
    let Some(mut first) = within.next() else { return seconds };
    for look in within {
        if look.at_s - first.at_s >= 1.0 {
            seconds.push(look.cores_since(first));
            first = look;
        }
    }
    seconds
}

/// At most so many, evenly chosen.
fn thinned(all: &[f64], most: usize) -> Vec<f64> {
    let kept = all.len().min(most);
    (0..kept).map(|at| all[at * all.len() / kept]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::report::Verdict;
    use crate::verified::record::Latency;

    fn stage(phase: Phase, from_s: f64, to_s: f64) -> Stage {
        Stage { name: String::new(), phase, is_base_rate: true, from_s, to_s, latency: Latency::default() }
    }

    /// Looks twice a second at a cache that uses so many cores in each second.
    fn looks(cores: &[f64]) -> Vec<Look> {
        let mut used = 1.0;
        let mut looks = vec![Look { cpu_us: 1_000_000, ..Look::default() }];
        for half in 1..=2 * cores.len() {
            used += cores[(half - 1) / 2] / 2.0;
            looks.push(Look { at_s: half as f64 / 2.0, cpu_us: (used * 1e6) as u64, ..Look::default() });
        }
        looks
    }

    fn close(left: &[f64], right: &[f64]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| (left - right).abs() < 1e-5)
    }

    #[test]
    fn what_scaling_used_is_what_was_used_beyond_before() {
        let looks = looks(&[0.2, 0.4, 0.3, 1.3, 0.1, 0.6, 9.0]);
        let mut stages = vec![stage(Phase::Before, 0.0, 2.0), stage(Phase::During, 2.0, 6.0)];
        let (before, beyond) = profile(&looks, &stages);
        assert!(close(&[before], &[0.3]) && close(&beyond, &[0.0, 1.0, 0.0, 0.1]), "{before} {beyond:?}");
        stages[1].is_base_rate = false;
        assert!(profile(&looks, &stages).1.is_empty());
        let unknown: Vec<Look> = looks.iter().map(|look| Look { cpu_us: 0, ..look.clone() }).collect();
        stages[1].is_base_rate = true;
        assert_eq!(profile(&unknown, &stages), (0.0, Vec::new()));
        assert!(profile(&looks, &stages[1..]).1.is_empty(), "without a time before there is nothing to compare with");
    }

    #[test]
    fn of_many_seconds_a_fair_choice_is_played_again() {
        let many: Vec<f64> = (0..240).map(f64::from).collect();
        let few = thinned(&many, SECONDS_MAX);
        assert_eq!((few.len(), few[0], few[59]), (SECONDS_MAX, 0.0, 236.0));
        assert_eq!(thinned(&many[..3], SECONDS_MAX), [0.0, 1.0, 2.0]);
        assert!(thinned(&[], SECONDS_MAX).is_empty());
    }

    #[test]
    fn the_bar_says_what_the_hog_did() {
        let control =
            ControlRun { seconds: 9, cores_before: 0.5, cores_mean: 0.25, cores_most: 1.5, hog_cores_mean: 0.24 };
        let met = bar(&control, 3.0, 3.0);
        assert_eq!((met.verdict, met.measured), (Verdict::Met, Some(1.0)));
        assert!(met.note.contains("0.25 cores beyond the 0.50") && met.note.contains("the hog 0.24"), "{}", met.note);
        assert_eq!(bar(&control, 3.1, 3.0).verdict, Verdict::Missed);
        assert_eq!(bar(&control, 3.1, 0.0).verdict, Verdict::NotMeasured);
    }
}
