//! Charts as SVG: a time axis that several share, lines, areas, stacks, bands for stages, marks for events.

use std::fmt::Write;

/// Units of the picture's width; it scales with the page.
pub const WIDTH: f64 = 960.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
/// Above a plot there is its title, below it the time axis.
const ABOVE: f64 = 30.0;
const BELOW: f64 = 24.0;
/// Colours of a stack; `c0` to `c7` in [`STYLE`].
const COLOURS: usize = 8;
/// Grid lines, about.
const TICKS: f64 = 4.0;
const TIME_TICKS: f64 = 8.0;
/// Points of one line: more than a screen shows are thinned out.
const POINTS_MAX: usize = 1_200;
/// Narrower bands have no room for their name.
const CHARACTER: f64 = 6.2;

/// Time in seconds and a number.
pub type Point = (f64, f64);

/// How a chart's numbers become heights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    Linear,
    /// Powers of ten.
    Log,
}

/// One thing that is drawn.
pub enum Layer {
    /// A line, with the area below it filled lightly; its colour, its name.
    Area(usize, String, Vec<Point>),
    Line(usize, String, Vec<Point>),
    /// A number that stays until the next point.
    Steps(usize, String, Vec<Point>),
    /// Rows on top of each other at the same times.
    Stack(Vec<(String, Vec<Point>)>),
}

/// A stage: its name, from when to when.
#[derive(Debug, Clone)]
pub struct Band {
    pub name: String,
    pub from_s: f64,
    pub to_s: f64,
}

/// An event: when, a class of [`STYLE`], and its words.
#[derive(Debug, Clone)]
pub struct Mark {
    pub at_s: f64,
    pub class: &'static str,
    pub text: String,
}

/// One chart.
pub struct Chart<'a> {
    pub title: &'a str,
    pub height: f64,
    pub seconds: f64,
    pub scale: Scale,
    pub unit: fn(f64) -> String,
    pub layers: Vec<Layer>,
    pub bands: &'a [Band],
    pub marks: &'a [Mark],
}

/// Colours for light and dark; for a page and for a picture that stands alone.
pub const STYLE: &str = "
:root{--bg:#ffffff;--card:#ffffff;--fg:#1f2328;--muted:#656d76;--line:#e3e7ec;--band:#f5f7fa;
--c0:#2f6fed;--c1:#e8710a;--c2:#1a9f5b;--c3:#8250df;--c4:#d6336c;--c5:#0aa2c0;--c6:#a3820a;--c7:#6e7781;
--good:#1a7f37;--bad:#cf222e;--open:#9a6700}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--card:#151b23;--fg:#e6edf3;--muted:#8d96a0;--line:#2b323b;--band:#1a212a;
--c0:#6ea8fe;--c1:#ffa657;--c2:#56d68d;--c3:#c297ff;--c4:#ff7eb6;--c5:#56d4e8;--c6:#e3c34b;--c7:#a0a9b3;
--good:#3fb950;--bad:#ff7b72;--open:#d29922}}
svg text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--muted)}
svg text.title{font-weight:600;font-size:13px;fill:var(--fg)}
svg .grid{stroke:var(--line);stroke-width:1}
svg .band{fill:var(--band)}
svg .l{fill:none;stroke-width:1.8;stroke-linejoin:round}
svg .a{opacity:.14;stroke:none}
svg .s{opacity:.85;stroke:var(--card);stroke-width:.6}
svg .mark{stroke-width:1.2;stroke-dasharray:3 3;opacity:.75}
svg .out{stroke:var(--c2);fill:var(--c2)}svg .in{stroke:var(--c3);fill:var(--c3)}svg .trouble{stroke:var(--bad);fill:var(--bad)}
svg .tip{stroke:none;stroke-dasharray:none}
svg .c0{--c:var(--c0)}svg .c1{--c:var(--c1)}svg .c2{--c:var(--c2)}svg .c3{--c:var(--c3)}
svg .c4{--c:var(--c4)}svg .c5{--c:var(--c5)}svg .c6{--c:var(--c6)}svg .c7{--c:var(--c7)}
svg .l{stroke:var(--c)}svg .a,svg .s,svg .k{fill:var(--c)}
";

