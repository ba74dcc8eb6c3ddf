//! What the searching commands ask for: reading their arguments, in the order in which Valkey finds fault with them.

use swell_wire::{Args, Out};

use super::earth::Point;
use super::search::{Options, Order, collect, places, search, store, write};
use super::shape::{Form, Shape};
use super::{no_such_member, point, unit};
use crate::bulk::ELEMENTS_AT_ONCE;
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::Hasher;
use crate::number::{parse_f64, parse_i64};
use crate::value::Collection;
use crate::value::zset::{ZSet, ZSetRef};

/// Which of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// GEORADIUS: a point and a circle stand before the options.
    Around { stores: bool },
    /// GEORADIUSBYMEMBER: a member and a circle do.
    AroundMember { stores: bool },
    /// GEOSEARCH and GEOSEARCHSTORE: all are options.
    Search { stores: bool },
}

/// A request under way.
struct Request<'a> {
    command: Command,
    args: Args<'a>,
    zset: Option<ZSetRef<'a>>,
    hasher: Hasher,
    center: Center,
    form: Option<(Form, f64)>,
    options: Options,
    /// The argument that names where to store.
    store: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Center {
    None,
    Point(Point),
    /// A member, of an index that is not there.
    Nowhere,
}

/// Runs a search: looks the index up, reads the request, searches, answers or stores.
pub(super) fn run(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, command: Command) -> Reply {
    let from = cx.key(args, usize::from(command == Command::Search { stores: true }));
    let hasher = cx.tools().hasher;
    cx.read(from);
    let zset = cx.look(from).map(|entry| entry.collection::<ZSet>()).transpose()?;
    let mut request = Request::new(command, args, zset, hasher);
    let shape = request.read()?;
    let (options, to) = (request.options, request.store);
    let (found, visited) = match (&zset, &shape) {
        (Some(zset), Some(shape)) => search(*zset, shape, &options),
        _ => (Vec::new(), 0),
    };
    match to {
        None => write(&found, &options, out),
        Some(at) => {
            let result = if found.is_empty() { ZSet::empty() } else { collect(cx, &found, &options) };
            let is_search = matches!(command, Command::Search { .. });
            let event = if is_search { "geosearchstore" } else { "georadiusstore" };
            store(cx, cx.key_of(args.slice(at)), event, result, out);
        }
    }
    cx.work(visited.saturating_sub(1));
    Ok(())
}

/// As many places as lie in the cells of the shape. One that will do with the first ones looks at few of these.
pub(super) fn size(cx: &Exec<'_>, args: Args<'_>, command: Command) -> usize {
    let from = cx.key(args, usize::from(command == Command::Search { stores: true }));
    let Some(Ok(zset)) = cx.look(from).map(|entry| entry.collection::<ZSet>()) else { return 0 };
    if zset.len() <= ELEMENTS_AT_ONCE {
        return 0;
    }
    let mut request = Request::new(command, args, Some(zset), cx.tools().hasher);
    let Ok(Some(shape)) = request.read() else { return 0 };
    if request.options.any { request.options.count } else { places(zset, &shape) }
}

impl<'a> Request<'a> {
    fn new(command: Command, args: Args<'a>, zset: Option<ZSetRef<'a>>, hasher: Hasher) -> Request<'a> {
        let options = Options {
            with_distance: false,
            with_hash: false,
            with_point: false,
            order: Order::Any,
            count: 0,
            any: false,
            store_distances: false,
        };
        let store = (command == Command::Search { stores: true }).then_some(1);
        Request { command, args, zset, hasher, center: Center::None, form: None, options, store }
    }
}

