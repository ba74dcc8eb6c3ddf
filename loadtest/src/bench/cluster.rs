//! A server's nodes and slots, asked and moved with the server's own commands for people.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::peer::Server;
use super::sys;

/// All slots of a cache.
pub const SLOTS: usize = 16_384;

/// One node, as `nodes --json` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Node {
    pub id: u32,
    pub slots: u32,
    pub stats: Stats,
}

/// Of a node's statistics what the bench looks at.
#[derive(Debug, Clone, Deserialize)]
pub struct Stats {
    /// Most bytes of other sessions' frames that one session's frame stood behind.
    pub behind_bytes_max: u64,
}

/// Which slots a node owns, as `slots --json` lists it.
#[derive(Debug, Clone, Deserialize)]
pub struct Owned {
    pub slots: String,
    pub node: u32,
}

#[derive(Debug, Deserialize)]
struct Map {
    slots: Vec<Owned>,
}

/// What `move --json` says in the end.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Moved {
    pub slots: u32,
    pub slots_total: u32,
    pub keys: u64,
    pub bytes: u64,
    pub seconds: f64,
    pub retries: u32,
    /// Of each group: source Sealed to target Serving, and of it the map's durable write. Microseconds.
    pub groups_us: Vec<[u64; 2]>,
    /// What went wrong last.
    pub note: String,
}

/// The owner of every slot: `None` where nobody has it.
pub type Owners = Vec<Option<u32>>;

/// Waits until there are as many nodes and every slot has an owner.
pub fn wait_whole(server: &Server, nodes_min: usize, patience: Duration) -> Result<Owners> {
    let until = Instant::now() + patience;
    loop {
        let (nodes, owners) = (nodes(server)?.len(), owners(server)?);
        if nodes >= nodes_min && owners.iter().all(Option::is_some) {
            return Ok(owners);
        }
        if Instant::now() > until {
            bail!("{} has {nodes} nodes: the test needs {nodes_min} that own all slots", server.name);
        }
        sys::pause(Duration::from_millis(10))?;
    }
}

/// The nodes, in the order of their numbers.
pub fn nodes(server: &Server) -> Result<Vec<Node>> {
    ask(server, &["nodes", "--json"])
}

/// Who owns which slot.
pub fn owners(server: &Server) -> Result<Owners> {
    let map: Map = ask(server, &["slots", "--json"])?;
    owners_of(&map.slots)
}

/// Who owns which slot, by what `slots --json` printed.
pub fn owners_in(json: &str) -> Result<Owners> {
    let map: Map = serde_json::from_str(json).context("not the slots as JSON")?;
    owners_of(&map.slots)
}

/// Moves slots and waits for the end. Errors, with what the command said, unless all of them have moved.
pub fn move_slots(server: &Server, slots: &[usize], to: u32) -> Result<Moved> {
    ask(server, &["move", &written(slots), &to.to_string(), "--json"])
}

/// Half of all slots, or as many as there are, that `to` does not own yet.
pub fn half_for(owners: &Owners, to: u32) -> Vec<usize> {
    (0..owners.len()).filter(|&slot| owners[slot].is_some_and(|owner| owner != to)).take(SLOTS / 2).collect()
}

/// The node with the fewest slots.
pub fn emptiest(nodes: &[Node]) -> Result<u32> {
    nodes.iter().min_by_key(|node| (node.slots, node.id)).map(|node| node.id).context("there are no nodes")
}

fn ask<T: DeserializeOwned>(server: &Server, arguments: &[&str]) -> Result<T> {
    let what = arguments.first().copied().unwrap_or_default();
    let output = server.command(arguments).output().with_context(|| format!("cannot run {what} of {}", server.name))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{what} of {} failed: {} {}", server.name, why.trim(), said.trim());
    }
    serde_json::from_str(&said).with_context(|| format!("{what} of {} said: {}", server.name, said.trim()))
}

fn owners_of(map: &[Owned]) -> Result<Owners> {
    let mut owners = vec![None; SLOTS];
    for Owned { slots, node } in map {
        for range in slots.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
            let owned = owners.get_mut(first..=last).with_context(|| format!("there are no slots {range}"))?;
            owned.fill(Some(*node));
        }
    }
    Ok(owners)
}

/// Ascending slots as a person writes them, such as `0-63,100`.
fn written(slots: &[usize]) -> String {
    let runs = slots.chunk_by(|left, right| left + 1 == *right);
    let runs = runs.filter_map(|run| match run {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(slots: &str, node: u32) -> Owned {
        Owned { slots: slots.to_owned(), node }
    }

    #[test]
    fn slots_are_read_and_written_as_people_write_them() {
        let owners = owners_of(&[owned("0-2,7,9-9", 1), owned("4-5", 2), owned("", 3)]).expect("a map");
        let of = |node| (0..SLOTS).filter(|&slot| owners[slot] == Some(node)).collect::<Vec<_>>();
        assert_eq!((of(1), of(2), of(3)), (vec![0, 1, 2, 7, 9], vec![4, 5], vec![]));
        assert_eq!(written(&of(1)), "0-2,7,9");
        assert_eq!(written(&[]), "");
        for wrong in ["0-16384", "x", "5-2-1", "-"] {
            assert!(owners_of(&[owned(wrong, 1)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn half_of_the_slots_go_to_the_emptiest_node() {
        let node = |id, slots| Node { id, slots, stats: Stats { behind_bytes_max: 0 } };
        assert_eq!(emptiest(&[node(1, 8_192), node(2, 8_192)]).expect("a node"), 1);
        assert_eq!(emptiest(&[node(1, 16_384), node(2, 0)]).expect("a node"), 2);
        assert!(emptiest(&[]).is_err());
        let owners = owners_of(&[owned("0-99,8192-16383", 1), owned("200-8191", 2)]).expect("a map");
        let half = half_for(&owners, 2);
        assert_eq!((half.len(), half[99], half[100]), (SLOTS / 2, 99, 8_192));
        assert_eq!(half_for(&owners, 1).len(), 8_192 - 200, "no more than there are, and orphans stay");
    }

    #[test]
    fn what_the_commands_print_is_read() {
        let line = r#"{"slots":2,"slots_total":2,"keys":9,"bytes":90,"seconds":0.5,"keys_per_second":18,"retries":1,
            "sealed_us":{"count":1,"p50":7,"p99":7,"max":7},"groups_us":[[7,3]],"note":""}"#;
        let moved: Moved = serde_json::from_str(line).expect("JSON");
        assert_eq!((moved.keys, moved.groups_us[0]), (9, [7, 3]));
        let node: Node =
            serde_json::from_str(r#"{"id":3,"slots":5,"stats":{"keys":1,"behind_bytes_max":2}}"#).expect("JSON");
        assert_eq!((node.id, node.stats.behind_bytes_max), (3, 2));
    }
}
