//! What people read of nodes, slots and events: aligned columns, sizes and times in words.

use swell_node::control::{Event, NodeLine, Status};
use swell_ring::{SLOTS, SlotMap};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Which way a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// `swell nodes`: one line for each node.
pub fn nodes(lines: &[NodeLine]) -> String {
    use Side::{Left, Right};
    let head = [
        ("node", Right),
        ("state", Left),
        ("slots", Right),
        ("keys", Right),
        ("used", Right),
        ("resident", Right),
        ("requests", Right),
        ("CPU", Right),
        ("late", Right),
        ("zone", Left),
        ("pid", Right),
        ("address", Left),
    ];
    let rows = lines.iter().map(|line| {
        vec![
            line.id.to_string(),
            line.state.clone(),
            line.slots.to_string(),
            line.stats.keys.to_string(),
            bytes(line.stats.used_bytes),
            bytes(line.stats.resident_bytes),
            line.stats.requests.to_string(),
            format!("{:.1} s", line.stats.cpu_us as f64 / 1e6),
            millis(line.stats.loop_delay_us),
            if line.zone.is_empty() { "-".to_owned() } else { line.zone.clone() },
            line.pid.to_string(),
            line.address.clone(),
        ]
    });
    aligned(&head, rows.collect())
}

/// `swell slots`: the epoch, then one line for each node with its slots, then the slots that nobody owns.
pub fn slots(map: &SlotMap) -> String {
    use Side::{Left, Right};
    let head = [("node", Right), ("count", Right), ("share", Right), ("slots", Left)];
    let share = |count: usize| format!("{:.1} %", count as f64 * 100.0 / SLOTS as f64);
    let mut owners: Vec<_> = map.nodes().iter().map(|node| (node.id, map.slots_of(node.id))).collect();
    owners.sort_by_key(|(id, _)| *id);
    let mut rows: Vec<Vec<String>> = owners
        .iter()
        .map(|(id, set)| vec![id.to_string(), set.len().to_string(), share(set.len()), or_dash(set.to_string())])
        .collect();
    let orphans = map.orphans();
    if !orphans.is_empty() {
        rows.push(vec!["nobody".to_owned(), orphans.len().to_string(), share(orphans.len()), orphans.to_string()]);
    }
    format!("epoch {}\n{}", map.epoch(), aligned(&head, rows))
}

/// One line of `swell events`.
pub fn event(event: &Event) -> String {
    format!("{}  {}\n", time(event.at_ms), event.text)
}

/// `swell scale`: what it is set to, what it did last, and what each node does.
pub fn scaling(status: &Status) -> String {
    use Side::{Left, Right};
    let scaling = &status.scaling;
    let head = [("node", Right), ("state", Left), ("slots", Right), ("used", Right), ("busy", Right)];
    let head = [&head[..], &[("network/s", Right), ("ECPU/s", Right), ("late", Right)]].concat();
    let rows = status.nodes.iter().map(|node| {
        vec![
            node.line.id.to_string(),
            node.line.state.clone(),
            node.line.slots.to_string(),
            bytes(node.line.stats.used_bytes),
            format!("{:.0} %", node.busy_share * 100.0),
            bytes(node.network_bytes_per_second as u64),
            format!("{:.0}", node.ecpu_per_second),
            millis(node.line.stats.loop_delay_us),
        ]
    });
    let configured = match scaling.mode == scaling.configured_mode {
        true => String::new(),
        false => format!(" (asked for; configured: {})", scaling.configured_mode.name()),
    };
    let last = scaling.last_decision.as_ref().map_or_else(|| "none\n".to_owned(), event);
    format!(
        "scaling {}{configured}, {} to {} nodes of {}, {} starting, {} slots moving, {} slots and {} keys moved so far\n\
        last decision: {last}{}",
        scaling.mode.name(),
        scaling.nodes_min,
        scaling.nodes_max,
        bytes(scaling.node_memory_bytes),
        scaling.nodes_starting,
        status.slots_moving,
        status.slots_moved_total,
        status.keys_moved_total,
        aligned(&head, rows.collect()),
    )
}

