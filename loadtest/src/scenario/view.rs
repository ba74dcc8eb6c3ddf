//! What is shown while a scenario runs: a picture that is drawn over itself on a terminal, a line a second elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::report::thousands;
use super::watch::Look;
use crate::verified::control::Done;

/// Between two pictures, and between two lines.
const PICTURE_EVERY: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Characters of the bars.
const BAR: usize = 30;
/// Nodes that a picture has room for.
const NODES_SHOWN: usize = 12;

/// What there is to show.
pub struct Shown<'a> {
    pub scenario: &'a str,
    pub stage: &'a str,
    /// From 0 to 1.
    pub progress: f64,
    pub at_s: f64,
    pub done: &'a Done,
    pub look: Option<&'a Look>,
    /// Per second, of late.
    pub ecpu_rate: f64,
    /// What a node is planned to hold; 0 where nobody knows.
    pub node_bytes: u64,
}

/// Draws.
pub struct View {
    is_terminal: bool,
    drawn_lines: usize,
    next: Instant,
}

impl View {
    /// For standard output. `quiet`: lines even on a terminal.
    pub fn new(quiet: bool) -> View {
        View { is_terminal: io::stdout().is_terminal() && !quiet, drawn_lines: 0, next: Instant::now() }
    }

    /// Whether it is time for the next one.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Shows it. A terminal that is gone is no reason to end the test.
    pub fn draw(&mut self, shown: &Shown<'_>) {
        self.next = Instant::now() + if self.is_terminal { PICTURE_EVERY } else { LINE_EVERY };
        let mut out = io::stdout().lock();
        let text = match self.is_terminal {
            true => {
                let lines = picture(shown);
                let up = if self.drawn_lines > 0 { format!("\x1b[{}A", self.drawn_lines) } else { String::new() };
                // Fewer lines than before: what is below them goes too.
                self.drawn_lines = lines.len();
                format!("{up}\x1b[0J{}\n", lines.join("\n"))
            }
            false => format!("{}\n", line(shown)),
        };
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    /// The next thing printed has its own place.
    pub fn end(&mut self) {
        self.drawn_lines = 0;
    }
}

/// One line for a log.
fn line(shown: &Shown<'_>) -> String {
    let (done, look) = (shown.done, shown.look.cloned().unwrap_or_default());
    let second = done.seconds.last().cloned().unwrap_or_default();
    let tally = &done.tally;
    format!(
        "[{:6.1} s] {}: {:.0}/s p50 {:.2} ms p99 {:.2} ms | nodes {} slots moved {} ({} moving) | {} | {:.0} ECPU/s \
        ${:.6} | errors {} wrong {} unknown {}",
        shown.at_s,
        shown.stage,
        second.requests as f64 / second.seconds.max(0.001),
        second.p50_us / 1e3,
        second.p99_us / 1e3,
        look.nodes_up(),
        look.slots_moved,
        look.slots_moving,
        mebibytes(look.nodes.iter().map(|node| node.used_bytes).sum()),
        shown.ecpu_rate,
        look.bill_total,
        tally.client_errors,
        tally.wrong_reads,
        tally.unknown_outcomes,
    )
}

fn picture(shown: &Shown<'_>) -> Vec<String> {
    let (done, look) = (shown.done, shown.look.cloned().unwrap_or_default());
    let second = done.seconds.last().cloned().unwrap_or_default();
    let tally = &done.tally;
    let bad = tally.client_errors + tally.wrong_reads + tally.unknown_outcomes > 0;
    let (mark, plain) = (if bad { "\x1b[31m" } else { "\x1b[32m" }, "\x1b[0m");
    let mut lines = vec![
        format!("\x1b[1mswell loadtest {}{plain}  {:.0} s  {}", shown.scenario, shown.at_s, shown.stage),
        format!("{} {:3.0} %", bar(shown.progress, BAR), shown.progress * 100.0),
        format!(
            "requests  {:>9}/s   p50 {:7.2} ms   p99 {:7.2} ms   keys {}",
            thousands((second.requests as f64 / second.seconds.max(0.001)) as u64),
            second.p50_us / 1e3,
            second.p99_us / 1e3,
            thousands(done.keys),
        ),
        format!(
            "{mark}errors{plain}    {} client errors, {} wrong reads, {} unknown outcomes of {} requests",
            tally.client_errors,
            tally.wrong_reads,
            tally.unknown_outcomes,
            thousands(tally.requests)
        ),
        format!(
            "cache     {} nodes   {} slots moved ({} moving)   {} ECPU/s   ${:.6}",
            look.nodes_up(),
            thousands(look.slots_moved),
            look.slots_moving,
            thousands(shown.ecpu_rate as u64),
            look.bill_total
        ),
    ];
    let most = look.nodes.iter().map(|node| node.used_bytes).max().unwrap_or(0).max(shown.node_bytes).max(1);
    for node in look.nodes.iter().take(NODES_SHOWN) {
        lines.push(format!(
            "  node {:<3} {} {:>10}  {:>5} slots  {}",
            node.id,
            bar(node.used_bytes as f64 / most as f64, BAR),
            mebibytes(node.used_bytes),
            node.slots,
            node.state
        ));
    }
    if look.nodes.len() > NODES_SHOWN {
        lines.push(format!("  and {} more", look.nodes.len() - NODES_SHOWN));
    }
    lines
}

/// A bar of so many characters, in eighths.
fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let mut text: String = "█".repeat(eighths / 8);
    if eighths < width * 8 {
        text.push(EIGHTHS[eighths % 8]);
        text.extend(std::iter::repeat_n(' ', width - eighths / 8 - 1));
    }
    format!("▕{text}▏")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_say() {
        for share in [-1.0, 0.0, 0.01, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
            assert_eq!(bar(share, 10).chars().count(), 12, "{share}");
        }
        assert_eq!(bar(0.5, 4), "▕██  ▏");
    }

    #[test]
    fn a_line_and_a_picture_say_what_there_is() {
        let done = Done::default();
        let look = Look { nodes: vec![Default::default(); 20], ..Look::default() };
        let shown = Shown {
            scenario: "scale",
            stage: "before",
            progress: 0.25,
            at_s: 3.0,
            done: &done,
            look: Some(&look),
            ecpu_rate: 12.0,
            node_bytes: 0,
        };
        assert!(line(&shown).contains("nodes 20") && line(&shown).contains("12 ECPU/s"));
        let lines = picture(&shown);
        assert!(lines.len() == 5 + NODES_SHOWN + 1 && lines.last().is_some_and(|last| last.contains("8 more")));
        let shown = Shown { look: None, ..shown };
        assert_eq!(picture(&shown).len(), 5);
    }
}
