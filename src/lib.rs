//! swell