impl Chart<'_> {
    /// Units of height, with title and axis.
    pub fn full_height(&self) -> f64 {
        ABOVE + self.height + BELOW
    }

    /// The chart as SVG elements, its top at `top`.
    pub fn elements(&self, top: f64) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, top);
        out
    }

    fn write(&self, out: &mut String, top: f64) -> std::fmt::Result {
        let axis = Axis::of(self, top + ABOVE);
        self.write_bands(out, &axis)?;
        self.write_grid(out, &axis)?;
        for layer in &self.layers {
            match layer {
                Layer::Area(colour, name, points) => {
                    let (from, to) = (points.first().map_or(0.0, |at| at.0), points.last().map_or(0.0, |at| at.0));
                    let line = axis.path(&thinned(points));
                    let (x0, x1, y) = (axis.x(from), axis.x(to), axis.bottom());
                    if !line.is_empty() {
                        writeln!(out, "<path class='a c{colour}' d='{line}L{x1:.1} {y:.1}L{x0:.1} {y:.1}Z'/>")?;
                    }
                    self.write_line(out, &line, *colour, name)?;
                }
                Layer::Line(colour, name, points) => {
                    self.write_line(out, &axis.path(&thinned(points)), *colour, name)?;
                }
                Layer::Steps(colour, name, points) => {
                    self.write_line(out, &axis.path(&steps(points, self.seconds)), *colour, name)?;
                }
                Layer::Stack(rows) => self.write_stack(out, &axis, rows)?,
            }
        }
        self.write_marks(out, &axis)?;
        self.write_head(out, top)
    }

    fn write_line(&self, out: &mut String, path: &str, colour: usize, name: &str) -> std::fmt::Result {
        if path.is_empty() {
            return Ok(());
        }
        writeln!(out, "<path class='l c{colour}' d='{path}'><title>{}</title></path>", escaped(name))
    }

    fn write_stack(&self, out: &mut String, axis: &Axis, rows: &[(String, Vec<Point>)]) -> std::fmt::Result {
        let mut floor: Vec<Point> =
            rows.first().map(|(_, row)| row.iter().map(|at| (at.0, 0.0)).collect()).unwrap_or_default();
        for (at, (name, row)) in rows.iter().enumerate() {
            let roof: Vec<Point> = floor.iter().zip(row).map(|(below, own)| (below.0, below.1 + own.1)).collect();
            let back: Vec<Point> = thinned(&floor).into_iter().rev().collect();
            let (up, down) = (axis.path(&thinned(&roof)), axis.path(&back));
            if !up.is_empty() && row.iter().any(|at| at.1 > 0.0) {
                let (colour, down) = (at % COLOURS, down.replacen('M', "L", 1));
                writeln!(out, "<path class='s c{colour}' d='{up}{down}Z'><title>{}</title></path>", escaped(name))?;
            }
            floor = roof;
        }
        Ok(())
    }

    fn write_bands(&self, out: &mut String, axis: &Axis) -> std::fmt::Result {
        for (at, band) in self.bands.iter().enumerate() {
            let (from, to) = (axis.x(band.from_s), axis.x(band.to_s));
            let (width, height) = ((to - from).max(0.0), self.height);
            let name = escaped(&band.name);
            if at % 2 == 1 {
                let top = axis.top;
                writeln!(
                    out,
                    "<rect class='band' x='{from:.1}' y='{top:.1}' width='{width:.1}' height='{height:.1}'><title>{name}\
                    </title></rect>"
                )?;
            }
            if width > band.name.chars().count() as f64 * CHARACTER {
                let y = axis.top + 13.0;
                writeln!(
                    out,
                    "<text x='{:.1}' y='{y:.1}' text-anchor='middle' opacity='.8'>{name}</text>",
                    (from + to) / 2.0
                )?;
            }
        }
        Ok(())
    }

    fn write_grid(&self, out: &mut String, axis: &Axis) -> std::fmt::Result {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        for value in axis.ticks() {
            let (y, label) = (axis.y(value), escaped(&(self.unit)(value)));
            writeln!(out, "<path class='grid' d='M{left} {y:.1}H{right}'/>")?;
            writeln!(out, "<text x='{:.1}' y='{:.1}' text-anchor='end'>{label}</text>", left - 8.0, y + 4.0)?;
        }
        let step = nice(self.seconds / TIME_TICKS);
        let mut at = 0.0;
        while at <= self.seconds && step > 0.0 {
            let (x, y) = (axis.x(at), axis.bottom() + 16.0);
            writeln!(out, "<text x='{x:.1}' y='{y:.1}' text-anchor='middle'>{at:.0} s</text>")?;
            at += step;
        }
        Ok(())
    }

    fn write_marks(&self, out: &mut String, axis: &Axis) -> std::fmt::Result {
        for mark in self.marks.iter().filter(|mark| (0.0..=self.seconds).contains(&mark.at_s)) {
            let (x, top, bottom, class) = (axis.x(mark.at_s), axis.top, axis.bottom(), mark.class);
            let (from, to) = (x - 4.0, x + 4.0);
            writeln!(
                out,
                "<g class='mark {class}'><title>{}</title><path d='M{x:.1} {top:.1}V{bottom:.1}'/><path class='tip' \
                d='M{from:.1} {top:.1}H{to:.1}L{x:.1} {:.1}Z'/></g>",
                escaped(&mark.text),
                top + 7.0
            )?;
        }
        Ok(())
    }

    /// Title and names of the lines.
    fn write_head(&self, out: &mut String, top: f64) -> std::fmt::Result {
        let y = top + 18.0;
        writeln!(out, "<text class='title' x='{LEFT}' y='{y:.1}'>{}</text>", escaped(self.title))?;
        let mut x = WIDTH - RIGHT;
        let names = self.layers.iter().filter_map(|layer| match layer {
            Layer::Area(colour, name, _) | Layer::Line(colour, name, _) | Layer::Steps(colour, name, _) => {
                Some((*colour, name))
            }
            Layer::Stack(_) => None,
        });
        for (colour, name) in names.collect::<Vec<_>>().into_iter().rev() {
            writeln!(out, "<text x='{x:.1}' y='{y:.1}' text-anchor='end'>{}</text>", escaped(name))?;
            x -= name.chars().count() as f64 * CHARACTER + 14.0;
            writeln!(out, "<rect class='k c{colour}' x='{x:.1}' y='{:.1}' width='10' height='10' rx='2'/>", y - 9.0)?;
            x -= 14.0;
        }
        Ok(())
    }
}

