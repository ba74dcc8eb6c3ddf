//! A report as one page that needs nothing but itself, and as one picture.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::chart::{Band, Chart, Layer, Mark, Point, STYLE, Scale, WIDTH, escaped};
use super::report::{Bar, Report, Verdict, short, thousands};
use super::watch::{Event, Look};

/// Events that the page lists.
const EVENTS_MAX: usize = 200;
/// ECPUs per second are drawn as means over so many seconds.
const RATE_OVER_S: f64 = 2.0;

/// The page.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out, report);
    out
}

/// Nodes, throughput and latency over time, one above the other.
pub fn picture(report: &Report) -> String {
    let (bands, marks) = (bands(report), marks(report));
    let mut charts = vec![requests(report, &bands, &marks), latencies(report, &[], &marks)];
    if !report.looks.is_empty() {
        charts.insert(0, nodes(report, &[], &marks));
    }
    let title = format!("swell loadtest {}: {}", report.scenario, headline(report));
    let mut body = format!("<text class='title' x='16' y='26' style='font-size:15px'>{}</text>\n", escaped(&title));
    let mut top = PICTURE_HEAD;
    for chart in &charts {
        body.push_str(&chart.elements(top));
        top += chart.full_height() + PICTURE_GAP;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {top:.0}' role='img' aria-label='{}'>\n<style>{STYLE}\
        </style>\n<rect width='{WIDTH}' height='{top:.0}' rx='8' style='fill:var(--bg)'/>\n{body}</svg>\n",
        escaped(&title)
    )
}

const PICTURE_HEAD: f64 = 36.0;
const PICTURE_GAP: f64 = 6.0;

fn headline(report: &Report) -> String {
    let nodes = match report.nodes_peak {
        0 => String::new(),
        peak => format!("up to {peak} nodes and back to {}, ", report.nodes_end),
    };
    format!(
        "{nodes}{} requests, {} errors, {} wrong reads",
        thousands(report.tally.requests),
        report.client_errors + report.unknown_outcomes,
        report.wrong_reads
    )
}

