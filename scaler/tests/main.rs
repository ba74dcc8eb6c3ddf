//! The scaler as its members see it: over real sockets, with members that a test plays.

mod changes;
mod children;
mod fake;
mod joining;
mod moving;
mod restarts;
mod scaling;
