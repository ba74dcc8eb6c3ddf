//! Geohash cells: the map cut in half again and again, by longitude and latitude in turn.

use super::earth::{LATITUDE_MAX, LONGITUDE_MAX, Point};

/// Halvings of each axis in a score: 52 bits, which a double holds exactly.
pub(super) const STEPS_MAX: u32 = 26;
/// Bits of an axis: latitude has the even ones.
const LATITUDE_BITS: u64 = 0x5555_5555_5555_5555;
const LONGITUDE_BITS: u64 = !LATITUDE_BITS;

/// A cell of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) bits: u64,
    /// Halvings of each axis.
    pub(super) steps: u32,
}

/// What a cell or a shape covers, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) west: f64,
    pub(super) south: f64,
    pub(super) east: f64,
    pub(super) north: f64,
}

/// 2^64.
const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;

impl Cell {
    /// The cell that a point is in.
    pub(super) fn of(point: Point, steps: u32) -> Cell {
        Cell::within(point, steps, LATITUDE_MAX)
    }

    /// The same on a map that reaches up to another latitude.
    pub(super) fn within(point: Point, steps: u32, latitude_max: f64) -> Cell {
        let cells = (1u64 << steps) as f64;
        let latitude = (point.latitude + latitude_max) / (2.0 * latitude_max) * cells;
        let longitude = (point.longitude + LONGITUDE_MAX) / (2.0 * LONGITUDE_MAX) * cells;
        Cell { bits: spread(latitude as u32) | spread(longitude as u32) << 1, steps }
    }

    /// The smallest cell, as a score names it.
    pub(super) fn of_score(score: f64) -> Cell {
        // Scores that no place has: negative ones wrap around, as in Valkey.
        // What does not fit 64 bits is the first cell.
        let bits = if score < 0.0 {
            (score as i64) as u64
        } else if score >= TOO_LARGE {
            0
        } else {
            score as u64
        };
        Cell { bits, steps: STEPS_MAX }
    }

    /// What it covers.
    pub(super) fn bounds(&self) -> Bounds {
        let cells = (1u64 << self.steps) as f64;
        let (latitude, longitude) = (f64::from(gather(self.bits)), f64::from(gather(self.bits >> 1)));
        let at_latitude = |number: f64| -LATITUDE_MAX + number / cells * (2.0 * LATITUDE_MAX);
        let at_longitude = |number: f64| -LONGITUDE_MAX + number / cells * (2.0 * LONGITUDE_MAX);
        Bounds {
            west: at_longitude(longitude),
            south: at_latitude(latitude),
            east: at_longitude(longitude + 1.0),
            north: at_latitude(latitude + 1.0),
        }
    }

    /// Its middle.
    pub(super) fn center(&self) -> Point {
        let Bounds { west, south, east, north } = self.bounds();
        Point {
            longitude: ((west + east) / 2.0).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: ((south + north) / 2.0).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// The cell so many cells to the east and to the north: -1, 0 or 1 each. The map has no edges here. (A point on the
    /// very edge has a bit too many; an axis that is not moved on keeps it, as in Valkey.)
    pub(super) fn neighbour(&self, east: i32, north: i32) -> Cell {
        let longitude = self.step(LONGITUDE_BITS, LATITUDE_BITS, east);
        let latitude = self.step(LATITUDE_BITS, LONGITUDE_BITS, north);
        Cell { bits: longitude | latitude, steps: self.steps }
    }

    /// One axis, one cell on: the other axis's bits are filled so that a carry runs through them.
    fn step(&self, own: u64, other: u64, direction: i32) -> u64 {
        let (axis, mask) = (self.bits & own, u64::MAX >> (64 - self.steps * 2));
        match direction {
            1.. => axis.wrapping_add((other & mask) + 1) & own & mask,
            0 => axis,
            _ => (axis | other & mask).wrapping_sub((other & mask) + 1) & own & mask,
        }
    }

    /// The scores of what is in it: from the first, up to the second and without it.
    pub(super) fn scores(&self) -> (f64, f64) {
        let shift = (STEPS_MAX - self.steps) * 2;
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

/// The bits of a number at the even places.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, LATITUDE_BITS),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The number whose bits are at the even places.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & LATITUDE_BITS;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_gathered() {
        for number in [0, 1, 2, 0x8000_0000, 0xdead_beef, u32::MAX] {
            assert_eq!(gather(spread(number)), number);
            assert_eq!(spread(number) & LONGITUDE_BITS, 0);
        }
    }

    /// As valkey-server answers GEOADD and GEOSEARCH … WITHHASH.
    #[test]
    fn a_known_place() {
        let palermo = Point { longitude: 13.361389, latitude: 38.115556 };
        assert_eq!(Cell::of(palermo, STEPS_MAX).bits, 3479099956230698);
    }

    #[test]
    fn neighbours_touch() {
        let cell = Cell::of(Point { longitude: 13.4, latitude: 52.5 }, 7);
        let (own, east, north) = (cell.bounds(), cell.neighbour(1, 0).bounds(), cell.neighbour(0, 1).bounds());
        assert_eq!((own.east, own.south), (east.west, east.south));
        assert_eq!((own.north, own.west), (north.south, north.west));
        assert_eq!(cell.neighbour(1, 0).neighbour(-1, 0), cell);
        assert_eq!(cell.neighbour(0, -1).neighbour(0, 1), cell);
        assert_eq!(cell.neighbour(1, -1), cell.neighbour(0, -1).neighbour(1, 0));
    }

    #[test]
    fn the_map_has_no_edges() {
        let corner = Cell { bits: 0, steps: 3 };
        assert_eq!(corner.neighbour(-1, -1), Cell { bits: 63, steps: 3 });
        assert_eq!(corner.neighbour(-1, -1).neighbour(1, 1), corner);
    }
}
