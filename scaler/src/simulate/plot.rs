//! Charts: what each shape wanted, and the nodes that were there for it.

use std::fmt::Write;

use super::Report;
use super::report::{OfShape, Point};

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 34.0;
const CELL: (f64, f64) = (WIDTH + LEFT + 20.0, HEIGHT + TOP + 34.0);
const COLUMNS: usize = 2;

/// Colours that differ in lightness too.
const DEMAND: &str = "#9aa5b1";
const OURS: &str = "#0b6bcb";
const THRESHOLD: &str = "#e08a1e";

/// One picture of all shapes: wanted (filled), our nodes, and the best threshold policy's.
pub fn svg(report: &Report) -> String {
    let rows = report.shapes.len().div_ceil(COLUMNS).max(1);
    let (width, height) = (CELL.0 * COLUMNS as f64, CELL.1 * rows as f64 + 30.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let legend = [(DEMAND, "wanted"), (OURS, "nodes, swell"), (THRESHOLD, "nodes, best threshold")];
    for (at, (colour, text)) in legend.into_iter().enumerate() {
        let x = LEFT + 150.0 * at as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"10\" width=\"12\" height=\"8\" fill=\"{colour}\"/><text x=\"{}\" y=\"18\">{text}</text>",
            x + 17.0
        );
    }
    for (at, shape) in report.shapes.iter().enumerate() {
        let (x, y) = (CELL.0 * (at % COLUMNS) as f64 + LEFT, CELL.1 * (at / COLUMNS) as f64 + TOP + 22.0);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(&mut svg, shape);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, shape: &OfShape) {
    let most = shape.chart.iter().map(|point| f64::from(point.ours.max(point.threshold)).max(point.demand.into()));
    let most = most.fold(1.0, f64::max);
    let last = shape.chart.last().map_or(1.0, |point| f64::from(point.second.max(1)));
    let place = |second: u32, nodes: f64| (f64::from(second) / last * WIDTH, HEIGHT * (1.0 - nodes / most));
    let path = |of: &dyn Fn(&Point) -> f64, steps: bool| {
        let mut path = String::new();
        let mut before = None;
        for point in &shape.chart {
            let (x, y) = place(point.second, of(point));
            let _ = match before {
                None => write!(path, "M{x:.1} {y:.1}"),
                Some(_) if steps => write!(path, "H{x:.1}V{y:.1}"),
                Some(_) => write!(path, "L{x:.1} {y:.1}"),
            };
            before = Some(y);
        }
        path
    };
    let demand = path(&|point| point.demand.into(), false);
    let (ours, threshold) = (path(&|point| point.ours.into(), true), path(&|point| point.threshold.into(), true));
    let _ = write!(
        svg,
        "<text x=\"0\" y=\"-8\" font-weight=\"bold\">{}</text><text x=\"{WIDTH}\" y=\"-8\" text-anchor=\"end\">{:.0} \
         node-hours; threshold {:.0}; clairvoyant {:.0}</text>\n<path d=\"{demand}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z\" \
         fill=\"{DEMAND}\" fill-opacity=\"0.35\"/>\n<path d=\"{threshold}\" fill=\"none\" stroke=\"{THRESHOLD}\"/>\n\
         <path d=\"{ours}\" fill=\"none\" stroke=\"{OURS}\" stroke-width=\"1.5\"/>\n",
        shape.shape.name(),
        shape.ours.node_hours,
        shape.against_threshold.rival.score.node_hours,
        shape.clairvoyant.node_hours
    );
    for nodes in [0.0, most / 2.0, most] {
        let (_, y) = place(0, nodes);
        let _ = writeln!(
            svg,
            "<line x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#e4e7eb\"/><text x=\"-6\" y=\"{:.1}\" \
             text-anchor=\"end\">{nodes:.0}</text>",
            y + 4.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"0\" y=\"{0}\">0 h</text><text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{1:.1} h</text>",
        HEIGHT + 15.0,
        last / 3600.0
    );
}
