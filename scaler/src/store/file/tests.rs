//! Torn and damaged files.
