//! The bar of the simulator on a small size, and what a reader takes for granted.

use super::*;

#[test]
fn at_the_same_time_over_the_limit_ours_is_cheaper_on_every_shape() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let report = simulate(&Options::new(24, 6.0, seed), &Shape::ALL, 2);
    println!("{}", report.text());
    assert!(report.is_cheaper_everywhere(), "{}", report.text());
}
