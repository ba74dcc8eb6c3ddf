//! What one worker keeps: its handle on the node, its buffers, its counters. Used by one thread only.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::commands::table::Command;
use swell_engine::key::KeyHash;
use swell_meter::{Counters, Prefix};
use swell_node::Handle;
use swell_node::link::stats::Counts as FrameCounts;
use swell_ring::{NodeId, Slot};
use swell_wire::limits::Limits;
use swell_wire::requests::Requests;
use swell_wire::{Args, Out, Proto};

use crate::clients::ClientInfo;
use crate::observe::Observer;
use crate::pubsub::Desk;
use crate::push::{Inboxes, Message};
use crate::session::queue::Queue;
use crate::shared::{Shared, random_u64};
use crate::stats::Counts;

/// Bytes read from a socket at once.
pub const READ_BYTES: usize = 64 * 1024;
/// Requests whose memory is asked for before the first of them runs.
pub const GROUP: usize = 32;

/// One request of a batch that the node will run.
#[derive(Clone, Copy)]
pub struct Planned {
    pub command: Command,
    /// Its hashes in [`Core::keys`].
    pub keys_from: u32,
    pub keys_to: u32,
}

/// A worker's own.
pub struct Core {
    pub shared: Arc<Shared>,
    pub handle: Handle,
    pub meter: Counters,
    pub counts: Counts,
    /// What commands are watched for.
    pub observer: Observer,
    /// What was charged for each node's replies since the last report, thousandths of ECPUs: a few nodes, so a list. Not
    /// of the node that is called directly.
    pub charged: Vec<(NodeId, u64)>,
    /// What was run by frames at the node in this process since the last report.
    pub frames: FrameCounts,
    pub requests: Requests,
    pub planned: Vec<Planned>,
    pub keys: Vec<KeyHash>,
    /// A transaction's queue that has run: the next one uses its memory.
    pub spare_queue: Option<Box<Queue>>,
    pub out: Out,
    pub limits: Limits,
    /// Unix milliseconds as of the batch.
    pub now_ms: u64,
    /// Something happened since the last report.
    pub active: bool,
    pub index: usize,
    /// Of those clients of this worker that may get what they have not asked for.
    pub inboxes: Inboxes,
    /// Who of them has subscribed to what.
    pub desk: Desk,
}

impl Core {
    /// For one worker.
    pub fn new(shared: Arc<Shared>, index: usize) -> Core {
        let handle = shared.node.handle(random_u64());
        let mut core = Core {
            handle,
            meter: Counters::with_prefixes(shared.prefix_separator),
            counts: Counts::default(),
            observer: Observer::default(),
            charged: Vec::new(),
            frames: FrameCounts::default(),
            requests: Requests::new(),
            planned: Vec::with_capacity(GROUP),
            keys: Vec::with_capacity(GROUP),
            spare_queue: None,
            out: Out::new(Proto::Resp2),
            limits: Limits::default(),
            now_ms: crate::shared::unix_ms(),
            active: false,
            index,
            inboxes: Inboxes::default(),
            desk: Desk::new(),
            shared,
        };
        core.follow_settings();
        core
    }

    /// Charges one request that ran. Always reached, after an error too. Returns the price in thousandths of an ECPU.
    #[inline]
    pub fn charge(&mut self, command: Command, bytes_in: u64, bytes_out: u64, work: u64, failed: bool) -> u64 {
        match self.shared.metering {
            true => self.meter.charge(&self.shared.tariff, command.id, bytes_in, bytes_out, work, failed),
            false => 0,
        }
    }

    /// The same for a command with keys. `prefix`: of its first key, see [`Core::prefix_of`].
    #[inline]
    pub fn charge_on(
        &mut self,
        prefix: Prefix,
        command: Command,
        bytes_in: u64,
        bytes_out: u64,
        work: u64,
        failed: bool,
    ) -> u64 {
        self.meter.set_prefix(prefix);
        self.charge(command, bytes_in, bytes_out, work, failed)
    }

    /// Under which prefix a command with these keys is charged.
    #[inline]
    pub fn prefix_of(&mut self, args: Args<'_>, keys: &[KeyHash]) -> Prefix {
        self.meter.prefix_of(|| first_key(args, keys))
    }

    /// So much of what was charged was for a node's replies: thousandths of an ECPU. A call for each frame, not for each
    /// request.
    #[inline]
    pub fn charged_for(&mut self, node: NodeId, ecpu_milli: u64) {
        match self.charged.iter_mut().find(|(known, _)| *known == node) {
            Some((_, sum)) => *sum += ecpu_milli,
            None => self.charged.push((node, ecpu_milli)),
        }
    }

    /// The same for whoever owns the slot now: of requests that are rare and large.
    pub fn charged_for_slot(&mut self, slot: Slot, ecpu_milli: u64) {
        if self.shared.route.is_direct() {
            return;
        }
        let owner = self.shared.route.map().owner(slot);
        if let Some(node) = owner {
            self.charged_for(node, ecpu_milli);
        }
    }

    /// Sends a message to a client, wherever it is served. One without an inbox gets nothing.
    pub fn push(&self, client: &ClientInfo, message: &Message) {
        if client.worker.load(Relaxed) != self.index {
            self.shared.push([(client, message.clone())]);
        } else if let Some(inbox) = self.inboxes.get(client.id) {
            inbox.push_message(message);
        }
    }

    /// Messages from other threads have come.
    pub fn take_mail(&self, parcel: Vec<(u64, Message)>) {
        for (id, message) in parcel {
            if let Some(client) = self.shared.clients.get(id) {
                client.mail_bytes.fetch_sub(message.len() as u64, Relaxed);
            }
            if let Some(inbox) = self.inboxes.get(id) {
                inbox.push_message(&message);
            }
        }
    }

    /// Takes over what decoders must respect from the settings, which may have changed.
    pub fn follow_settings(&mut self) {
        let settings = self.shared.node.engine().settings();
        self.limits.bulk_bytes_max = settings.string_bytes_max();
        self.limits.item_bytes_max = settings.item_bytes_max();
    }

    /// Reports everything counted since the last time, also to the node if it is one that this process calls directly.
    pub fn report(&mut self) {
        self.handle.report();
        let usage = self.meter.drain_into(&self.shared.ledger);
        // Over links the nodes count for themselves.
        if self.shared.route.is_direct() {
            self.shared.node.count_direct(usage.calls, usage.work, usage.bytes_in, usage.bytes_out);
            if let Some(local) = self.shared.route.local().filter(|_| usage.ecpu_milli > 0) {
                self.charged_for(local, usage.ecpu_milli);
            }
        }
        self.shared.node.count_frames(&mut self.frames);
        self.shared.charged.add(&mut self.charged);
        self.shared.totals.add(&std::mem::take(&mut self.counts));
        self.shared.watch.collect(&mut self.observer.histograms);
    }
}

/// The first key of a call.
#[inline]
pub fn first_key<'a>(args: Args<'a>, keys: &[KeyHash]) -> Option<&'a [u8]> {
    keys.first().map(|key| args.slice(key.arg as usize))
}
