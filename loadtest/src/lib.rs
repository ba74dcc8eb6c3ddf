//! swell-loadtest