fn write_page(out: &mut String, report: &Report) -> std::fmt::Result {
    let title = format!("swell loadtest {}", report.scenario);
    let load = escaped(&report.load);
    let machine = &report.machine;
    let place = format!("{} cores, {}, Linux {}", machine.cores, machine.cpu, machine.kernel);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n\
        <meta name='viewport' content='width=device-width,initial-scale=1'>\n<title>{}</title>\n\
        <style>{STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{}</h1>\n<p>{load}</p>\n\
        <p class='muted'>Swell {}, {}; load, cache and nodes on this one machine</p>\n</header>\n",
        escaped(&title),
        escaped(&title),
        escaped(report.swell),
        escaped(&place)
    )?;
    write_cards(out, report)?;
    write_bars(out, &report.bars)?;
    let (bands, marks) = (bands(report), marks(report));
    let mut charts = vec![requests(report, &bands, &marks), latencies(report, &bands, &marks)];
    if !report.looks.is_empty() {
        charts.push(nodes(report, &bands, &marks));
        charts.push(bytes(report, &bands, &marks));
        charts.push(ecpus(report, &bands, &marks));
        charts.push(cost(report, &bands, &marks));
    }
    for chart in &charts {
        let height = chart.full_height();
        writeln!(
            out,
            "<section class='card'><svg viewBox='0 0 {WIDTH} {height:.0}' role='img' aria-label='{}'>\n{}</svg></section>",
            escaped(chart.title),
            chart.elements(0.0)
        )?;
    }
    write_stages(out, report)?;
    write_errors(out, report)?;
    write_events(out, &report.events)?;
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn write_cards(out: &mut String, report: &Report) -> std::fmt::Result {
    let ms = |ms: f64| if ms > 0.0 { format!("{ms:.2} ms") } else { "–".to_owned() };
    let zero = |count: u64| if count == 0 { "good" } else { "bad" };
    let tally = &report.tally;
    let mut cards = vec![
        ("requests", thousands(tally.requests), ""),
        ("client errors", thousands(report.client_errors), zero(report.client_errors)),
        ("wrong reads", thousands(report.wrong_reads), zero(report.wrong_reads)),
        ("unknown outcomes", thousands(report.unknown_outcomes), zero(report.unknown_outcomes)),
        ("p99 before", ms(report.p99_ms_before), ""),
        ("p99 during, base rate", ms(report.p99_ms_during_base_rate), ""),
        ("p99 after", ms(report.p99_ms_after), ""),
    ];
    if report.p99_ms_control > 0.0 {
        cards.push(("p99 beside an equal hog", ms(report.p99_ms_control), ""));
    }
    if report.nodes_peak > 0 {
        cards.push(("nodes, peak → end", format!("{} → {}", report.nodes_peak, report.nodes_end), ""));
        cards.push(("slots moved", thousands(report.slots_moved), ""));
        cards.push(("ECPUs", thousands(report.ecpu_total as u64), ""));
        cards.push(("cost", format!("${:.6}", report.bill_total), ""));
    }
    if tally.lost_by_kill + tally.errors_by_kill + tally.unknown_by_kill > 0 {
        cards.push(("reads lost by the kill", thousands(tally.lost_by_kill), ""));
        cards.push(("errors by the kill", thousands(tally.errors_by_kill + tally.unknown_by_kill), ""));
    }
    out.push_str("<section class='cards'>\n");
    for (name, value, class) in cards {
        writeln!(out, "<div class='card'><b class='{class}'>{}</b><span>{name}</span></div>", escaped(&value))?;
    }
    out.push_str("</section>\n");
    Ok(())
}

fn write_bars(out: &mut String, bars: &[Bar]) -> std::fmt::Result {
    out.push_str(
        "<section class='card'><h2>Bars</h2><table><tr><th>what</th><th>measured</th><th>bar</th><th></th></tr>\n",
    );
    for bar in bars {
        let class = match bar.verdict {
            Verdict::Met => "good",
            Verdict::Missed => "bad",
            Verdict::NotMeasured => "open",
        };
        writeln!(
            out,
            "<tr><td>{}<br><small>{}</small></td><td class='n'>{}</td><td class='n'>{}</td><td class='{class}'>{}</td></tr>",
            escaped(&bar.what),
            escaped(&bar.note),
            bar.measured.map(short).unwrap_or_else(|| "–".to_owned()),
            escaped(&bar.bound),
            bar.verdict.word()
        )?;
    }
    out.push_str("</table></section>\n");
    Ok(())
}

fn write_stages(out: &mut String, report: &Report) -> std::fmt::Result {
    out.push_str(
        "<section class='card'><h2>Stages</h2><table><tr><th>stage</th><th>seconds</th><th>requests</th><th>p50 ms</th>\
        <th>p99 ms</th><th>p99.9 ms</th><th>worst ms</th></tr>\n",
    );
    for stage in &report.stages {
        let latency = &stage.latency;
        writeln!(
            out,
            "<tr><td>{}</td><td class='n'>{:.1}</td><td class='n'>{}</td><td class='n'>{:.2}</td><td class='n'>{:.2}</td>\
            <td class='n'>{:.2}</td><td class='n'>{:.2}</td></tr>",
            escaped(&stage.name),
            stage.to_s - stage.from_s,
            thousands(latency.requests),
            latency.p50_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.worst_ms
        )?;
    }
    out.push_str("</table></section>\n");
    Ok(())
}

fn write_errors(out: &mut String, report: &Report) -> std::fmt::Result {
    let tally = &report.tally;
    if tally.errors.is_empty() && tally.examples.is_empty() {
        return Ok(());
    }
    out.push_str("<section class='card'><h2>What clients were told</h2><table>\n");
    for (text, count) in &tally.errors {
        writeln!(out, "<tr><td class='n'>{count} ×</td><td>{}</td></tr>", escaped(text))?;
    }
    for example in &tally.examples {
        writeln!(out, "<tr><td class='n'>read</td><td>{}</td></tr>", escaped(example))?;
    }
    out.push_str("</table></section>\n");
    Ok(())
}

fn write_events(out: &mut String, events: &[Event]) -> std::fmt::Result {
    if events.is_empty() {
        return Ok(());
    }
    out.push_str("<section class='card'><h2>Events</h2><table>\n");
    for event in events.iter().take(EVENTS_MAX) {
        let (at_s, kind, text) = (event.at_s, escaped(&event.kind), escaped(&event.text));
        writeln!(out, "<tr><td class='n'>{at_s:.1} s</td><td>{kind}</td><td>{text}</td></tr>")?;
    }
    if events.len() > EVENTS_MAX {
        writeln!(out, "<tr><td></td><td></td><td>and {} more</td></tr>", events.len() - EVENTS_MAX)?;
    }
    out.push_str("</table></section>\n");
    Ok(())
}

const PAGE_STYLE: &str = "
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:16px;margin:0 0 10px}header p{margin:2px 0}.muted,small{color:var(--muted)}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;margin:14px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px;margin:20px 0}
.cards .card{margin:0;padding:12px 14px}.cards b{display:block;font-size:21px;font-variant-numeric:tabular-nums}
.cards span{color:var(--muted);font-size:13px}
.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}
table{border-collapse:collapse;width:100%}th{text-align:left;color:var(--muted);font-weight:500;font-size:13px}
td,th{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
.n{font-variant-numeric:tabular-nums;white-space:nowrap}svg{display:block;width:100%;height:auto}
";

fn requests<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let rate = |second: &crate::verified::record::Second| second.requests as f64 / second.seconds.max(0.001);
    // The last piece of a second is too short for a rate.
    let whole = report.timeline.iter().filter(|second| second.seconds > 0.5);
    let points = whole.map(|second| (second.at_s, rate(second))).collect();
    let errors: Vec<Point> = report
        .timeline
        .iter()
        .map(|second| (second.at_s, (second.client_errors + second.wrong_reads + second.unknown_outcomes) as f64))
        .collect();
    let mut layers = vec![Layer::Area(0, "requests per second".to_owned(), points)];
    if errors.iter().any(|at| at.1 > 0.0) {
        layers.push(Layer::Line(4, "errors".to_owned(), errors));
    }
    chart("Throughput", 150.0, report, Scale::Linear, count, layers, bands, marks)
}

