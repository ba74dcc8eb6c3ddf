//! swell-meter
