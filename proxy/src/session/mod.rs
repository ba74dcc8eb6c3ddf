//! One client's state, and the requests that cut a batch: those the proxy answers, transactions, refusals, and whatever
//! cannot run beside its neighbours.

pub mod caching;
pub mod commands;
pub mod multi;
pub mod remote;
pub mod slices;
pub mod walk;
pub mod watch;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use swell_engine::acl::User;
use swell_engine::admit::{Caller, Denied};
use swell_engine::commands::table::{Command, Found, Table};
use swell_engine::key::KeyHash;
use swell_engine::run::Outcome;
use swell_engine::spec::{Body, Flags, Group, Spec};
use swell_engine::stripe::Ticket;
use swell_engine::track::Tracker;
use swell_engine::walk::Step;
use swell_engine::{Blocks, Call, Context, Db};
use swell_meter::parts::clean_name;
use swell_meter::{Payer, Prefix, Who};
use swell_node::broker::Topic;
use swell_wire::error::Reject;
use swell_wire::out::Mark;
use swell_wire::requests::Kind;
use swell_wire::{Args, Out, OwnedArgs, Proto};

use crate::access::Access;
use crate::access::log::Refused;
use crate::catalog;
use crate::clients::{ClientInfo, Door};
use crate::core::Core;
use crate::error::ProxyError;
use crate::pause;
use crate::plan::value_bytes;
use crate::pubsub::Subscriptions;
use crate::push::Inbox;
use crate::session::walk::Walk;
use crate::shared::{Shared, unix_ms};

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
    /// Close once everything is sent.
    pub closing: bool,
    /// Until when a request that waits may do so, and since when it has: kept while it goes from node to node.
    pub wait: Option<Wait>,
    /// Requests queued since MULTI.
    pub multi: Option<Box<multi::Queue>>,
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
    /// Unix milliseconds.
    pub since_ms: u64,
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

/// Runs one request that cut the batch. `ticket`: drawn when it found a stripe taken before.
pub fn run(
    core: &mut Core,
    session: &mut Session,
    args: Option<Args<'_>>,
    kind: Kind,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    if session.reply == ReplyMode::SkipNext {
        session.reply = ReplyMode::Skip;
    }
    let mark = out.mark();
    let flow = match (args, kind) {
        (_, Kind::Reject(reject)) => refuse(core, session, reject, out),
        (None, _) => Flow::Done,
        (Some(args), Kind::TooLarge(_)) => crate::memcached::too_large(core, session, args, out),
        (Some(args), _) if session.info.door == Door::Memcached && !session.authenticated => {
            crate::memcached::authenticate(core, session, args, out)
        }
        (Some(args), _) => dispatch(core, session, args, ticket, out),
    };
    if matches!(flow, Flow::Done) {
        session.settle_reply(mark, out);
    }
    flow
}

fn refuse(core: &mut Core, session: &mut Session, reject: Reject, out: &mut Out) -> Flow {
    reject.write(out);
    if reject.closes() {
        core.counts.protocol_errors += 1;
        session.closing = true;
    }
    core.counts.error(b"ERR");
    Flow::Done
}

