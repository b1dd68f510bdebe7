//! What goes wrong at the seam, decided per call.

use milvus_platform::Class;

/// One fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused before anything happened.
    Refuse(Class),
    /// Done, but the answer is lost.
    LoseAnswer,
}

/// Faults by call.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// In percent: a write is refused or its answer lost.
    pub errors: u32,
    /// In percent: a look shows an older state.
    pub stale: u32,
    /// In percent: the platform does not answer a look at all.
    pub unreachable: u32,
    /// In percent: a call to the store of resources is refused or its answer lost.
    pub store: u32,
    /// The operator dies after this many more writes (0: right after the next one).
    pub crash_after: Option<u32>,
}

impl Faults {
    /// Whether anything may still go wrong by chance.
    pub fn quiet(&self) -> bool {
        self.errors == 0
            && self.store == 0
            && self.stale == 0
            && self.unreachable == 0
            && self.crash_after.is_none()
    }
}
