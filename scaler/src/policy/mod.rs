//! What a cache's nodes should be: observe → decide → plan, as pure functions of what was seen and of time. The live
//! scaler, `swell simulate` and property tests run the same code.

pub mod view;