impl Request<'_> {
    /// Reads everything; nothing where there is no place to search around.
    fn read(&mut self) -> Result<Option<Shape>, Fault> {
        let mut at = match self.command {
            Command::Around { .. } => {
                self.center = Center::Point(point(self.args, 2)?);
                self.form = Some(self.circle(4)?);
                6
            }
            Command::AroundMember { .. } => {
                self.center = self.member(2)?;
                if self.zset.is_some() {
                    self.form = Some(self.circle(3)?);
                }
                5
            }
            Command::Search { stores } => 2 + usize::from(stores),
        };
        while at < self.args.len() {
            at = self.option(at)?;
        }
        self.check()?;
        let Some((form, unit)) = self.form.take() else { return Ok(None) };
        let center = match (&form, self.center) {
            (Form::Polygon(corners), _) => Point::middle(corners),
            (_, Center::Point(center)) => center,
            _ => return Ok(None),
        };
        Ok(Some(Shape { center, form, unit }))
    }

    /// Reads the option at `at`; answers where the next one is.
    fn option(&mut self, at: usize) -> Result<usize, Fault> {
        let (word, left) = (self.args.slice(at), self.args.len() - at - 1);
        match word {
            _ if is_word(word, "WITHDIST") => self.options.with_distance = true,
            _ if is_word(word, "WITHHASH") => self.options.with_hash = true,
            _ if is_word(word, "WITHCOORD") => self.options.with_point = true,
            _ if is_word(word, "ANY") => self.options.any = true,
            _ if is_word(word, "ASC") => self.options.order = Order::NearFirst,
            _ if is_word(word, "DESC") => self.options.order = Order::FarFirst,
            _ if is_word(word, "COUNT") && left >= 1 => {
                let count = parse_i64(self.args.slice(at + 1)).ok_or(Fault::NotInteger)?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0);
                self.options.count = count.ok_or(Fault::say("ERR COUNT must be > 0"))?;
                return Ok(at + 2);
            }
            _ => {
                return match self.command {
                    Command::Search { stores } => self.search_option(at, word, left, stores),
                    Command::Around { stores } | Command::AroundMember { stores } => {
                        self.store_option(at, word, left, stores)
                    }
                };
            }
        }
        Ok(at + 1)
    }

    fn store_option(&mut self, at: usize, word: &[u8], left: usize, stores: bool) -> Result<usize, Fault> {
        let distances = is_word(word, "STOREDIST");
        if !stores || left < 1 || !(distances || is_word(word, "STORE")) {
            return Err(Fault::Syntax);
        }
        (self.store, self.options.store_distances) = (Some(at + 1), distances);
        Ok(at + 2)
    }

    fn search_option(&mut self, at: usize, word: &[u8], left: usize, stores: bool) -> Result<usize, Fault> {
        let no_center = matches!(self.center, Center::None);
        let is_polygon = matches!(self.form, Some((Form::Polygon(_), _)));
        let is_box = matches!(self.form, Some((Form::Box { .. }, _)));
        let is_circle = matches!(self.form, Some((Form::Circle { .. }, _)));
        match word {
            _ if is_word(word, "FROMMEMBER") && left >= 1 && no_center && !is_polygon => {
                self.center = self.member(at + 1)?;
                Ok(at + 2)
            }
            _ if is_word(word, "FROMLONLAT") && left >= 2 && no_center && !is_polygon => {
                self.center = Center::Point(point(self.args, at + 1)?);
                Ok(at + 3)
            }
            _ if is_word(word, "BYRADIUS") && left >= 2 && !is_box && !is_polygon => {
                self.form = Some(self.circle(at + 1)?);
                Ok(at + 3)
            }
            _ if is_word(word, "BYBOX") && left >= 3 && !is_circle && !is_polygon => {
                self.form = Some(self.rectangle(at + 1)?);
                Ok(at + 4)
            }
            _ if is_word(word, "BYPOLYGON") && left >= 2 && no_center && !is_circle && !is_box => {
                let corners = parse_i64(self.args.slice(at + 1)).ok_or(Fault::say("ERR invalid number of vertices"))?;
                // Fewer arguments than that many need are told in the same words.
                let corners = usize::try_from(corners).ok().filter(|corners| (3..=(left - 1) / 2).contains(corners));
                let corners = corners.ok_or(Fault::say("ERR GEOSEARCH BYPOLYGON must have at least 3 vertices"))?;
                let corners: Result<Vec<Point>, Fault> =
                    (0..corners).map(|n| point(self.args, at + 2 + n * 2)).collect();
                let corners = corners?;
                let next = at + 2 + corners.len() * 2;
                self.form = Some((Form::Polygon(corners), 1.0));
                Ok(next)
            }
            _ if stores && is_word(word, "STOREDIST") => {
                self.options.store_distances = true;
                Ok(at + 1)
            }
            _ => Err(Fault::Syntax),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        let Options { with_distance, with_hash, with_point, any, count, .. } = self.options;
        let is_search = matches!(self.command, Command::Search { .. });
        let name = String::from_utf8_lossy(self.args.slice(0));
        if self.store.is_some() && (with_distance || with_hash || with_point) {
            let who = if is_search { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {who} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(Fault::Other(text.into()));
        }
        let is_polygon = matches!(self.form, Some((Form::Polygon(_), _)));
        if is_search && !is_polygon && matches!(self.center, Center::None) {
            let text = format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}");
            return Err(Fault::Other(text.into()));
        }
        if is_search && self.form.is_none() {
            let text = format!("ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for {name}");
            return Err(Fault::Other(text.into()));
        }
        if any && count == 0 {
            return Err(Fault::say("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// The place of the member at `at`.
    fn member(&self, at: usize) -> Result<Center, Fault> {
        let Some(zset) = self.zset else { return Ok(Center::Nowhere) };
        let member = self.args.slice(at);
        let score = zset.score(member, &self.hasher).ok_or_else(|| no_such_member(member))?;
        Ok(Center::Point(Point::of_score(score)))
    }

    /// A radius and its unit.
    fn circle(&self, at: usize) -> Result<(Form, f64), Fault> {
        let radius = parse_f64(self.args.slice(at)).ok_or(Fault::say("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(Fault::say("ERR radius cannot be negative"));
        }
        Ok((Form::Circle { radius }, unit(self.args.slice(at + 1))?))
    }

    /// Width, height and their unit.
    fn rectangle(&self, at: usize) -> Result<(Form, f64), Fault> {
        let width = parse_f64(self.args.slice(at)).ok_or(Fault::say("ERR need numeric width"))?;
        let height = parse_f64(self.args.slice(at + 1)).ok_or(Fault::say("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Fault::say("ERR height or width cannot be negative"));
        }
        Ok((Form::Box { width, height }, unit(self.args.slice(at + 2))?))
    }
}