/// Where numbers are in a plot.
struct Axis {
    top: f64,
    height: f64,
    seconds: f64,
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    fn of(chart: &Chart<'_>, top: f64) -> Axis {
        let (low, high) = match chart.scale {
            Scale::Linear => {
                let most = most(&chart.layers);
                let step = nice(most / TICKS);
                (0.0, if step > 0.0 { (most / step * 1.02).ceil() * step } else { 1.0 })
            }
            Scale::Log => {
                let most = most(&chart.layers).max(1.0);
                (LOG_LOW, 10f64.powf((most * 1.2).log10().ceil()))
            }
        };
        Axis { top, height: chart.height, seconds: chart.seconds.max(0.001), scale: chart.scale, low, high }
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn x(&self, at_s: f64) -> f64 {
        LEFT + (at_s / self.seconds).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        self.bottom() - share.clamp(0.0, 1.0) * self.height
    }

    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut at = self.low;
        let step = nice((self.high - self.low) / TICKS);
        while at <= self.high * 1.000_001 && ticks.len() < 20 {
            ticks.push(at);
            at = match self.scale {
                Scale::Linear => at + step.max(f64::MIN_POSITIVE),
                Scale::Log => at * 10.0,
            };
        }
        ticks
    }

    fn path(&self, points: &[Point]) -> String {
        let mut path = String::new();
        for (at, (second, value)) in points.iter().enumerate() {
            let _ = write!(path, "{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, self.x(*second), self.y(*value));
        }
        path
    }
}

/// The lowest number of a logarithmic axis.
const LOG_LOW: f64 = 0.1;

fn most(layers: &[Layer]) -> f64 {
    let highest = |points: &[Point]| points.iter().map(|at| at.1).filter(|value| value.is_finite()).fold(0.0, f64::max);
    let of = |layer: &Layer| match layer {
        Layer::Area(_, _, points) | Layer::Line(_, _, points) | Layer::Steps(_, _, points) => highest(points),
        Layer::Stack(rows) => {
            let length = rows.iter().map(|(_, row)| row.len()).min().unwrap_or(0);
            let sums = (0..length).map(|at| rows.iter().map(|(_, row)| row[at].1).sum::<f64>());
            sums.filter(|sum| sum.is_finite()).fold(0.0, f64::max)
        }
    };
    layers.iter().map(of).fold(0.0, f64::max)
}

/// 1, 2 or 5 times a power of ten, at least `rough`; 0 for nothing.
fn nice(rough: f64) -> f64 {
    if !(rough > 0.0 && rough.is_finite()) {
        return 0.0;
    }
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999).unwrap_or(power)
}