fn latencies<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let of = |value: fn(&crate::verified::record::Second) -> f64| -> Vec<Point> {
        let asked = report.timeline.iter().filter(|second| second.requests > 0);
        asked.map(|second| (second.at_s, value(second) / 1e3)).collect()
    };
    let layers = vec![
        Layer::Line(2, "p50".to_owned(), of(|second| second.p50_us)),
        Layer::Line(1, "p99".to_owned(), of(|second| second.p99_us)),
    ];
    let unit = |ms: f64| format!("{} ms", if ms < 1.0 { format!("{ms:.1}") } else { format!("{ms:.0}") });
    chart("Latency, from the intended time", 150.0, report, Scale::Log, unit, layers, bands, marks)
}

fn nodes<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let of = |count: fn(&Look) -> usize| -> Vec<Point> {
        report.looks.iter().map(|look| (look.at_s, count(look) as f64)).collect()
    };
    let layers = vec![
        Layer::Steps(7, "running".to_owned(), of(Look::nodes_up)),
        Layer::Steps(3, "with slots".to_owned(), of(Look::owners)),
    ];
    chart("Nodes", 110.0, report, Scale::Linear, count, layers, bands, marks)
}

fn bytes<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let ids: BTreeSet<u64> = report.looks.iter().flat_map(|look| look.nodes.iter().map(|node| node.id)).collect();
    let of =
        |look: &Look, id: u64| look.nodes.iter().find(|node| node.id == id).map_or(0, |node| node.used_bytes) as f64;
    let row = |id: u64| report.looks.iter().map(|look| (look.at_s, of(look, id) / f64::from(1 << 20))).collect();
    let rows = ids.into_iter().map(|id| (format!("node {id}"), row(id))).collect();
    let unit = |mebibytes: f64| format!("{} MiB", count(mebibytes));
    let title = "Bytes stored, node by node";
    chart(title, 150.0, report, Scale::Linear, unit, vec![Layer::Stack(rows)], bands, marks)
}

fn ecpus<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let mut points = Vec::new();
    let mut from = 0;
    for look in &report.looks {
        while report.looks[from].at_s < look.at_s - RATE_OVER_S {
            from += 1;
        }
        let before = &report.looks[from];
        if look.at_s > before.at_s {
            points.push((look.at_s, ((look.ecpu_total - before.ecpu_total) / (look.at_s - before.at_s)).max(0.0)));
        }
    }
    let layers = vec![Layer::Area(5, "ECPU/s".to_owned(), points)];
    chart("ECPUs per second", 110.0, report, Scale::Linear, count, layers, bands, marks)
}

fn cost<'a>(report: &Report, bands: &'a [Band], marks: &'a [Mark]) -> Chart<'a> {
    let first = report.looks.first().map_or(0.0, |look| look.bill_total);
    let points = report.looks.iter().map(|look| (look.at_s, (look.bill_total - first).max(0.0))).collect();
    let unit = |dollars: f64| if dollars == 0.0 { "$0".to_owned() } else { format!("${dollars:.5}") };
    let layers = vec![Layer::Area(6, "cost so far".to_owned(), points)];
    chart("Cost", 90.0, report, Scale::Linear, unit, layers, bands, marks)
}

#[allow(clippy::too_many_arguments, reason = "each is another part of the same picture")]
fn chart<'a>(
    title: &'a str,
    height: f64,
    report: &Report,
    scale: Scale,
    unit: fn(f64) -> String,
    layers: Vec<Layer>,
    bands: &'a [Band],
    marks: &'a [Mark],
) -> Chart<'a> {
    Chart { title, height, seconds: report.seconds, scale, unit, layers, bands, marks }
}

