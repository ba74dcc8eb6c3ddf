//! How far a move is: a bar that is drawn over itself on a terminal, a line now and then elsewhere, and the summary.

use std::io::{self, Write};

use serde::Serialize;
use swell_node::control::Progress;

use super::tables::{bytes, millis};

/// Characters of the bar.
const BAR: usize = 24;
/// Between two lines where there is no terminal, milliseconds of the move's own clock.
const LINE_MS: u64 = 1000;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Over itself, on a terminal.
    Bar,
    /// Line by line.
    Lines,
    /// Not at all: a program reads the end.
    Nothing,
}

/// Draws progress as it comes.
pub struct Drawing<'a> {
    show: Show,
    out: &'a mut dyn Write,
    /// What the last line showed, and when.
    last: Option<u64>,
    /// Characters that the next bar has to cover.
    drawn: usize,
}

/// A move's end, for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub slots: u32,
    pub slots_total: u32,
    pub keys: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub keys_per_second: u64,
    pub retries: u32,
    pub sealed_us: Spread,
    pub commit_us: Spread,
    /// The same, group by group in the order of their ends: sealed, and of it the commit.
    pub groups_us: Vec<[u64; 2]>,
    pub note: String,
}

/// Where a list of times lies; all zero where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

impl<'a> Drawing<'a> {
    /// Nothing is drawn yet.
    pub fn new(show: Show, out: &'a mut dyn Write) -> Drawing<'a> {
        Drawing { show, out, last: None, drawn: 0 }
    }

    /// Shows this much.
    ///
    /// # Errors
    /// The terminal or pipe is gone.
    pub fn draw(&mut self, progress: &Progress) -> io::Result<()> {
        match self.show {
            Show::Nothing => Ok(()),
            Show::Bar => {
                let line = format!("{} {}", bar(progress), line(progress));
                let width = line.chars().count().max(self.drawn);
                self.drawn = line.chars().count();
                write!(self.out, "\r{line:width$}")?;
                self.out.flush()
            }
            Show::Lines => {
                let due = self.last.is_none_or(|last| progress.elapsed_ms >= last + LINE_MS);
                if due {
                    self.last = Some(progress.elapsed_ms);
                    writeln!(self.out, "{}", line(progress))?;
                }
                Ok(())
            }
        }
    }

    /// Leaves the bar's line, so that what comes next has its own.
    ///
    /// # Errors
    /// The terminal or pipe is gone.
    pub fn end(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            write!(self.out, "\r{:width$}\r", "", width = self.drawn)?;
            self.drawn = 0;
        }
        self.out.flush()
    }
}