/// A size for people.
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, bits)| bytes >> bits > 0) {
        Some((unit, bits)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << bits) as f64),
        None => format!("{bytes} B"),
    }
}

/// Microseconds, shown as milliseconds.
pub fn millis(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}

/// A time in UTC, such as `2026-03-01 23:59:59.123`.
fn time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3600, seconds % 3600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}", unix_ms % 1000)
}

/// The day that is so many days after 1970-01-01, counted year by year and month by month.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // 400 years always have the same number of days, so that the loop below is short for any input.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn aligned(head: &[(&str, Side)], rows: Vec<Vec<String>>) -> String {
    let titles = head.iter().map(|(title, _)| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(head).zip(&widths).map(|((cell, (_, side)), width)| match side {
            Side::Left => format!("{cell:width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use swell_node::control::NodeStats;
    use swell_ring::{Epoch, Member, NodeId, SlotSet};

    use super::*;

    fn member(id: u32) -> Member {
        Member { id: NodeId(id), address: format!("unix:/n{id}"), zone: String::new() }
    }

    #[test]
    fn nodes_are_aligned_with_units() {
        let stats = NodeStats {
            keys: 1_000_000,
            used_bytes: 3 << 30,
            resident_bytes: 1536,
            requests: 12,
            cpu_us: 1_250_000,
            loop_delay_us: 340,
            ..NodeStats::default()
        };
        let line = |id, state: &str, slots, stats| NodeLine {
            id: NodeId(id),
            address: format!("unix:/n{id}"),
            zone: if id == 1 { "a".to_owned() } else { String::new() },
            pid: 40 + id,
            state: state.to_owned(),
            slots,
            stats,
        };
        let text = nodes(&[line(1, "serving", 16384, stats), line(12, "empty", 0, NodeStats::default())]);
        let expected = "\
            node  state    slots     keys     used  resident  requests    CPU     late  zone  pid  address\n   \
               1  serving  16384  1000000  3.0 GiB   1.5 KiB        12  1.2 s  0.34 ms  a      41  unix:/n1\n  \
              12  empty        0        0      0 B       0 B         0  0.0 s  0.00 ms  -      52  unix:/n12\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn slots_are_ranges_by_node_and_those_of_nobody_are_told() {
        let half: SlotSet = "0-99,8192-16383".parse().expect("they are slots");
        let map = SlotMap::single(Epoch(1), member(2)).with_member(member(1)).assigned(&half, NodeId(1));
        let expected = "epoch 2\nnode  count   share  slots\n   1   8292  50.6 %  0-99,8192-16383\n   \
                        2   8092  49.4 %  100-8191\n";
        assert_eq!(slots(&map), expected);
        let text = slots(&map.without_member(NodeId(2)));
        assert!(text.ends_with("nobody   8092  49.4 %  100-8191\n"), "{text}");
        assert_eq!(slots(&SlotMap::empty().with_member(member(3))).lines().nth(2), Some("     3      0    0.0 %  -"));
    }

    #[test]
    fn times_are_dates() {
        for (at, shown) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (951_868_799_999, "2000-02-29 23:59:59.999"),
            (951_868_800_000, "2000-03-01 00:00:00.000"),
            (1_767_225_599_001, "2025-12-31 23:59:59.001"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000"),
            (12_622_780_800_000, "2370-01-01 00:00:00.000"),
        ] {
            assert_eq!(time(at), shown);
        }
        let happened = Event { number: 1, at_ms: 1000, text: "node 1 is gone".to_owned(), ..Event::default() };
        assert_eq!(event(&happened), "1970-01-01 00:00:01.000  node 1 is gone\n");
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        assert_eq!([0, 1023, 1024, 5 << 20].map(bytes), ["0 B", "1023 B", "1.0 KiB", "5.0 MiB"]);
    }
}
