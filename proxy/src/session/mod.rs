//! One client's state, and the requests that cut a batch: those the proxy answers, transactions, refusals, and whatever
//! cannot run beside its neighbours.

pub mod caching;
pub mod commands;
mod dispatch;
pub mod multi;
pub mod queue;
pub mod remote;
pub mod scripts;
pub mod slices;
pub mod unit;
pub mod walk;
pub mod watch;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::acl::User;
use swell_engine::admit::{Caller, Denied};
use swell_engine::commands::table::{Command, Table};
use swell_engine::key::KeyHash;
use swell_engine::spec::Spec;
use swell_engine::stripe::Ticket;
use swell_engine::track::Tracker;
use swell_engine::walk::Step;
use swell_engine::{Blocks, Call, Context, Db};
use swell_meter::parts::clean_name;
use swell_meter::{Payer, Who};
use swell_node::broker::Topic;
use swell_wire::out::Mark;
use swell_wire::{Args, Out, Proto};

use crate::access::Access;
use crate::catalog;
use crate::clients::{ClientInfo, Door};
use crate::core::Core;
use crate::others::Answers;
use crate::pubsub::Subscriptions;
use crate::push::Inbox;
use crate::shared::Shared;

pub use dispatch::{
    count_error_at, fail, is_forbidden_in_multi, note_denied, note_refused, queue_plain, run, run_engine, run_session,
};

/// Which replies a client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// Not the next one.
    SkipNext,
    /// Not this one.
    Skip,
}

/// One client's state.
#[derive(Debug)]
pub struct Session {
    pub info: Arc<ClientInfo>,
    pub db: Db,
    pub proto: Proto,
    /// Whether it may speak: it has authenticated, or the default user needs no password.
    pub authenticated: bool,
    /// Who it is; until it has said so, the default user.
    user: Arc<User>,
    /// Whether it has authenticated, or was let in without.
    is_known: bool,
    /// Nothing is forbidden.
    is_trusted: bool,
    /// When it looked its user up last.
    users_generation: u64,
    pub reply: ReplyMode,
    pub no_touch: bool,
    /// What the node has to know of its client-side caching.
    tracker: Tracker,
    copies: caching::Copies,
    /// EXEC is running: no answer may be late.
    pub in_exec: bool,
    /// It is shown every command (MONITOR).
    pub monitors: bool,
    /// The nodes' figures were just asked for.
    pub is_informed: bool,
    /// What the cache's other proxies have answered, while the request runs that asked them.
    pub told: Option<Answers>,
    /// Close once everything is sent.
    pub closing: bool,
    /// Until when a request that waits may do so, and since when it has: kept while it goes from node to node.
    pub wait: Option<Wait>,
    /// Requests queued since MULTI.
    pub multi: Option<Box<queue::Queue>>,
    /// The condition of the next transaction.
    pub watch: Option<watch::Watch>,
    /// How often it began to watch keys over a link.
    pub watches: u64,
    /// Who is charged: under the name that it gave itself, else its address.
    payer: Payer,
    /// What it is sent without having asked; most clients never are.
    pub inbox: Option<Rc<Inbox>>,
    /// What it has subscribed to, if anything.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// What the request at hand has written is no reply, but goes out whatever CLIENT REPLY says.
    pub is_pushing: bool,
    /// EXEC has subscribed it to something: its answer waits until all nodes know.
    pub is_telling: bool,
    /// It has waited long enough for those who are behind.
    pub is_pressing: bool,
    /// What it publishes is under way to another process: its own messages wait for the reply.
    pub is_publishing: bool,
}

/// A request's wait for what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Unix milliseconds; nothing: for ever.
    pub deadline_ms: Option<u64>,
    /// Unix microseconds.
    pub since_us: u64,
}

/// What a request that cut the batch leads to.
pub enum Flow {
    /// Its reply is written.
    Done,
    /// Its answer comes later; the request and all behind it wait.
    Late(Late),
}

/// Why an answer is late.
pub enum Late {
    /// A stripe is taken: draw a ticket there.
    Stripe(usize),
    /// A gate of this stripe is closed.
    Gate(usize),
    /// A walk over the key space goes on.
    Walk(Box<walk::Walking>, Step),
    /// It is a transaction that runs; others first.
    Unit(Box<unit::Executing>),
    /// Its reply is long, and comes a slice at a time.
    Slices(Box<slices::Answering>),
    /// Its answer comes from other processes.
    Remote(Box<remote::Remote>),
    /// CLIENT PAUSE holds it back. `writes`: it may write.
    Paused { writes: bool },
    /// This is the answer, once all nodes know what the client has subscribed to (up to this change).
    Told(u64, Out),
    /// Those whom a message is for are far behind: it is published a little later.
    Crowded,
    /// The command itself takes this long (`DEBUG SLEEP`), and then this is the answer.
    Sleep(std::time::Duration, Out),
    /// It waits at the node in this process for what is not there.
    Blocked(Box<slices::Answering>),
    /// It waits for replicas that there are not; then this is the answer.
    Replicas(Wait, Out),
}