fn count(number: f64) -> String {
    if number >= 10.0 || number.fract() == 0.0 { thousands(number as u64) } else { format!("{number:.1}") }
}

fn bands(report: &Report) -> Vec<Band> {
    let band = |stage: &super::report::Stage| Band { name: stage.name.clone(), from_s: stage.from_s, to_s: stage.to_s };
    report.stages.iter().map(band).collect()
}

/// Decisions and losses; every move as well would hide them.
fn marks(report: &Report) -> Vec<Mark> {
    let class = |event: &Event| match event.kind.as_str() {
        "scale-out" => Some("out"),
        "scale-in" => Some("in"),
        "node-lost" | "trouble" => Some("trouble"),
        _ => None,
    };
    let mark = |event: &Event| {
        let text = format!("{:.1} s: {}", event.at_s, event.text);
        class(event).map(|class| Mark { at_s: event.at_s, class, text })
    };
    report.events.iter().filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::{Phase, Stage};
    use super::super::watch::NodeLook;
    use super::*;
    use crate::bench::proc::Machine;
    use crate::verified::record::{Latency, Second, Tally};

    fn report() -> Report {
        let second = |at: u32| Second {
            at_s: f64::from(at),
            seconds: 1.0,
            requests: 5_000,
            p50_us: 200.0,
            p99_us: 900.0,
            ..Second::default()
        };
        let look = |at: u32| Look {
            at_s: f64::from(at),
            nodes: (0..u64::from(at))
                .map(|id| NodeLook { id, slots: 9, used_bytes: 9 << 20, ..NodeLook::default() })
                .collect(),
            ecpu_total: f64::from(at) * 10.0,
            bill_total: f64::from(at) * 1e-5,
            ..Look::default()
        };
        let event = Event { number: 1, at_s: 2.0, kind: "scale-out".into(), text: "<script src=//x>".into() };
        let latency = Latency::default();
        let stage =
            Stage { name: "before".into(), phase: Phase::Before, is_base_rate: true, from_s: 0.0, to_s: 3.0, latency };
        Report {
            scenario: "scale".into(),
            swell: "0.1.0",
            load: "much".into(),
            machine: Machine::read(),
            seconds: 4.0,
            client_errors: 0,
            wrong_reads: 0,
            unknown_outcomes: 0,
            nodes_peak: 4,
            nodes_end: 1,
            p99_ms_before: 1.0,
            p99_ms_during: 2.0,
            p99_ms_after: 1.0,
            p99_ms_during_base_rate: 1.5,
            p99_ms_control: 1.75,
            slots_moved: 8_192,
            keys_moved: 100,
            ecpu_total: 40.0,
            bill_total: 4e-5,
            control_run: None,
            tally: Tally { examples: vec!["<img src=x>".into()], ..Tally::default() },
            bars: vec![Bar::at_most("p99", 1.5, 2.0, "×"), Bar::not_measured("linear", "≥ 0.9", "no cgroups")],
            stages: vec![stage],
            timeline: (1..5).map(second).collect(),
            looks: (1..5).map(look).collect(),
            events: vec![event],
        }
    }

    #[test]
    fn the_page_and_the_picture_need_nothing_from_elsewhere() {
        let report = report();
        let page = html(&report);
        // The name of SVG's namespace is no address that anybody asks.
        let picture = picture(&report).replacen("xmlns='http://www.w3.org/2000/svg'", "", 1);
        for text in [&page, &picture] {
            for reference in
                ["http:", "https:", "src=", "href", "url(", "@import", "<script", "<link", "<img", "<iframe"]
            {
                let found = text
                    .match_indices(reference)
                    .find(|(at, _)| !text[..*at].ends_with("&lt;script ") && !text[..*at].ends_with("&lt;img "));
                assert_eq!(found, None, "{reference}");
            }
            assert!(text.contains("prefers-color-scheme:dark") && !text.contains("NaN"));
        }
        assert!(page.contains("&lt;script src=//x&gt;") && page.contains("not measured"));
        assert!(page.contains("<b class=''>1.75 ms</b><span>p99 beside an equal hog</span>"));
        assert_eq!(page.matches("<svg").count(), 6);
        assert!(picture.starts_with("<svg") && picture.contains("Throughput") && picture.contains("with slots"));
    }

    #[test]
    fn a_report_without_looks_has_a_page_too() {
        let report = Report { looks: Vec::new(), events: Vec::new(), timeline: Vec::new(), ..report() };
        assert_eq!(html(&report).matches("<svg").count(), 2);
        assert!(picture(&report).contains("Latency"));
    }
}
