//! The geo family: places on the earth, kept as sorted sets whose scores are geohashes.

mod cell;
mod earth;
mod geoadd;
mod geodist;
mod geohash;
mod geopos;
mod georadius;
mod geosearch;
mod request;
mod search;
mod shape;

use swell_wire::{Args, Out};

use crate::error::Fault;
use crate::number::parse_f64;
use crate::spec::Spec;
use earth::Point;

/// The family's commands, by name.
pub static SPECS: &[&Spec] = &[
    &geoadd::GEOADD,
    &geodist::GEODIST,
    &geohash::GEOHASH,
    &geopos::GEOPOS,
    &georadius::GEORADIUS,
    &georadius::GEORADIUS_RO,
    &georadius::GEORADIUSBYMEMBER,
    &georadius::GEORADIUSBYMEMBER_RO,
    &geosearch::GEOSEARCH,
    &geosearch::GEOSEARCHSTORE,
];

/// Reads longitude and latitude from the arguments at `at`.
fn point(args: Args<'_>, at: usize) -> Result<Point, Fault> {
    let number = |at: usize| parse_f64(args.slice(at)).ok_or(Fault::NotFloat);
    let point = Point { longitude: number(at)?, latitude: number(at + 1)? };
    if point.is_indexable() {
        return Ok(point);
    }
    let Point { longitude, latitude } = point;
    Err(Fault::Other(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into()))
}

/// Meters in a unit of distance.
fn unit(arg: &[u8]) -> Result<f64, Fault> {
    match &arg.to_ascii_lowercase()[..] {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Fault::say("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Answers a distance: a bulk string with four decimals, in RESP3 too.
fn write_distance(out: &mut Out, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as i64;
    out.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Answers a point: its coordinates with up to 17 decimals.
fn write_point(out: &mut Out, point: Point) {
    out.array(2);
    for coordinate in [point.longitude, point.latitude] {
        let text = format!("{coordinate:.17}");
        out.double(text.trim_end_matches('0').trim_end_matches('.'));
    }
}

/// A member that a command needs and that is not there.
fn no_such_member(member: &[u8]) -> Fault {
    Fault::Other(format!("ERR member {} does not exist", String::from_utf8_lossy(member)).into())
}
