//! What every platform promises alike, on this one.

use milvus_tests::behaviour;

use crate::stage::On;
use crate::suite::suite;

/// Every row of the table.
#[test]
fn the_table() {
    let mut suite = suite();
    suite.bed.volumes(20);
    let room = suite.room("table");
    behaviour::play(&mut On {
        suite: &mut suite,
        room,
    });
}
