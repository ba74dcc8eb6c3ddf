//! swell-wire
