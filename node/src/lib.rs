//! swell-node