/// Of each group of points the highest: peaks must stay.
fn thinned(points: &[Point]) -> Vec<Point> {
    let group = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |group: &[Point]| group.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
    points.chunks(group).filter_map(highest).collect()
}

fn steps(points: &[Point], end_s: f64) -> Vec<Point> {
    let mut out: Vec<Point> = Vec::new();
    for (at, value) in points {
        match out.last().copied() {
            Some((_, before)) if before == *value => {}
            Some((_, before)) => out.extend([(*at, before), (*at, *value)]),
            None => out.push((*at, *value)),
        }
    }
    out.extend(out.last().copied().map(|(_, value)| (end_s, value)));
    out
}

/// Text as it may stand in SVG and HTML, also between quotation marks.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!([0.0, 0.03, 1.0, 1.2, 480.0, f64::NAN].map(nice), [0.0, 0.05, 1.0, 2.0, 500.0, 0.0]);
    }

    #[test]
    fn steps_stay_until_they_change() {
        let points = [(0.0, 1.0), (1.0, 1.0), (2.0, 4.0)];
        assert_eq!(steps(&points, 5.0), [(0.0, 1.0), (2.0, 1.0), (2.0, 4.0), (5.0, 4.0)]);
        assert!(steps(&[], 5.0).is_empty());
    }

    #[test]
    fn thinning_keeps_peaks() {
        let points: Vec<Point> = (0..10_000).map(|at| (f64::from(at), if at == 7_777 { 9.0 } else { 1.0 })).collect();
        let few = thinned(&points);
        assert!(few.len() <= POINTS_MAX && few.iter().any(|at| at.1 == 9.0), "{}", few.len());
    }

    #[test]
    fn a_chart_is_well_formed_whatever_is_in_it() {
        for points in [vec![], vec![(0.0, 0.0)], vec![(0.0, 1.0), (1.0, 5.0), (2.0, f64::INFINITY)]] {
            for scale in [Scale::Linear, Scale::Log] {
                let layers = vec![
                    Layer::Area(0, "a<b".to_owned(), points.clone()),
                    Layer::Steps(1, "steps".to_owned(), points.clone()),
                    Layer::Stack(vec![("one".to_owned(), points.clone()), ("two".to_owned(), points.clone())]),
                ];
                let band = Band { name: "stage".to_owned(), from_s: 0.0, to_s: 2.0 };
                let mark = Mark { at_s: 1.0, class: "out", text: "<&'\">".to_owned() };
                let (bands, marks) = (&[band][..], &[mark][..]);
                let unit = |number: f64| number.to_string();
                let chart = Chart { title: "t", height: 100.0, seconds: 2.0, scale, unit, layers, bands, marks };
                let text = chart.elements(0.0);
                assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
                assert!(text.contains("&lt;&amp;&#39;&quot;&gt;"), "{text}");
                assert_eq!(
                    text.matches("<path").count(),
                    text.matches("/>").count() + text.matches("</path>").count() - rects(&text)
                );
            }
        }
    }

    fn rects(text: &str) -> usize {
        text.matches("<rect class='k").count()
    }
}