impl Summary {
    /// The end of a move.
    pub fn of(progress: &Progress) -> Summary {
        let seconds = progress.elapsed_ms as f64 / 1000.0;
        Summary {
            slots: progress.slots_done,
            slots_total: progress.slots_total,
            keys: progress.keys,
            bytes: progress.bytes,
            seconds,
            keys_per_second: per_second(progress.keys, progress.elapsed_ms),
            retries: progress.retries,
            sealed_us: Spread::of(&progress.sealed_us),
            commit_us: Spread::of(&progress.commit_us),
            groups_us: progress
                .sealed_us
                .iter()
                .zip(&progress.commit_us)
                .map(|(&all, &commit)| [all, commit])
                .collect(),
            note: progress.note.clone(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let Summary { sealed_us: sealed, commit_us: commit, .. } = self;
        let mut line = format!(
            "{} slots, {} keys, {} in {:.2} s: {} keys/s, {} retries",
            self.slots,
            self.keys,
            bytes(self.bytes),
            self.seconds,
            self.keys_per_second,
            self.retries
        );
        if sealed.count > 0 {
            let [p50, p99, max] = [sealed.p50, sealed.p99, sealed.max].map(millis);
            line += &format!("; sealed p50 {p50}, p99 {p99}, max {max}");
        }
        if commit.count > 0 {
            line += &format!("; of it the commit's fsync p50 {}, max {}", millis(commit.p50), millis(commit.max));
        }
        line
    }
}

impl Spread {
    /// Of these times; each is one that occurred (the nearest rank).
    pub fn of(times: &[u64]) -> Spread {
        let mut times = times.to_vec();
        times.sort_unstable();
        let rank = |percent: usize| {
            times
                .len()
                .checked_sub(1)
                .map_or(0, |last| times[(times.len() * percent).div_ceil(100).clamp(1, last + 1) - 1])
        };
        Spread { count: times.len(), p50: rank(50), p99: rank(99), max: times.last().copied().unwrap_or(0) }
    }
}

/// `[######------]  50 %`
fn bar(progress: &Progress) -> String {
    let (done, total) = (progress.slots_done as usize, progress.slots_total as usize);
    let part = |of: usize| (done.min(total) * of).checked_div(total).unwrap_or(of);
    let full = part(BAR);
    format!("[{}{}] {:>3} %", "#".repeat(full), "-".repeat(BAR - full), part(100))
}

/// What both bar and line say.
fn line(progress: &Progress) -> String {
    let megabytes = progress.bytes as f64 / 1e6 / (progress.elapsed_ms.max(1) as f64 / 1000.0);
    let mut line = format!(
        "{}/{} slots, {} keys, {megabytes:.1} MB/s, {:.1} s",
        progress.slots_done,
        progress.slots_total,
        progress.keys,
        progress.elapsed_ms as f64 / 1000.0
    );
    if progress.retries > 0 {
        line += &format!(", {} retries", progress.retries);
    }
    line
}

fn per_second(count: u64, ms: u64) -> u64 {
    (u128::from(count) * 1000 / u128::from(ms.max(1))).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u32, elapsed_ms: u64) -> Progress {
        Progress {
            slots_done: done,
            slots_total: 4096,
            keys: 500 * u64::from(done),
            bytes: 100_000 * u64::from(done),
            elapsed_ms,
            ..Progress::default()
        }
    }

    fn drawn(show: Show, steps: &[Progress]) -> String {
        let mut out = Vec::new();
        let mut drawing = Drawing::new(show, &mut out);
        for step in steps {
            drawing.draw(step).expect("a Vec takes all bytes");
        }
        drawing.end().expect("a Vec takes all bytes");
        String::from_utf8(out).expect("it is text")
    }

    #[test]
    fn a_terminal_sees_one_bar_over_itself() {
        let steps = [progress(4095, 10_000), progress(4096, 10_001), progress(0, 0)];
        let text = drawn(Show::Bar, &steps);
        let lines: Vec<&str> = text.split('\r').collect();
        assert_eq!(lines[1], "[#######################-]  99 % 4095/4096 slots, 2047500 keys, 41.0 MB/s, 10.0 s");
        assert!(lines[2].starts_with("[########################] 100 % 4096/4096"), "{text}");
        let width = lines[2].len();
        assert!(lines[3].starts_with("[------------------------]   0 % 0/4096") && lines[3].len() == width, "{text}");
        assert!(lines[4].trim().is_empty() && lines[5].is_empty() && !text.contains('\n'), "{text}");
    }

    #[test]
    fn a_pipe_sees_a_line_a_second_and_a_program_nothing() {
        let steps: Vec<Progress> = (0..30).map(|step| progress(step * 100, u64::from(step) * 100)).collect();
        let text = drawn(Show::Lines, &steps);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(text.lines().nth(1), Some("1000/4096 slots, 500000 keys, 100.0 MB/s, 1.0 s"));
        assert_eq!(drawn(Show::Nothing, &steps), "");
    }

    #[test]
    fn the_summary_has_rates_and_percentiles() {
        let done = Progress {
            retries: 2,
            sealed_us: (1..=100).map(|n| n * 100).rev().collect(),
            commit_us: vec![900, 1500],
            ..progress(4096, 2_500)
        };
        let summary = Summary::of(&done);
        assert_eq!(summary.sealed_us, Spread { count: 100, p50: 5000, p99: 9900, max: 10_000 });
        assert_eq!(
            summary.line(),
            "4096 slots, 2048000 keys, 390.6 MiB in 2.50 s: 819200 keys/s, 2 retries; sealed p50 5.00 ms, p99 9.90 ms, \
             max 10.00 ms; of it the commit's fsync p50 0.90 ms, max 1.50 ms"
        );
        let json = serde_json::to_value(&summary).expect("it is JSON");
        assert_eq!((&json["keys_per_second"], &json["commit_us"]["max"]), (&819_200.into(), &1500.into()));
        assert_eq!(json["groups_us"], serde_json::json!([[10_000, 900], [9_900, 1500]]));
    }

    #[test]
    fn percentiles_are_times_that_occurred() {
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(Spread::of(&[7]), Spread { count: 1, p50: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of(&[3, 1, 2]), Spread { count: 3, p50: 2, p99: 3, max: 3 });
        assert_eq!(Summary::of(&progress(0, 0)).line(), "0 slots, 0 keys, 0 B in 0.00 s: 0 keys/s, 0 retries");
    }
}
