//! swell-engine
