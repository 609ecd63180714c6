//! How much is kept, read when somebody asks.

use super::Cache;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Shows how much is kept.
pub struct CacheMetrics(pub Arc<Cache>);

impl fmt::Debug for CacheMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheMetrics").finish_non_exhaustive()
    }
}

impl Collector for CacheMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let (entries, bytes) = self.0.size();
        for (name, help, value) in [
            ("deepseek_gateway_cache_entries", "Answers that are kept", entries as u64),
            ("deepseek_gateway_cache_bytes", "Bytes of answers that are kept, or on their way to be", bytes),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
