//! Values of the Kafka chart. Pure.

use super::{UNKNOWN, chart_resources, count, image, persistence};
use crate::convert::draft::Draft;
use crate::convert::input::Block;

const TARGET: &str = "spec.dependencies.kafka.inCluster.values";

/// Size of a broker's volume in the chart.
const VOLUME: &str = "300Gi";

/// Writes what is known and speaks of the rest.
pub(in crate::convert) fn values(mut values: Block, draft: &mut Draft) {
    count(&mut values, "replicaCount", TARGET, draft);
    image(&mut values, TARGET, draft);
    chart_resources(&mut values, TARGET, draft);
    persistence(&mut values, TARGET, None, Some(VOLUME), draft);
    let mut auth = values.block("auth", draft);
    for key in ["clientProtocol", "interBrokerProtocol"] {
        let plain = auth.peek(key).is_none_or(|value| *value == "plaintext");
        if let Some(given) = auth.take(key) {
            if plain {
                given.same(draft);
            } else {
                given.refuse(
                    draft,
                    "a Kafka that this operator runs asks for no login; use an external one",
                );
            }
        }
    }
    auth.leave_rest(draft, UNKNOWN);
    values.leave_rest(draft, UNKNOWN);
}
