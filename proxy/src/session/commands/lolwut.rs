//! LOLWUT: a swell, drawn anew each time, and the version under it.

use std::f64::consts::TAU;

use swell_engine::Fault;
use swell_engine::number::parse_i64;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::commands::done;
use crate::session::{Flow, SessionCx};
use crate::shared::random_u64;

/// Bounds of the picture, and what it measures unless told otherwise.
const COLUMNS_MAX: i64 = 160;
const ROWS_MAX: i64 = 60;
const COLUMNS: i64 = 72;
const ROWS: i64 = 12;
/// From the air to the deep.
const SHADES: [char; 7] = [' ', '.', '-', '~', '=', '≈', '#'];

/// `[VERSION n] [columns [rows]]`; numbers that follow are let pass, as other versions' pictures take more.
pub fn lolwut(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    let result = numbers(args).map(|numbers| {
        let size = |at: usize, standard: i64, most: i64| numbers.get(at).copied().unwrap_or(standard).clamp(1, most);
        let phase = (random_u64() % 1_000) as f64 / 1_000.0 * TAU;
        let mut text = draw(size(0, COLUMNS, COLUMNS_MAX) as usize, size(1, ROWS, ROWS_MAX) as usize, phase);
        text.push_str(&format!("\nA swell, as it comes. Swell ver. {}\n", cx.core.shared.version));
        out.verbatim(text.as_bytes());
    });
    done(result, out)
}

fn numbers(args: Args<'_>) -> Result<Vec<i64>, ProxyError> {
    let mut words = args.from(1).iter().peekable();
    if words.next_if(|word| word.eq_ignore_ascii_case(b"version")).is_some() {
        let version = words.next().ok_or(Fault::Syntax)?;
        parse_i64(version).ok_or(Fault::NotInteger)?;
    }
    words.map(|word| parse_i64(word).ok_or_else(|| Fault::NotInteger.into())).collect()
}

/// Two waves over each other; what is below is water, the darker the deeper.
fn draw(columns: usize, rows: usize, phase: f64) -> String {
    let middle = rows as f64 / 2.0;
    let height = |column: usize| {
        let at = column as f64 / columns as f64 * TAU;
        middle + middle * (0.45 * (at * 2.0 + phase).sin() + 0.25 * (at * 5.0 - phase).cos())
    };
    let mut text = String::new();
    for row in 0..rows {
        for column in 0..columns {
            let depth = (row as f64 - (rows as f64 - height(column))) / rows as f64 * SHADES.len() as f64;
            text.push(SHADES[(depth + 1.0).clamp(0.0, SHADES.len() as f64 - 1.0) as usize]);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_the_size_that_was_asked_for() {
        let text = draw(20, 5, 1.0);
        assert_eq!(text.lines().count(), 5);
        assert!(text.lines().all(|line| line.chars().count() == 20));
        assert!(text.contains('~'));
    }
}
