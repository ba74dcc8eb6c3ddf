//! swell-ring
