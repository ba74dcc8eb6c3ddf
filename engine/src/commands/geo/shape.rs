//! What is searched in: a circle, a box or a polygon, and the cells that cover it.

use super::cell::{Bounds, Cell, STEPS_MAX};
use super::earth::{Point, meters_to_degrees, meters_to_longitude};

/// Half of the map's width at the equator, in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// A shape around a center. Lengths are in the request's unit.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) center: Point,
    pub(super) form: Form,
    /// Meters in the unit of the lengths and of the distances that are answered.
    pub(super) unit: f64,
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
    Polygon(Vec<Point>),
}

impl Shape {
    /// The distance in meters from the center to a point that lies in the shape.
    pub(super) fn distance(&self, point: Point) -> Option<f64> {
        let distance = || self.center.distance(point);
        match &self.form {
            Form::Circle { radius } => Some(distance()).filter(|&distance| distance <= radius * self.unit),
            Form::Box { width, height } => {
                // Along the point's own parallel.
                let abreast = Point { longitude: self.center.longitude, latitude: point.latitude };
                let is_in = point.latitude_distance(self.center) <= height * self.unit / 2.0
                    && point.distance(abreast) <= width * self.unit / 2.0;
                is_in.then(distance)
            }
            Form::Polygon(corners) => is_within(point, corners).then(distance),
        }
    }

    /// The cells to look at, in the order in which Valkey does: what is not sorted is answered in it. Some may be named
    /// twice.
    pub(super) fn cells(&self) -> Vec<Cell> {
        if !self.center.is_indexable() {
            return Vec::new();
        }
        let bounds = self.bounds();
        let mut steps = steps_for(self.reach(&bounds), self.center.latitude);
        let mut cell = Cell::of(self.center, steps);
        if steps > 1 && !covers(cell, &bounds) {
            steps -= 1;
            cell = Cell::of(self.center, steps);
        }
        let own = cell.bounds();
        // Neighbours on sides that the shape does not reach are left out.
        let is_needed = |east: i32, north: i32| {
            steps < 2
                || !((north < 0 && own.south < bounds.south)
                    || (north > 0 && own.north > bounds.north)
                    || (east < 0 && own.west < bounds.west)
                    || (east > 0 && own.east > bounds.east))
        };
        [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)]
            .into_iter()
            .filter(|&(east, north)| is_needed(east, north))
            .map(|(east, north)| cell.neighbour(east, north))
            .collect()
    }

    fn bounds(&self) -> Bounds {
        let (width, height) = match &self.form {
            Form::Circle { radius } => (self.unit * radius, self.unit * radius),
            Form::Box { width, height } => (self.unit * (width / 2.0), self.unit * (height / 2.0)),
            Form::Polygon(corners) => return bounds_of(corners),
        };
        let Point { longitude, latitude } = self.center;
        let up = meters_to_degrees(height);
        // A degree of longitude is shortest at the side that is nearer to a pole.
        let far = if latitude < 0.0 { latitude - up } else { latitude + up };
        let aside = meters_to_longitude(width, far);
        Bounds { west: longitude - aside, south: latitude - up, east: longitude + aside, north: latitude + up }
    }

    /// Meters from the center to the farthest point.
    fn reach(&self, bounds: &Bounds) -> f64 {
        match &self.form {
            Form::Circle { radius } => radius * self.unit,
            Form::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt() * self.unit
            }
            Form::Polygon(_) => {
                let corners = [bounds.west, bounds.east]
                    .into_iter()
                    .flat_map(|longitude| [bounds.south, bounds.north].map(|latitude| Point { longitude, latitude }));
                corners.map(|corner| self.center.distance(corner)).fold(0.0, f64::max)
            }
        }
    }
}

/// Halvings that make cells about as large as a circle with this radius.
fn steps_for(mut radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEPS_MAX;
    }
    let mut steps = 1;
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        steps += 1;
    }
    steps -= 2;
    // Cells are narrow near the poles.
    if latitude.abs() > 66.0 {
        steps -= 1;
    }
    if latitude.abs() > 80.0 {
        steps -= 1;
    }
    steps.clamp(1, STEPS_MAX as i32) as u32
}

/// Whether a cell and those around it reach the bounds on every side.
fn covers(cell: Cell, bounds: &Bounds) -> bool {
    !(cell.neighbour(0, 1).bounds().north < bounds.north
        || cell.neighbour(0, -1).bounds().south > bounds.south
        || cell.neighbour(1, 0).bounds().east < bounds.east
        || cell.neighbour(-1, 0).bounds().west > bounds.west)
}

fn bounds_of(corners: &[Point]) -> Bounds {
    let longitudes = || corners.iter().map(|corner| corner.longitude);
    let latitudes = || corners.iter().map(|corner| corner.latitude);
    Bounds {
        west: longitudes().fold(f64::INFINITY, f64::min),
        south: latitudes().fold(f64::INFINITY, f64::min),
        east: longitudes().fold(f64::NEG_INFINITY, f64::max),
        north: latitudes().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Whether a line from the point to the east crosses the polygon's sides an odd number of times.
fn is_within(point: Point, corners: &[Point]) -> bool {
    let Some(mut last) = corners.last() else { return false };
    let mut within = false;
    for corner in corners {
        let crosses = (corner.latitude > point.latitude) != (last.latitude > point.latitude);
        if crosses
            && point.longitude
                < (last.longitude - corner.longitude) * (point.latitude - corner.latitude)
                    / (last.latitude - corner.latitude)
                    + corner.longitude
        {
            within = !within;
        }
        last = corner;
    }
    within
}
