//! What is counted as one, and how to do without.

/// Which contents of flash count as one, and which need not be looked at. Each reduction changes the speed
/// and nothing else, and each can be switched off, to see that.
///
/// Not among them, since without it nothing would come to an end: sequence numbers count relative to each
/// other (see [`State`](super::State)). That one is compared with
/// [`plain_nested`](super::plain_nested), which does without for as many power cycles as one likes. What is
/// remembered of runs is switched by [`Limits::remember`](super::Limits::remember).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reductions {
    /// Partitions without an image that verifies count as full of zeros: nobody reads more of them than
    /// that before erasing them. For update code that goes on with an interrupted upload, see
    /// `leftover.rs`.
    pub contents: bool,
    /// A select entry with a wrong CRC counts by its state and by whether it is blank, and the label of any
    /// entry does not count: nobody reads more.
    pub entries: bool,
    /// What has a header that promises a SHA-256 and is none of the images is not verified: to match it,
    /// torn parts of the images would have to collide with it.
    pub hashes: bool,
}

impl Reductions {
    /// All of them.
    pub const ALL: Self = Self { contents: true, entries: true, hashes: true };
    /// None of them: for small devices and few faults.
    pub const NONE: Self = Self { contents: false, entries: false, hashes: false };
}

impl Default for Reductions {
    fn default() -> Self {
        Self::ALL
    }
}
