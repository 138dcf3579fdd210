//! A board behind a serial port that other programs, or the rest of this one, can open.

mod outbound;
mod pace;
mod pty;
mod served;
#[cfg(test)]
mod tests;

pub use outbound::Outbound;
pub use pace::Pace;
pub use pty::Pty;
pub use served::{Next, Served};

/// The rate of a serial port that no client has set, in baud: the one that the mask ROM prints at.
pub const DEFAULT_BAUD: u32 = 115_200;
