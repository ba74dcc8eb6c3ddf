//! swell
fn main(){}