fn dispatch(core: &mut Core, session: &mut Session, args: Args<'_>, ticket: Option<Ticket>, out: &mut Out) -> Flow {
    let command = match session.table().find(args) {
        Found::Command(command) => command,
        Found::Unknown if session.info.door == Door::Memcached => {
            return crate::memcached::unknown(core, session, args, out);
        }
        Found::Unknown if catalog::is_http(args) => {
            tracing::warn!(client = %session.info.addr, "closed a connection that speaks HTTP on the RESP port");
            session.closing = true;
            return Flow::Done;
        }
        // What there is and what not is nobody's business before the password.
        Found::Unknown | Found::UnknownSubcommand(_) if !session.authenticated => {
            return fail(core, session, Denied::Unauthenticated.to_string().as_bytes(), out);
        }
        Found::Unknown => return fail(core, session, &catalog::unknown(args), out),
        Found::UnknownSubcommand(container) => {
            return fail(core, session, &catalog::unknown_subcommand(container, args), out);
        }
    };
    if let Err(denied) = session.caller().admit(command, args) {
        note_denied(core, session, &denied, args);
        return match denied {
            denied if denied.reason().is_some() && session.info.door == Door::Memcached => {
                crate::memcached::deny(core, &denied, out)
            }
            Denied::Arity(_) if command.spec.group == Group::Memcached => {
                crate::memcached::refuse(core, b"ERROR\r\n", out)
            }
            Denied::Arity(_) if command.spec.container() == Some("debug") => {
                fail(core, session, &catalog::unknown_debug(args), out)
            }
            denied if command.spec.name == "exec" => multi::refuse_exec(core, session, &denied.to_string(), out),
            denied => fail(core, session, denied.to_string().as_bytes(), out),
        };
    }
    if session.is_only_subscriber(command.spec) {
        let text = ProxyError::OnlySubscriber(command.spec.name).to_string();
        return match command.spec.name {
            "exec" => multi::refuse_exec(core, session, &text, out),
            _ => fail(core, session, text.as_bytes(), out),
        };
    }
    if session.monitors && (command.spec.flags.has(Flags::WRITE) || command.spec.flags.has(Flags::READONLY)) {
        return fail(core, session, ProxyError::MonitorsOnly.to_string().as_bytes(), out);
    }
    if core.observer.is_pausing
        && let Some(late) = held_back(core, session, command)
    {
        return Flow::Late(late);
    }
    if session.multi.is_some() && multi::queues(command.spec) {
        return multi::queue(core, session, command, args, out);
    }
    let flow = match command.spec.body {
        Body::Session => run_session(core, session, command, args, ticket, out),
        // COMMAND may stand alone.
        Body::Container if command.spec.arity_fits(1) => run_session(core, session, command, args, ticket, out),
        // A container without a subcommand: its arity says that one is missing.
        Body::Container => {
            let denied = Denied::Arity(command.spec.name);
            fail(core, session, denied.to_string().as_bytes(), out)
        }
        Body::Keys(_) | Body::Bulk(_) | Body::Script(_) | Body::Whole(_) | Body::Free(_) | Body::Walk(_) => {
            run_engine(core, session, command, args, ticket, out)
        }
    };
    // What has to be tried again has not run.
    if !matches!(flow, Flow::Late(Late::Stripe(_) | Late::Gate(_))) {
        session.after_command(command.spec);
    }
    flow
}

/// Notes for ACL LOG what a client was not permitted.
pub fn note_denied(core: &Core, session: &Session, denied: &Denied, args: Args<'_>) {
    if let Some(reason) = denied.reason() {
        note_refused(core, session, reason, denied.object(args).into_owned(), session.user.name().to_vec());
    }
}

/// The same for any reason and user.
pub fn note_refused(core: &Core, session: &Session, reason: &'static str, object: Vec<u8>, user: Vec<u8>) {
    let context = if session.multi.is_some() || session.in_exec { "multi" } else { "toplevel" };
    let client = commands::client::line(&session.info, core.now_ms);
    core.shared.access.log.add(Refused { reason, context, object, user }, client, core.now_ms);
}

/// Whether CLIENT PAUSE holds a command back.
#[cold]
fn held_back(core: &Core, session: &Session, command: Command) -> Option<Late> {
    let queued_write = || session.multi.as_ref().is_some_and(|queue| queue.any(pause::may_write));
    let writes = pause::may_write(command.spec) || command.spec.name == "exec" && queued_write();
    let now_ms = unix_ms();
    if core.shared.pause.holding(now_ms).is_none() {
        core.shared.pausing_has_changed();
        return None;
    }
    core.shared.pause.holds(writes, now_ms).then_some(Late::Paused { writes })
}

/// An error reply for a request that did not reach a body; it also spoils a transaction.
pub fn fail(core: &mut Core, session: &mut Session, text: &[u8], out: &mut Out) -> Flow {
    out.error_bytes(text);
    core.counts.error(text.split(|byte| *byte == b' ').next().unwrap_or(b"ERR"));
    if let Some(queue) = &mut session.multi {
        queue.spoil();
    }
    Flow::Done
}

/// Runs a body that the proxy has, and charges for it.
pub fn run_session(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    let Some(body) = commands::body_of(command.id) else {
        return fail(core, session, ProxyError::Internal.to_string().as_bytes(), out);
    };
    let (data_before, flattened) = (out.data_bytes(), command.spec.flatten(args));
    let args = flattened.as_ref().map_or(args, OwnedArgs::as_args);
    session.info.last_command.store(command.id.0, Relaxed);
    session.info.last_active_ms.store(core.now_ms, Relaxed);
    let (mark, errors_before) = (out.len(), core.counts.errors);
    let flow = body(&mut SessionCx { core, session, command, ticket }, args, out);
    // EXEC counts and charges for itself, and each of its requests for its own.
    let is_answered = matches!(flow, Flow::Done | Flow::Late(Late::Sleep(..) | Late::Told(..) | Late::Replicas(..)));
    if is_answered && command.spec.name != "exec" {
        // A body that refuses in memcached's words has counted that already.
        let has_counted = core.counts.errors > errors_before;
        let error = error_at(out, mark).filter(|_| !has_counted);
        if let Some(code) = error {
            core.counts.error(code);
        }
        let bytes_out = out.data_bytes() - data_before;
        let prefix = prefix_of(core, command, args);
        let failed = has_counted || error.is_some();
        core.charge_on(prefix, command, value_bytes(command.spec, args), bytes_out, 1, failed);
    }
    if matches!(flow, Flow::Done) {
        core.saw_alone(session, command, args, (out.len() - mark) as u64);
    }
    flow
}

