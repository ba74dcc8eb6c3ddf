//! The three lines that greet whoever started Swell: addresses, limits, where to look next.

use std::net::SocketAddr;

use crate::config::Config;
use crate::listen::Addresses;

/// The banner, each line ended.
pub fn text(config: &Config, addresses: &Addresses) -> String {
    let at = |address: Option<SocketAddr>| address.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let http = addresses.http.map_or_else(|| "off".to_owned(), |address| format!("http://{address}"));
    // Who has one node and said nothing about links need not hear of them.
    let is_alone = config.nodes_max == 1 && config.is_default("link");
    let link = addresses.link.as_ref().filter(|_| !is_alone).map(|link| format!(", link {link}")).unwrap_or_default();
    let nodes = match (config.nodes_min, config.nodes_max) {
        (_, 1) => String::new(),
        (min, max) if min == max => format!(", {min} nodes"),
        (min, max) => format!(", {min} to {max} nodes of {}", memory(config.node_memory)),
    };
    format!(
        "Swell {}: RESP {}, memcached {}, HTTP {http}{link}\n\
        Limits: {}, {} when full, {} workers, {} clients, metering {}{nodes}\n{}\n",
        env!("CARGO_PKG_VERSION"),
        at(addresses.resp),
        at(addresses.memcached),
        memory(config.maxmemory),
        config.maxmemory_policy.name(),
        config.workers,
        config.maxclients,
        if config.metering { "on" } else { "off" },
        next(addresses, config.nodes_max > 1),
    )
}

fn memory(bytes: u64) -> String {
    match bytes {
        0 => "no memory limit".to_owned(),
        bytes if bytes < 1 << 30 => format!("{:.1} MiB of memory", bytes as f64 / f64::from(1 << 20)),
        bytes => format!("{:.1} GiB of memory", bytes as f64 / f64::from(1 << 30)),
    }
}

fn next(addresses: &Addresses, with_nodes: bool) -> String {
    let local = |address: SocketAddr| match address.ip().is_unspecified() {
        true => format!("-p {}", address.port()),
        false => format!("-h {} -p {}", address.ip(), address.port()),
    };
    let hints = [
        addresses.resp.map(|address| format!("redis-cli {}", local(address))),
        addresses.http.map(|address| format!("swell bill --http {address}")),
        addresses.link.as_ref().filter(|_| with_nodes).map(|link| format!("swell nodes --link {link}")),
        Some("swell serve --print-config".to_owned()),
    ];
    format!("Next: {}", hints.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn three_lines_with_addresses_limits_and_hints() {
        let config = testing::config(&[]);
        let addresses = Addresses {
            resp: "127.0.0.1:6379".parse().ok(),
            memcached: None,
            http: "[::1]:80".parse().ok(),
            link: Some("unix:/run/x".to_owned()),
        };
        let text = text(&config, &addresses);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with(": RESP 127.0.0.1:6379, memcached off, HTTP http://[::1]:80"), "{text}");
        assert_eq!(lines[1], "Limits: 4.0 GiB of memory, noeviction when full, 4 workers, 10000 clients, metering on");
        assert!(lines[2].contains("redis-cli -h 127.0.0.1 -p 6379; swell bill --http [::1]:80; "), "{text}");
    }

    #[test]
    fn several_nodes_and_their_link_are_told() {
        let config = testing::config(&[("nodes_min", "3")]);
        let addresses = Addresses { resp: None, memcached: None, http: None, link: Some("unix:/run/x".to_owned()) };
        let text = text(&config, &addresses);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with(", HTTP off, link unix:/run/x") && lines[1].ends_with(", 3 nodes"), "{text}");
        assert_eq!(lines[2], "Next: swell nodes --link unix:/run/x; swell serve --print-config");
    }

    #[test]
    fn small_and_missing_limits_are_told() {
        assert_eq!(memory(100 << 20), "100.0 MiB of memory");
        assert_eq!(memory(0), "no memory limit");
    }
}
