//! A scenario under way: the load on its thread, the looks at the cache, the stages one after the other, and the report.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::args::ScenarioArgs;
use super::control::ControlRun;
use super::report::{Bar, Phase, Report, Stage};
use super::target::Target;
use super::view::{Shown, View};
use super::watch::{Look, Seen, Watch};
use crate::bench::proc::Machine;
use crate::bench::sys;
use crate::verified::client::{self, Plan};
use crate::verified::control::{Control, Pace};
use crate::verified::mix::{Aim, Choice, Draw};
use crate::verified::record::{Latency, Record};

/// Between two looks at whether a stage is over.
const TURN: Duration = Duration::from_millis(20);
/// ECPUs per second are those of the last so many seconds.
const RATE_OVER_S: f64 = 2.0;
/// Bytes that a key takes beside its value, about.
pub const KEY_OVERHEAD_BYTES: f64 = 90.0;

/// Everything that a scenario needs.
pub struct Run<'a> {
    pub args: &'a ScenarioArgs,
    pub target: Target,
    pub control: Arc<Control>,
    pub bars: Vec<Bar>,
    pub control_run: Option<ControlRun>,
    pub draw: Draw,
    pub sizes: Choice,
    name: &'static str,
    watch: Watch,
    view: View,
    loading: Option<JoinHandle<Result<Record>>>,
    began: Instant,
    stages: Vec<Stage>,
    stages_expected: usize,
    /// Of the stage under way, from 0 to 1.
    stage_progress: f64,
}

