//! `swell simulate`: the scaling policy over made-up loads in virtual time, beside other ways to choose nodes.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use swell_scaler::simulate::{Options, Shape, plot, simulate};

/// What `swell simulate` is told.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Simulate {
    /// The most nodes there may be; the loads need nearly so many at their peak
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    nodes: u32,
    /// Hours of virtual time, at ticks of a second
    #[arg(long, default_value_t = 24.0, value_parser = hours)]
    hours: f64,
    /// One shape only: step, ramp, sine, flash-crowd, hot-key, leak
    #[arg(long)]
    shape: Option<Shape>,
    /// Another seed is another load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// From asking for a node until it serves
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=3600))]
    ready_seconds: u32,
    /// Print JSON: every figure of every policy
    #[arg(long)]
    json: bool,
    /// Write a chart of every shape to this SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl Simulate {
    /// Simulates and prints.
    ///
    /// # Errors
    /// The chart cannot be written, or nobody reads what is printed.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut options = Options::new(self.nodes, self.hours, self.seed);
        options.machine.ready_seconds = self.ready_seconds;
        let shapes = self.shape.map_or(Shape::ALL.to_vec(), |shape| vec![shape]);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let report = simulate(&options, &shapes, threads);
        if let Some(file) = &self.plot {
            std::fs::write(file, plot::svg(&report)).with_context(|| format!("cannot write {}", file.display()))?;
        }
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
            false => out.write_all(report.text().as_bytes())?,
        }
        Ok(())
    }
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| "hours are a number".to_string())?;
    match hours > 0.0 && hours <= swell_scaler::simulate::HOURS_MAX {
        true => Ok(hours),
        false => Err(format!("hours are above 0 and at most {}", swell_scaler::simulate::HOURS_MAX)),
    }
}
