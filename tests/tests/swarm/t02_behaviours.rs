//! What every platform promises alike, on this one.

use milvus_tests::behaviour;

use crate::suite::suite;

/// Every row of the table.
#[test]
fn the_table() {
    let mut suite = suite();
    behaviour::play(&mut *suite);
}
