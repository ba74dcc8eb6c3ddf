//! LATENCY GRAPH: the samples of one kind of event as columns, the latest at the right, each with its age under it.

use crate::observe::Series;

/// Samples that fit beside each other.
const COLUMNS: usize = 80;
/// Lines of columns.
const ROWS: u64 = 4;
/// A column's top: a third of a line each.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// The picture with a headline, as Redis lays it out.
pub fn draw(name: &str, series: &Series, now_seconds: u64) -> String {
    let (low, high) = series.range();
    let shown: Vec<(u64, u64)> =
        series.samples.iter().skip(series.samples.len().saturating_sub(COLUMNS)).copied().collect();
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.worst_ms);
    text.push_str(&"-".repeat(COLUMNS));
    text.push('\n');
    let steps = ROWS * TOPS.len() as u64 - 1;
    for row in (0..ROWS).rev() {
        for (_, ms) in &shown {
            let height = if high > low { (ms - low) * steps / (high - low) } else { 0 };
            text.push(match (height / TOPS.len() as u64).cmp(&row) {
                std::cmp::Ordering::Less => ' ',
                std::cmp::Ordering::Equal => TOPS[(height % TOPS.len() as u64) as usize],
                std::cmp::Ordering::Greater => '|',
            });
        }
        text.push('\n');
    }
    let ages: Vec<String> = shown.iter().map(|(at, _)| age(now_seconds.saturating_sub(*at))).collect();
    text.push('\n');
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
    text
}

/// How long ago, in the largest unit that fits.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Event, Events};

    #[test]
    fn columns_stand_over_their_ages() {
        let events = Events::default();
        [(100, 10), (110, 40), (115, 20)].into_iter().for_each(|(at, ms)| events.add(Event::Command, at, ms));
        let text = draw("command", &events.all()[&Event::Command], 165);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 40 ms, low 10 ms (all time high 40 ms)");
        assert_eq!(lines[2..6], [" # ", " | ", " |_", "_||"]);
        assert_eq!(lines[7..], ["155", "m50", " ss"]);
    }
}