impl<'a> Run<'a> {
    /// Begins to look at the cache and to load it, with a stage that is apart, and no keys yet.
    ///
    /// # Errors
    /// The cache does not speak the protocol that was asked for.
    pub fn start(
        name: &'static str,
        args: &'a ScenarioArgs,
        target: Target,
        sizes: Choice,
        draw: Draw,
        stages_expected: usize,
    ) -> Result<Run<'a>> {
        let plan = Plan {
            address: target.address(args.protocol)?,
            protocol: args.protocol,
            connections: args.connections,
            sizes: sizes.clone(),
            lives: args.ttl.clone(),
            seed: args.seed,
        };
        let began = Instant::now();
        let aim = Aim { keys: 0, fill_share: 1.0, read_share: args.reads, draw };
        let control = Arc::new(Control::new(Pace::Rest, aim));
        let watch = Watch::start(target.http, target.pid(), began);
        let steered = Arc::clone(&control);
        let loading = Some(thread::spawn(move || client::run(plan, steered, began)));
        Ok(Run {
            args,
            target,
            control,
            bars: Vec::new(),
            control_run: None,
            draw,
            sizes,
            name,
            watch,
            view: View::new(false),
            loading,
            began,
            stages: Vec::new(),
            stages_expected: stages_expected.max(1),
            stage_progress: 0.0,
        })
    }

    /// The pace of this scenario's base rate.
    pub fn base_pace(&self) -> Pace {
        match self.args.closed {
            Some(many) => Pace::Closed(many),
            None => Pace::Open(f64::from(self.args.rate)),
        }
    }

    /// The keys that a node is planned to hold, were it full of them.
    pub fn node_keys(&self) -> f64 {
        (self.args.node_memory_mib << 20) as f64 / (self.sizes.mean() + KEY_OVERHEAD_BYTES)
    }

    /// The next stage begins. `rate_factor`: times the base rate.
    pub fn stage(&mut self, name: &str, phase: Phase, rate_factor: f64) {
        let at_s = self.at_s();
        if let Some(before) = self.stages.last_mut() {
            before.to_s = at_s;
        }
        let is_base_rate = rate_factor == 1.0;
        let (name, latency) = (name.to_owned(), Latency::default());
        self.stages.push(Stage { name, phase, is_base_rate, from_s: at_s, to_s: at_s, latency });
        self.stage_progress = 0.0;
        self.control.set_stage(self.stages.len() - 1);
        self.control.set_pace(match self.base_pace() {
            Pace::Open(rate) => Pace::Open(rate * rate_factor),
            Pace::Closed(many) => Pace::Closed(((many as f64 * rate_factor) as usize).max(1)),
            Pace::Rest => Pace::Rest,
        });
    }

    /// Those until now; the last one goes on.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Seconds since the load began.
    pub fn at_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Goes on as it is for so long.
    ///
    /// # Errors
    /// The cache or the load has ended, or Ctrl-C.
    pub fn hold(&mut self, seconds: f64) -> Result<()> {
        self.until(seconds, |_| false).map(drop)
    }

    /// Goes on until `is_there`, and says how many seconds that took; none if it was not there within `seconds_max`.
    ///
    /// # Errors
    /// As [`Run::hold`].
    pub fn until(&mut self, seconds_max: f64, mut is_there: impl FnMut(&Run<'_>) -> bool) -> Result<Option<f64>> {
        let began = Instant::now();
        loop {
            sys::check_interrupt()?;
            self.target.check()?;
            if self.loading.as_ref().is_none_or(JoinHandle::is_finished) {
                self.join()?;
                bail!("the load has ended too early");
            }
            if is_there(self) {
                return Ok(Some(began.elapsed().as_secs_f64()));
            }
            let share = began.elapsed().as_secs_f64() / seconds_max.max(0.001);
            if share >= 1.0 {
                return Ok(None);
            }
            self.stage_progress = share;
            if self.view.is_due() {
                self.show();
            }
            thread::sleep(TURN);
        }
    }

    /// Writes or deletes keys until there are so many, or patience ends.
    ///
    /// # Errors
    /// As [`Run::hold`].
    pub fn bring_keys(&mut self, keys: u64, fill_share: f64) -> Result<Option<f64>> {
        self.control.set_keys(keys, fill_share);
        self.until(self.args.patience, |run| run.control.done().keys == keys)
    }

    /// Waits until `is_there` holds for what the cache last said; none at once where it says nothing.
    ///
    /// # Errors
    /// As [`Run::hold`].
    pub fn until_cache(&mut self, is_there: impl Fn(&Look) -> bool) -> Result<Option<f64>> {
        // A cache that has no such page will not have one later.
        if !self.is_told() {
            return Ok(None);
        }
        self.until(self.args.patience, |run| run.watch.with(|seen| seen.last().is_some_and(&is_there)))
    }

    /// Whether the cache tells about its nodes.
    pub fn is_told(&self) -> bool {
        self.watch.with(|seen| seen.last().is_some_and(|look| !look.nodes.is_empty()))
    }

    /// What `of` makes of everything the cache has said.
    pub fn seen<T>(&self, of: impl FnOnce(&Seen) -> T) -> T {
        self.watch.with(of)
    }

    /// Ends the load, waits for the last replies, and judges what holds for every scenario.
    ///
    /// # Errors
    /// The load could not run.
    pub fn finish(mut self) -> Result<Report> {
        let at_s = self.at_s();
        if let Some(last) = self.stages.last_mut() {
            last.to_s = at_s;
        }
        self.control.stop();
        let record = self.join()?;
        self.view.end();
        let seconds = self.at_s();
        let done = self.control.done();
        let seen = self.watch.seen();
        let mut stages = std::mem::take(&mut self.stages);
        for (at, stage) in stages.iter_mut().enumerate() {
            stage.latency = record.latency([at]);
        }
        let p99 = |wanted: &dyn Fn(&Stage) -> bool| {
            record.latency((0..stages.len()).filter(|&at| wanted(&stages[at]))).p99_ms
        };
        let of = |phase| move |stage: &Stage| stage.phase == phase;
        let first = seen.looks.first().cloned().unwrap_or_default();
        let last = seen.looks.last().cloned().unwrap_or_default();
        let tally = record.tally.clone();
        Ok(Report {
            scenario: self.name.to_owned(),
            swell: env!("CARGO_PKG_VERSION"),
            load: self.load_words(),
            machine: Machine::read(),
            seconds,
            client_errors: tally.client_errors,
            wrong_reads: tally.wrong_reads,
            unknown_outcomes: tally.unknown_outcomes,
            nodes_peak: seen.looks.iter().map(Look::owners).max().unwrap_or(0),
            nodes_end: last.nodes_up(),
            p99_ms_before: p99(&of(Phase::Before)),
            p99_ms_during: p99(&of(Phase::During)),
            p99_ms_after: p99(&of(Phase::After)),
            p99_ms_control: p99(&of(Phase::Control)),
            p99_ms_during_base_rate: p99(&|stage| stage.phase == Phase::During && stage.is_base_rate),
            slots_moved: last.slots_moved.saturating_sub(first.slots_moved),
            keys_moved: last.keys_moved.saturating_sub(first.keys_moved),
            ecpu_total: (last.ecpu_total - first.ecpu_total).max(0.0),
            bill_total: (last.bill_total - first.bill_total).max(0.0),
            tally,
            control_run: self.control_run,
            bars: std::mem::take(&mut self.bars),
            stages,
            timeline: done.seconds,
            looks: seen.looks,
            events: seen.events,
        })
    }

    /// Waits a moment, so that the looks at the cache include the end.
    ///
    /// # Errors
    /// As [`Run::hold`].
    pub fn settle(&mut self) -> Result<()> {
        self.hold(1.0)
    }

    fn join(&mut self) -> Result<Record> {
        let loading = self.loading.take().context("the load has ended before")?;
        loading.join().map_err(|_| anyhow!("the load failed"))?
    }

    fn load_words(&self) -> String {
        let pace = match self.base_pace() {
            Pace::Open(rate) => format!("{rate:.0} requests/s at constant intervals"),
            Pace::Closed(many) => format!("{many} requests always under way"),
            Pace::Rest => "no requests".to_owned(),
        };
        format!(
            "{pace}, {:?} over {} connections, {:.0} % reads, values of {:.0} bytes, keys {}",
            self.args.protocol,
            self.args.connections,
            self.args.reads * 100.0,
            self.sizes.mean(),
            self.draw
        )
        .to_lowercase()
    }

    fn show(&mut self) {
        let done = self.control.done();
        let stage = self.stages.last().map(|stage| stage.name.clone()).unwrap_or_default();
        let stages = self.stages.len().saturating_sub(1) as f64 + self.stage_progress;
        let (look, ecpu_rate) = self.watch.with(|seen| (seen.last().cloned(), ecpu_rate(&seen.looks)));
        self.view.draw(&Shown {
            scenario: self.name,
            stage: &stage,
            progress: (stages / self.stages_expected as f64).min(1.0),
            at_s: self.began.elapsed().as_secs_f64(),
            done: &done,
            look: look.as_ref(),
            ecpu_rate,
            node_bytes: if self.target.is_own() { self.args.node_memory_mib << 20 } else { 0 },
        });
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(loading) = self.loading.take() {
            // The error that ends the scenario is told elsewhere.
            let _ = loading.join();
        }
    }
}

/// ECPUs per second of late.
pub fn ecpu_rate(looks: &[Look]) -> f64 {
    let Some(last) = looks.last() else { return 0.0 };
    let Some(before) = looks.iter().rev().find(|look| look.at_s <= last.at_s - RATE_OVER_S) else { return 0.0 };
    ((last.ecpu_total - before.ecpu_total) / (last.at_s - before.at_s)).max(0.0)
}
