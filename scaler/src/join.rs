//! Who joins as what: which number a node gets, and when it has it already.

use swell_node::control::{Join, Role, ToMember, Welcome};
use swell_node::handover::driver::Input as Step;
use swell_node::link::socket::Address;
use swell_ring::{Member, NodeId};
use tokio::time::Instant;

use crate::members::LinkId;
use crate::nodes::{Node, Origin, Seen, Who};
use crate::store::{Guest, Record};
use crate::writer::Writer;

/// What a joining node turned out to be.
struct Known {
    origin: Origin,
    /// The number it has already.
    id: Option<NodeId>,
    pid: u32,
    is_pid_certain: bool,
}

impl Writer {
    /// Somebody's first message.
    pub(crate) fn join(&mut self, link: LinkId, join: Join, now: Instant) {
        let role = join.role;
        let joined = match role {
            Role::Node => self.join_node(link, join, now).map(Some),
            Role::Proxy => {
                self.events.news(format!("a proxy has joined (process {})", join.pid));
                self.set_who(link, Who::Proxy(Seen::default()));
                Ok(None)
            }
            Role::Person => {
                self.set_who(link, Who::Person);
                Ok(None)
            }
        };
        match joined {
            Ok(id) => {
                self.welcome(link, id);
                if role == Role::Proxy {
                    self.proxies_have_changed(None, now);
                }
            }
            Err(why) => self.refuse(link, why),
        }
    }

    /// Says why not, and closes.
    pub(crate) fn refuse(&mut self, link: LinkId, why: String) {
        let Some(party) = self.parties.get(&link) else { return };
        tracing::warn!(boot = party.link.boot, why, "refused a member");
        party.link.send(&ToMember::Refused { why });
        party.link.close();
    }

    fn set_who(&mut self, link: LinkId, who: Who) {
        if let Some(party) = self.parties.get_mut(&link) {
            party.who = who;
        }
    }

    fn welcome(&self, link: LinkId, id: Option<NodeId>) {
        let Some(party) = self.parties.get(&link) else { return };
        party.link.send(&ToMember::Welcome(Box::new(Welcome {
            id,
            hash_seed: self.hash_seed,
            virtual_node: self.virtual_node.clone(),
            map: self.kept.map.clone(),
            state: self.kept.state.clone(),
        })));
    }

    /// Its number. On return the map names it, and gives it of the slots that nobody had.
    fn join_node(&mut self, link: LinkId, join: Join, now: Instant) -> Result<NodeId, String> {
        if join.advertise.parse::<Address>().is_err() {
            return Err(format!("a node has to say where it listens, '{}' is no address", join.advertise));
        }
        let known = self.recognise(link, &join)?;
        self.make_room_at(&join, known.id, now)?;
        let (id, records) = self.number(&known, &join);
        self.keep(&records).map_err(|why| format!("its number cannot be made durable: {why}"))?;
        let member = Member { id, address: join.advertise, zone: join.zone };
        let before = self.nodes.remove(&id);
        let mut node = Node::new(member.clone(), known.origin, known.pid, now);
        (node.is_pid_certain, node.has_joined, node.link) = (known.is_pid_certain, true, Some(link));
        let again = if before.as_ref().is_some_and(|node| node.has_joined) { " again" } else { "" };
        if let Some(before) = before {
            (node.is_draining, node.is_leaving, node.stats) = (before.is_draining, before.is_leaving, before.stats);
            if let Some(party) = before.link.and_then(|link| self.parties.get(&link)) {
                party.link.close();
            }
        }
        let zone = if member.zone.is_empty() { "none" } else { &member.zone };
        let message = format!("Added cache node {:04} in availability zone {zone}", id.0);
        let text = format!("node {id} has joined{again}: process {}, {}", known.pid, member.address);
        self.events.of_node(false, "node-joined", id, message, text);
        self.nodes.insert(id, node);
        if let (Origin::Child, Some(provider)) = (known.origin, &mut self.provider) {
            provider.joined(known.pid, id, now);
        }
        self.step(Step::Joined(member), now);
        self.place_orphans(now);
        self.set_who(link, Who::Node(id));
        Ok(id)
    }

    fn recognise(&self, link: LinkId, join: &Join) -> Result<Known, String> {
        if let Some(member) = self.embedded.as_ref().filter(|member| member.address == join.advertise) {
            if join.pid != std::process::id() {
                return Err(format!("{} is the address of the node in the scaler's process", join.advertise));
            }
            return Ok(Known { origin: Origin::Embedded, id: Some(member.id), pid: join.pid, is_pid_certain: true });
        }
        let child = self.provider.as_ref().and_then(|provider| provider.child_at(&join.advertise, join.pid));
        if let Some((pid, id)) = child {
            return Ok(Known { origin: Origin::Child, id, pid, is_pid_certain: true });
        }
        let peer_pid = self.parties.get(&link).and_then(|party| party.link.peer_pid);
        let is_it = |guest: &&Guest| guest.boot == join.boot && join.id.is_none_or(|id| id == guest.id);
        let id = self.kept.guests.iter().find(is_it).map(|guest| guest.id).filter(|id| self.nodes.contains_key(id));
        let (pid, is_pid_certain) = (peer_pid.unwrap_or(join.pid), peer_pid.is_some());
        Ok(Known { origin: Origin::Guest, id, pid, is_pid_certain })
    }

    /// An address has one node. Another one there whose link is lost has made room: it cannot be reached any more.
    fn make_room_at(&mut self, join: &Join, id: Option<NodeId>, now: Instant) -> Result<(), String> {
        let other =
            self.nodes.values().find(|node| node.member.address == join.advertise && Some(node.member.id) != id);
        match other.map(|node| (node.member.id, node.link)) {
            Some((other, Some(_))) => Err(format!("node {other} is at {} already", join.advertise)),
            Some((other, None)) => {
                self.gone(other, "another node is at its address now", now);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Its number, and what has to be kept of it.
    fn number(&self, known: &Known, join: &Join) -> (NodeId, Vec<Record>) {
        let mut records = Vec::new();
        let id = known.id.unwrap_or_else(|| {
            records.push(Record::NextNode(self.kept.next_node + 1));
            NodeId(self.kept.next_node)
        });
        let guest = Guest { id, boot: join.boot.clone(), pid: known.pid };
        if known.origin == Origin::Guest && !self.kept.guests.contains(&guest) {
            records.push(Record::Guest(guest));
        }
        (id, records)
    }
}
