//! What is in flight, counted on the gauge that metrics show.

use prometheus_client::metrics::gauge::Gauge;

/// Counts one on a gauge while it lives.
pub struct InFlight(Gauge);

impl InFlight {
    /// Adds one.
    #[must_use]
    pub fn enter(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }

    /// Adds one, where there are fewer than `most`.
    pub fn enter_below(gauge: &Gauge, most: i64) -> Option<Self> {
        let before = gauge.inc();
        let entered = Self(gauge.clone());
        (before < most).then_some(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
