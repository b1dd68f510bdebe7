//! How long requests take. Labels are closed lists: verbs, and the kinds and parts that are served.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, Registry};

use crate::route::{Sub, Target};

/// Seconds. A read takes a fraction of a millisecond; a write waits for the store, and at most as long as it may queue there.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// Durations of requests to objects, and how many requests met a fault of the server.
#[derive(Clone)]
pub(crate) struct Requests {
    durations: HistogramVec,
    panics: IntCounter,
}

impl Requests {
    /// Registers them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(
            "milvus_operator_apiserver_request_duration_seconds",
            "Time from a request's headers to the answer of the embedded API server, by verb, resource and subresource; watches are not in it.",
        );
        let durations = HistogramVec::new(
            options.buckets(BUCKETS.to_vec()),
            &["verb", "resource", "subresource"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let panics = IntCounter::new(
            "milvus_operator_apiserver_panics_total",
            "Requests that the embedded API server answered with an internal error because of a fault in its own code.",
        )?;
        registry.register(Box::new(panics.clone()))?;
        Ok(Self { durations, panics })
    }

    /// Notes one that met a fault.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Notes one that was answered.
    pub(crate) fn answered(&self, verb: &str, target: &Target, took: Duration) {
        let part = match target.sub {
            Sub::None => "",
            Sub::Status => "status",
            Sub::Scale => "scale",
        };
        self.durations
            .with_label_values(&[verb, &target.resource.plural, part])
            .observe(took.as_secs_f64());
    }
}
