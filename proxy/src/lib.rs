//! swell-proxy
