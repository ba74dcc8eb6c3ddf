//! CLUSTER: to a client the endpoint it has dialled is one node that serves all slots, however many stand behind it.
//!
//! COUNTKEYSINSLOT and GETKEYSINSLOT look into slots: they are the engine's.

use std::fmt::Write;
use std::net::SocketAddr;

use swell_ring::{SLOTS, slot_of};
use swell_wire::{Args, Out};

use super::{help, pair};
use crate::clients::canonical;
use crate::session::{Flow, SessionCx};

const HELP_LINES: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNTKEYSINSLOT <slot>",
    "    Tell how many keys of the database lie in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    List up to <count> keys of the database that lie in <slot>.",
    "INFO",
    "    Tell the state of the cluster.",
    "KEYSLOT <key>",
    "    Tell which slot <key> lies in.",
    "MYID",
    "    Name the node.",
    "NODES",
    "    List the nodes, a line each. A line is made of:",
    "    <id> <ip:port@bus-port> <flags> <primary> <pings> <pongs> <epoch> <link> <slot> ...",
    "SHARDS",
    "    List the ranges of slots with all that is known of the nodes that serve them.",
    "SLOTS",
    "    List the ranges of slots. A range is made of:",
    "    start, end, then address, port and id of its node",
    "HELP",
    "    Show these lines.",
];

pub fn slots(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let address = dialled(cx);
    out.array(1);
    out.array(3);
    out.int(0);
    out.int(last_slot());
    out.array(4);
    out.bulk(address.ip().to_string().as_bytes());
    out.int(address.port().into());
    out.bulk(cx.core.shared.node_id.as_bytes());
    // Further names of the node: none.
    out.map(0);
    Flow::Done
}

pub fn shards(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let address = dialled(cx);
    let ip = address.ip().to_string();
    out.array(1);
    out.map(2);
    out.bulk(b"slots");
    out.array(2);
    out.int(0);
    out.int(last_slot());
    out.bulk(b"nodes");
    out.array(1);
    out.map(7);
    pair(out, "id", &cx.core.shared.node_id);
    out.bulk(b"port");
    out.int(address.port().into());
    pair(out, "ip", &ip);
    pair(out, "endpoint", &ip);
    pair(out, "role", "master");
    out.bulk(b"replication-offset");
    out.int(0);
    pair(out, "health", "online");
    Flow::Done
}

/// The port of the cluster bus is 0: there is none.
pub fn nodes(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let (id, address) = (&cx.core.shared.node_id, dialled(cx));
    let (ip, port) = (address.ip(), address.port());
    let line = format!("{id} {ip}:{port}@0 myself,master - 0 0 0 connected 0-{}\n", last_slot());
    out.verbatim(line.as_bytes());
    Flow::Done
}

/// The fields of Redis 7.2. Messages are those of the cluster bus.
pub fn info(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    let mut text = "cluster_state:ok\r\n".to_owned();
    for (name, value) in [
        ("cluster_slots_assigned", SLOTS),
        ("cluster_slots_ok", SLOTS),
        ("cluster_slots_pfail", 0),
        ("cluster_slots_fail", 0),
        ("cluster_known_nodes", 1),
        ("cluster_size", 1),
        ("cluster_current_epoch", 0),
        ("cluster_my_epoch", 0),
        ("cluster_stats_messages_sent", 0),
        ("cluster_stats_messages_received", 0),
        ("total_cluster_links_buffer_limit_exceeded", 0),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}:{value}\r\n");
    }
    out.verbatim(text.as_bytes());
    Flow::Done
}

pub fn my_id(cx: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    out.bulk(cx.core.shared.node_id.as_bytes());
    Flow::Done
}

pub fn key_slot(_: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    out.int(slot_of(args.slice(2)).number().into());
    Flow::Done
}

pub fn show_help(_: &mut SessionCx<'_>, _: Args<'_>, out: &mut Out) -> Flow {
    help(HELP_LINES, out)
}

/// Where this client reaches us, so where it will reach us again.
fn dialled(cx: &SessionCx<'_>) -> SocketAddr {
    canonical(cx.session.info.laddr)
}

fn last_slot() -> i64 {
    SLOTS as i64 - 1
}
