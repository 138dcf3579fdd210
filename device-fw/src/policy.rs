//! What the firmware does about its own confirmation: a build option, so that each way in which an
//! update can go wrong has an image.

/// What a freshly updated firmware does with its trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Confirms itself as soon as the self-test has passed.
    AtOnce,
    /// Confirms itself when the client says so.
    WhenTold,
    /// Refuses to be confirmed: the next reset rolls back.
    Never,
    /// Panics before it could be confirmed.
    Crash,
    /// Stops responding before it could be confirmed: the watchdog must fire.
    Hang,
}

impl Policy {
    /// The policy of this build: `FW_POLICY`, checked by the build script.
    pub const BUILT: Self = match env!("FW_POLICY").as_bytes() {
        b"at-once" => Self::AtOnce,
        b"never" => Self::Never,
        b"crash" => Self::Crash,
        b"hang" => Self::Hang,
        _ => Self::WhenTold,
    };
}
