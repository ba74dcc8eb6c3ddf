//! Metrics.
use swell_proxy::Shared;
/// Renders.
pub struct Metrics;
impl Metrics {
    #[allow(clippy::new_without_default)]
    /// New.
    pub fn new() -> Self { Metrics }
    /// All.
    pub fn render(&self, _shared: &Shared) -> String { String::new() }
}
/// Page.
pub fn page() -> String { String::new() }
