//! Points and distances on the earth, which is a ball here.

use super::cell::Cell;

/// In meters.
const EARTH_RADIUS: f64 = 6_372_797.560856;
pub(super) const LONGITUDE_MAX: f64 = 180.0;
/// What the square map of EPSG:900913 has.
pub(super) const LATITUDE_MAX: f64 = 85.05112878;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

impl Point {
    /// Whether it lies within what can be indexed.
    pub(super) fn is_indexable(&self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }

    /// The place that a score stands for.
    pub(super) fn of_score(score: f64) -> Point {
        Cell::of_score(score).center()
    }

    /// Great-circle distance in meters (haversine).
    pub(super) fn distance(&self, other: Point) -> f64 {
        let half_longitude = ((radians(other.longitude) - radians(self.longitude)) / 2.0).sin();
        if half_longitude == 0.0 {
            return self.latitude_distance(other);
        }
        let (latitude, other_latitude) = (radians(self.latitude), radians(other.latitude));
        let half_latitude = ((other_latitude - latitude) / 2.0).sin();
        let chord =
            half_latitude * half_latitude + latitude.cos() * other_latitude.cos() * half_longitude * half_longitude;
        2.0 * EARTH_RADIUS * chord.sqrt().asin()
    }

    /// Distance in meters along a meridian.
    pub(super) fn latitude_distance(&self, other: Point) -> f64 {
        EARTH_RADIUS * (radians(other.latitude) - radians(self.latitude)).abs()
    }

    /// The middle of several points: of their sum as vectors from the earth's center.
    pub(super) fn middle(points: &[Point]) -> Point {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for point in points {
            let (longitude, latitude) = (radians(point.longitude), radians(point.latitude));
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        // The sum's length does not matter.
        Point { longitude: degrees(y.atan2(x)), latitude: degrees(z.atan2((x * x + y * y).sqrt())) }
    }
}

/// Degrees that so many meters are along a meridian.
pub(super) fn meters_to_degrees(meters: f64) -> f64 {
    degrees(meters / EARTH_RADIUS)
}

/// Degrees that so many meters are along a parallel.
pub(super) fn meters_to_longitude(meters: f64, latitude: f64) -> f64 {
    degrees(meters / EARTH_RADIUS / radians(latitude).cos())
}

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}
