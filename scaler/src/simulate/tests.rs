//! The bar of the simulator on a small size, and what a reader takes for granted.

use super::*;

#[test]
fn at_the_same_time_over_the_limit_ours_is_cheaper_on_every_shape() {
    for (nodes, seed) in [(16, 1), (24, 2), (32, 3)] {
        let report = simulate(&Options::new(nodes, 6.0, seed), &Shape::ALL, 2);

        assert!(report.is_cheaper_everywhere(), "{}", report.text());
    }
}

#[test]
fn nobody_is_cheaper_than_who_knows_the_load() {
    let report = simulate(&Options::new(16, 2.0, 5), &Shape::ALL, 2);
    for shape in &report.shapes {
        assert_eq!(shape.clairvoyant.over_seconds, 0);
        let rivals = shape.thresholds.iter().chain(&shape.doublings).map(|named| &named.score);
        for score in rivals.chain([&shape.ours, &shape.fixed]) {
            let unpaid = score.node_hours + score.under_node_hours;
            assert!(unpaid >= shape.clairvoyant.node_hours * 0.97, "{:?}: {score:?}", shape.shape);
            assert!(score.nodes_max >= 1);
        }
        assert!(shape.ours.node_hours < shape.fixed.node_hours || shape.shape == Shape::HotKey, "{:?}", shape.shape);
    }
}

#[test]
fn the_same_seed_is_the_same_report() {
    let options = Options::new(8, 0.5, 7);
    let shapes = [Shape::FlashCrowd, Shape::HotKey];
    let report = simulate(&options, &shapes, 1);
    assert_eq!(report, simulate(&options, &shapes, 2));
    assert_ne!(report.shapes, simulate(&Options::new(8, 0.5, 8), &shapes, 2).shapes);
    assert_eq!(report.shapes.iter().map(|shape| shape.shape).collect::<Vec<_>>(), shapes);
}

#[test]
fn one_node_and_one_second_are_a_simulation_too() {
    let report = simulate(&Options::new(1, 0.0, 0), &Shape::ALL, 2);
    assert!(report.shapes.iter().all(|shape| shape.ours.nodes_max == 1 && shape.chart.len() == 1));
    assert!(report.text().contains("clairvoyant"));
}

#[test]
fn a_chart_is_one_picture_of_all_shapes() {
    let report = simulate(&Options::new(4, 0.2, 3), &Shape::ALL, 2);
    let svg = plot::svg(&report);
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for shape in Shape::ALL {
        assert!(svg.contains(&format!(">{}<", shape.name())), "{}", shape.name());
    }
    assert!(!svg.contains("NaN"));
    assert_eq!(svg.matches("<path ").count(), 3 * Shape::ALL.len());
}

#[test]
fn names_of_shapes_are_read_back() {
    for shape in Shape::ALL {
        assert_eq!(shape.name().parse(), Ok(shape));
        assert_eq!(serde_json::to_string(&shape).unwrap(), format!("\"{}\"", shape.name()));
    }
    assert!("wave".parse::<Shape>().unwrap_err().contains("flash-crowd"));
}