/// The key prefix of a command that the proxy runs: some look at a key.
fn prefix_of(core: &mut Core, command: Command, args: Args<'_>) -> Prefix {
    let mut first = None;
    // Arguments that make no sense as keys name none.
    let _ = command.spec.each_key(args, |arg| first = first.or(Some(arg)));
    core.meter.prefix_of(|| first.map(|arg| args.slice(arg)))
}

/// The code of the reply written at this offset, if that is an error.
fn error_at(out: &Out, at: usize) -> Option<&[u8]> {
    let error = out.as_contiguous()?.get(at..)?.strip_prefix(b"-")?;
    error.split(|byte| matches!(byte, b' ' | b'\r')).next()
}

/// Counts the error written at this offset: a memcached client's has no sign before it.
#[cold]
pub fn count_error_at(core: &mut Core, out: &Out, at: usize) {
    let Some(line) = out.as_contiguous().and_then(|bytes| bytes.get(at..)) else { return };
    let line = line.strip_prefix(b"-").unwrap_or(line);
    core.counts.error(line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default());
}

/// Runs a request on the node by itself, out of any batch.
pub fn run_engine(
    core: &mut Core,
    session: &mut Session,
    command: Command,
    args: Args<'_>,
    ticket: Option<Ticket>,
    out: &mut Out,
) -> Flow {
    let flattened = command.spec.flatten(args);
    let args = flattened.as_ref().map_or(args, OwnedArgs::as_args);
    let mut keys = Vec::new();
    command.spec.hash_keys(core.handle.engine(), args, &mut keys);
    let call = match session.call(command, args, &keys, core.now_ms) {
        Ok(call) => call,
        Err(denied) => return fail(core, session, denied.to_string().as_bytes(), out),
    };
    if let Body::Free(_) = command.spec.body
        && core.shared.node.broker().is_crowded()
        && !session.is_pressing
    {
        return Flow::Late(Late::Crowded);
    }
    if remote::crosses(core, command.spec, &keys) {
        let prefix = core.prefix_of(args, &keys);
        core.charge_on(prefix, command, value_bytes(command.spec, args), 0, 1, true);
        remote::refuse_crossing(core, command.spec, out);
        return Flow::Done;
    }
    if remote::changes_state(command.spec) && !core.shared.route.is_alone() {
        return remote::swap_databases(core, command, args, out);
    }
    if !core.shared.route.is_direct() {
        session.is_publishing = session.subscriptions.is_some() && matches!(command.spec.body, Body::Free(_));
        return remote::run(core, session, command, args, &keys);
    }
    let (data_before, at, mark) = (out.data_bytes(), out.len(), out.mark());
    if let Some(wait) = session.wait {
        core.handle.waits_since(wait.since_ms);
    }
    let outcome = core.handle.execute(&call, ticket, out);
    core.handle.waits_since(0);
    match outcome {
        Outcome::Done { work, failed } => {
            let bytes_out = out.data_bytes() - data_before;
            let prefix = core.prefix_of(args, &keys);
            core.charge_on(prefix, command, value_bytes(command.spec, args), bytes_out, work, failed);
            if failed {
                count_error_at(core, out, at);
            }
            core.saw_alone(session, command, args, (out.len() - at) as u64);
            Flow::Done
        }
        Outcome::Busy(stripe) => Flow::Late(Late::Stripe(stripe)),
        Outcome::NotExecuted(_, stripe) => Flow::Late(Late::Gate(stripe)),
        Outcome::Walk => walk::begin(core, session, Walk::of(command), args, out),
        Outcome::Deferred => {
            let bytes_out = out.data_bytes() - data_before;
            session.settle_part(mark, out);
            let prefix = core.prefix_of(args, &keys);
            slices::begin(core, command, prefix, value_bytes(command.spec, args), bytes_out)
        }
    }
}

/// Whether a command may run inside MULTI at once instead of being queued, or not at all.
pub fn is_forbidden_in_multi(flags: Flags) -> bool {
    flags.has(Flags::NO_MULTI)
}