impl Session {
    /// A new client's.
    pub fn new(info: Arc<ClientInfo>, access: &Access) -> Session {
        let db = Db::default();
        let payer = Payer::new(who(&info), db.number());
        let users_generation = access.generation();
        let user = access.users().default_user().clone();
        let is_open = user.is_open();
        Session {
            info,
            payer,
            db,
            proto: Proto::Resp2,
            authenticated: is_open,
            is_trusted: is_open && user.is_unrestricted(),
            user,
            is_known: is_open,
            users_generation,
            reply: ReplyMode::On,
            no_touch: false,
            tracker: Tracker::default(),
            copies: caching::Copies::default(),
            in_exec: false,
            monitors: false,
            is_informed: false,
            told: None,
            closing: false,
            wait: None,
            multi: None,
            watch: None,
            watches: 0,
            inbox: None,
            subscriptions: None,
            is_pushing: false,
            is_telling: false,
            is_pressing: false,
            is_publishing: false,
        }
    }

    /// The commands its door knows.
    #[inline]
    pub fn table(&self) -> &'static Table {
        match self.info.door {
            Door::Resp => catalog::resp(),
            Door::Memcached => catalog::memcached(),
        }
    }

    /// Who it is, as far as permission goes.
    #[inline]
    pub fn caller(&self) -> Caller<'_> {
        self.caller_in(self.db)
    }

    /// The same in another database than the session's.
    #[inline]
    pub fn caller_in(&self, db: Db) -> Caller<'_> {
        match self.is_trusted {
            true => Caller::trusted(),
            false => Caller::new(&self.user, self.authenticated, db),
        }
    }

    /// Whether nothing is forbidden to it.
    #[inline]
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// Who it is.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// It has authenticated as this user.
    pub fn log_in(&mut self, user: Arc<User>) {
        (self.user, self.is_known, self.authenticated) = (user, true, true);
        self.is_trusted = self.user.is_unrestricted();
        self.info.set_user(self.user.clone());
        self.renamed();
    }

    /// Takes over what has changed about its user. For each group of requests.
    #[inline]
    pub fn follow_users(&mut self, access: &Access) {
        if self.users_generation != access.generation() {
            self.look_up_user(access);
        }
    }

    /// A client whose user is gone ends.
    #[cold]
    #[inline(never)]
    fn look_up_user(&mut self, access: &Access) {
        self.users_generation = access.generation();
        let users = access.users();
        let is_open = users.default_user().is_open();
        let user = match users.get(self.user.name()) {
            Some(user) if self.is_known => user,
            None if self.is_known => {
                self.is_known = false;
                self.closing = true;
                users.default_user()
            }
            _ => users.default_user(),
        };
        self.user = user.clone();
        self.authenticated = (self.is_known || is_open) && !self.closing;
        self.is_trusted = self.authenticated && self.user.is_unrestricted();
        self.info.set_user(self.user.clone());
    }

    /// Whether every request of it cuts the batch.
    #[inline]
    pub fn cuts(&self) -> bool {
        self.multi.is_some()
            || self.reply != ReplyMode::On
            || self.closing
            || self.subscriptions.is_some()
            || self.monitors
            || self.copies.is_pending()
    }

    /// Names that it has subscribed to.
    pub fn subscriptions_len(&self) -> usize {
        let all = self.subscriptions.as_ref();
        all.map_or(0, |all| all.count(Topic::Channel) + all.count(Topic::Shard))
    }

    /// Whether it may not call this now: over RESP2 a subscriber could not tell replies from messages.
    fn is_only_subscriber(&self, spec: &Spec) -> bool {
        const ALLOWED: [&str; 9] = [
            "ping",
            "psubscribe",
            "punsubscribe",
            "quit",
            "reset",
            "ssubscribe",
            "subscribe",
            "sunsubscribe",
            "unsubscribe",
        ];
        self.subscriptions.is_some() && self.proto == Proto::Resp2 && !ALLOWED.contains(&spec.name)
    }

    /// A call of this client, if it may make it.
    ///
    /// # Errors
    /// [`Denied`]: what the client may not do, or the wrong number of arguments.
    #[inline]
    pub fn call<'a>(
        &self,
        command: Command,
        args: Args<'a>,
        keys: &'a [KeyHash],
        now_ms: u64,
    ) -> Result<Call<'a>, Denied> {
        let context = Context { blocks: Blocks::May, ..self.context(self.db, now_ms) };
        Ok(self.caller_in(self.db).admit(command, args)?.call(keys, context))
    }

    /// As [`Session::call`], in another database than the session's, and part of a unit, where nothing waits.
    #[inline]
    pub fn call_in<'a>(
        &self,
        db: Db,
        command: Command,
        args: Args<'a>,
        keys: &'a [KeyHash],
        now_ms: u64,
    ) -> Result<Call<'a>, Denied> {
        Ok(self.caller_in(db).admit(command, args)?.call(keys, self.context(db, now_ms)))
    }

    #[inline]
    fn context(&self, db: Db, now_ms: u64) -> Context {
        let Session { proto, no_touch, tracker, .. } = *self;
        Context { db, proto, no_touch, tracker, blocks: Blocks::Never, now_ms }
    }

    /// It is shown no more commands.
    pub fn stop_monitoring(&mut self, shared: &Shared) {
        if std::mem::take(&mut self.monitors) && shared.watch.monitors.remove(&self.info) {
            shared.watch.changed();
        }
    }

    /// Back to what a new connection is (RESET); its id stays, and what its library is called.
    pub fn reset(&mut self, access: &Access) {
        self.db = Db::default();
        self.proto = Proto::Resp2;
        let user = access.users().default_user().clone();
        (self.is_known, self.authenticated) = (user.is_open(), user.is_open());
        self.is_trusted = self.authenticated && user.is_unrestricted();
        self.info.set_user(user.clone());
        self.user = user;
        self.reply = ReplyMode::On;
        self.no_touch = false;
        self.multi = None;
        self.watch = None;
        self.info.no_evict.store(false, Relaxed);
        self.info.names().name.clear();
        self.renamed();
        self.show();
    }

    /// Charges this client from now on, in the database that it uses: at the beginning of what runs for it, and after
    /// every request that may have changed either.
    #[inline]
    pub fn pays(&mut self, core: &mut Core) {
        self.follow_users(&core.shared.access);
        self.pays_in(core, self.db);
    }

    /// The same in another database than the session's.
    #[inline]
    pub fn pays_in(&mut self, core: &mut Core, db: Db) {
        if self.payer.db() != db.number() {
            self.payer = self.payer.in_db(db.number());
        }
        core.meter.set_payer(&mut self.payer);
    }

    /// Who is charged, as of the last [`Session::pays`].
    #[inline]
    pub fn payer(&self) -> &Payer {
        &self.payer
    }

    /// Its client has another name now.
    pub fn renamed(&mut self) {
        self.payer = Payer::new(who(&self.info), self.db.number());
    }

    /// What it is sent without having asked goes here from now on.
    pub fn open_inbox(&mut self, core: &mut Core) -> &Rc<Inbox> {
        let open = || core.inboxes.open(self.info.id, &core.shared, self.proto);
        self.inbox.get_or_insert_with(open)
    }

    /// Moves what it was sent without having asked to the end of `out`: between two replies only.
    #[inline]
    pub fn take_pushes(&self, out: &mut Out) {
        if let Some(inbox) = self.inbox.as_ref().filter(|inbox| !inbox.is_empty()) {
            inbox.take(out);
        }
    }

    /// Takes back what was written since `mark` if the client does not want it (CLIENT REPLY). Once for each request.
    pub fn settle_reply(&mut self, mark: Mark, out: &mut Out) {
        if std::mem::take(&mut self.is_pushing) {
            if self.reply == ReplyMode::Skip {
                self.reply = ReplyMode::On;
            }
            return;
        }
        match self.reply {
            ReplyMode::On | ReplyMode::SkipNext => {}
            ReplyMode::Off => out.truncate(mark),
            ReplyMode::Skip => {
                out.truncate(mark);
                self.reply = ReplyMode::On;
            }
        }
    }

    /// Takes back a part of a reply that is not complete yet, if the client does not want it.
    pub fn settle_part(&self, mark: Mark, out: &mut Out) {
        if matches!(self.reply, ReplyMode::Off | ReplyMode::Skip) {
            out.truncate(mark);
        }
    }

    /// Copies what CLIENT LIST shows.
    pub fn show(&self) {
        self.info.db.store(self.db.number(), Relaxed);
        self.info.resp.store(if self.proto == Proto::Resp3 { 3 } else { 2 }, Relaxed);
        self.info.no_touch.store(self.no_touch, Relaxed);
        if let Some(inbox) = &self.inbox {
            inbox.set_proto(self.proto);
        }
        self.info.multi.store(self.multi.as_ref().map_or(-1, |queue| queue.len() as i64), Relaxed);
        self.info.watch.store(self.watch.as_ref().map_or(0, watch::Watch::key_count) as u64, Relaxed);
    }
}

/// A client that gives itself no name is called by its address, without the port.
fn who(info: &ClientInfo) -> Who {
    let name = info.names().name.clone();
    let client = if name.is_empty() { info.addr.ip().to_canonical().to_string() } else { clean_name(name.as_bytes()) };
    Who { user: clean_name(info.user().name()), client }
}

/// What a session command's body works with.
pub struct SessionCx<'a> {
    pub core: &'a mut Core,
    pub session: &'a mut Session,
    pub command: Command,
    /// Drawn when it found a stripe taken before (EXEC).
    pub ticket: Option<Ticket>,
}

impl SessionCx<'_> {
    /// Whether the figures of nodes in other processes are fresh; those of this process always are. Inside a transaction
    /// the last ones must do.
    pub fn is_informed(&self) -> bool {
        self.core.shared.route.is_direct() || self.session.is_informed || self.session.in_exec
    }
}
