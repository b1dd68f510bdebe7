//! Metrics of the operator. Labels are closed lists: never object names, never error texts.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Durations of passes, seconds. Most are some milliseconds; the upper end is the pass's own time-out.
const BUCKETS: &[f64] = &[
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// All of them, registered.
#[derive(Clone)]
pub struct Metrics {
    /// Where they are registered.
    pub registry: Registry,
    /// Passes by how they ended.
    pub passes: IntCounterVec,
    /// How long passes took.
    pub duration: HistogramVec,
    /// Writes to the platform by action.
    pub actions: IntCounterVec,
    /// Status writes.
    pub status_writes: IntCounterVec,
    /// Clusters by phase.
    pub clusters: IntGaugeVec,
    /// Seconds since the epoch of the last finished pass.
    pub last_pass: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only when two metrics share a name, which a test would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter =
            |name: &str, help: &str, label: &str| -> Result<IntCounterVec, prometheus::Error> {
                let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let passes = counter(
            "milvus_operator_passes_total",
            "Reconcile passes by outcome.",
            "outcome",
        )?;
        let actions = counter(
            "milvus_operator_actions_total",
            "Actions carried out on the platform.",
            "action",
        )?;
        let status_writes = counter(
            "milvus_operator_status_writes_total",
            "Writes of resource status.",
            "outcome",
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "milvus_operator_pass_duration_seconds",
                "Duration of a pass.",
            )
            .buckets(BUCKETS.to_vec()),
            &["outcome"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        let clusters = IntGaugeVec::new(
            Opts::new("milvus_operator_clusters", "Clusters by phase."),
            &["phase"],
        )?;
        registry.register(Box::new(clusters.clone()))?;
        let last_pass = IntGauge::new(
            "milvus_operator_last_pass_timestamp_seconds",
            "When the last pass finished (Unix time).",
        )?;
        registry.register(Box::new(last_pass.clone()))?;
        Ok(Self {
            registry,
            passes,
            duration,
            actions,
            status_writes,
            clusters,
            last_pass,
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_metric_registers() {
        assert!(super::Metrics::new().is_ok());
    }
}
