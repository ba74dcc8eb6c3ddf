//! One worker's ways to the nodes: a link to each, and which client's frames are whose.

pub mod encode;
pub mod flights;
pub mod job;
pub mod link;
pub mod merge;
pub mod reply;
pub mod retry;
pub mod run;
pub mod shot;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use swell_node::link::frame::RequestHead;
use swell_ring::{NodeId, Slot, SlotMap};

use crate::route::Route;
use crate::upstream::flights::Flights;
use crate::upstream::link::{Link, Upstream};
use crate::upstream::shot::Target;

/// Sessions of one worker at once; more clients than that wait for none: they are refused by `maxclients` first.
pub const SESSIONS_MAX: usize = 1 << 20;

/// The number under which the proxy itself waits for changes: no client has it.
pub const NOBODY: u32 = u32::MAX;

/// The number under which the worker's desk for channels waits for changes.
pub const THE_DESK: u32 = u32::MAX - 1;

/// The links by owner, for one slot map.
pub struct Lines {
    map: Arc<SlotMap>,
    /// In the order of the map's nodes.
    links: Vec<Rc<Link>>,
    /// Links with a frame that is being filled, by the client whose batch is being sent.
    open: RefCell<Vec<Rc<Link>>>,
}

/// All links of one worker, and its clients' numbers on them.
pub struct Upstreams {
    lines: RefCell<Rc<Lines>>,
    sessions: RefCell<Vec<Seat>>,
    free: RefCell<Vec<u32>>,
    /// Clients that wait for a newer map, state or link, by their numbers.
    waiting: RefCell<HashMap<u32, Waker>>,
}

/// A client's number, taken or free.
enum Seat {
    Taken(Rc<RefCell<Flights>>),
    /// Where the frames' numbers go on.
    Free(u32),
}

impl Lines {
    fn empty() -> Lines {
        Lines { map: Arc::new(SlotMap::empty()), links: Vec::new(), open: RefCell::default() }
    }

    /// The map they are for.
    pub fn map(&self) -> &Arc<SlotMap> {
        &self.map
    }

    /// The way to a slot's owner, if there is one and it can be reached now.
    #[inline]
    pub fn link_of(&self, slot: Slot) -> Option<&Rc<Link>> {
        self.links.get(self.map.owner_index(slot)?).filter(|link| link.is_up())
    }

    /// The way to a node, if it can be reached now.
    pub fn link_to(&self, target: Target) -> Option<&Rc<Link>> {
        match target {
            Target::Slot(slot) => self.link_of(slot),
            Target::Node(node) => self.links.iter().find(|link| link.node() == node && link.is_up()),
        }
    }

    /// All of them.
    pub fn links(&self) -> &[Rc<Link>] {
        &self.links
    }

    /// A frame was begun on this link.
    #[inline]
    pub(crate) fn note_open(&self, link: &Rc<Link>) {
        self.open.borrow_mut().push(link.clone());
    }

    /// Ends the frame that is being filled on this link.
    pub(crate) fn close_frame(&self, link: &Rc<Link>) {
        self.open.borrow_mut().retain(|open| !Rc::ptr_eq(open, link));
        link.end_frame();
    }

    /// Ends all frames that are being filled.
    #[inline]
    pub(crate) fn close_frames(&self, mut each: impl FnMut(&Rc<Link>)) {
        for link in self.open.borrow_mut().drain(..) {
            link.end_frame();
            each(&link);
        }
    }
}

impl Default for Upstreams {
    fn default() -> Upstreams {
        Upstreams {
            lines: RefCell::new(Rc::new(Lines::empty())),
            sessions: RefCell::default(),
            free: RefCell::default(),
            waiting: RefCell::default(),
        }
    }
}

impl Upstreams {
    /// The links of the newest map. `begin` is called for each new one: it has to be connected.
    pub fn lines(&self, route: &Route, begin: impl FnMut(&Rc<Link>)) -> Rc<Lines> {
        let lines = self.lines.borrow().clone();
        if lines.map.epoch() == route.map().epoch() { lines } else { self.renew(route, begin) }
    }

    #[cold]
    fn renew(&self, route: &Route, mut begin: impl FnMut(&Rc<Link>)) -> Rc<Lines> {
        let old = self.lines.borrow().clone();
        let map = Arc::clone(&route.map());
        let links = map.nodes().iter().map(|member| {
            let known = old.links.iter().find(|link| link.node() == member.id && link.address() == member.address);
            known.cloned().unwrap_or_else(|| {
                let is_here = route.local() == Some(member.id);
                let upstream = if is_here { Upstream::Embedded } else { Upstream::Link };
                let link = Rc::new(Link::new(member.id, member.address.clone(), upstream));
                begin(&link);
                link
            })
        });
        let lines = Rc::new(Lines { links: links.collect(), map, open: RefCell::default() });
        let is_gone = |link: &&Rc<Link>| !lines.links.iter().any(|kept| Rc::ptr_eq(kept, link));
        old.links.iter().filter(is_gone).for_each(|link| link.retire());
        *self.lines.borrow_mut() = lines.clone();
        lines
    }

    /// A number for a client that sends to nodes for the first time.
    pub fn take_seat(&self) -> Rc<RefCell<Flights>> {
        let mut sessions = self.sessions.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or(sessions.len() as u32);
        let next_frame = match sessions.get(number as usize) {
            Some(Seat::Free(next_frame)) => *next_frame,
            _ => 0,
        };
        let flights = Rc::new(RefCell::new(Flights::new(number, next_frame)));
        let seat = Seat::Taken(flights.clone());
        match sessions.get_mut(number as usize) {
            Some(place) => *place = seat,
            None => sessions.push(seat),
        }
        flights
    }

    /// The client has gone: its nodes forget it.
    pub fn leave_seat(&self, flights: &Rc<RefCell<Flights>>) {
        let (number, next_frame) = (flights.borrow().session(), flights.borrow().next_frame());
        self.waiting.borrow_mut().remove(&number);
        if let Some(seat) = self.sessions.borrow_mut().get_mut(number as usize) {
            *seat = Seat::Free(next_frame);
        }
        self.free.borrow_mut().push(number);
        self.lines.borrow().links.iter().for_each(|link| link.close_session(number));
    }

    /// Whose number this is.
    #[inline]
    pub fn seat(&self, session: u32) -> Option<Rc<RefCell<Flights>>> {
        match self.sessions.borrow().get(session as usize) {
            Some(Seat::Taken(flights)) => Some(flights.clone()),
            _ => None,
        }
    }

    /// Everybody with a number.
    pub fn seated(&self) -> Vec<Rc<RefCell<Flights>>> {
        let sessions = self.sessions.borrow();
        let taken = sessions.iter().filter_map(|seat| match seat {
            Seat::Taken(flights) => Some(flights.clone()),
            Seat::Free(_) => None,
        });
        taken.collect()
    }

    /// Wakes `waker`, the newest of this client, at the next change of map, state or link.
    pub fn wait_for_change(&self, session: u32, waker: &Waker) {
        self.waiting.borrow_mut().insert(session, waker.clone());
    }

    /// The map, the state or a link has changed.
    pub fn changed(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// The head of a frame of this client.
pub fn head(framing: &flights::Framing, session: u32, id: u32, count: u16) -> RequestHead {
    let flights::Framing { db, flags, epoch, state } = *framing;
    RequestHead { flags, db, cache: 0, session, id, count, epoch, state }
}

/// Numbers of the nodes that a map names.
pub fn nodes(map: &SlotMap) -> Vec<NodeId> {
    map.nodes().iter().map(|member| member.id).collect()
}
