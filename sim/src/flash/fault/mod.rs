//! The fault model: what a power cut, a weak cell or a bad supply may do to flash contents.
//!
//! [`FaultClass`] names the classes and their evidence, [`FaultProfile`] selects among them, and
//! [`ChipProfile`] is a selection with a name and a source for each class, which a flash part has.
//! [`crash_states`] lists the outcomes of a cut in one operation; [`Tear`] is one such outcome,
//! enough to reproduce it bit for bit. [`FaultInjector`] brings the random classes into a running
//! [`Chip`](super::Chip).

mod chip_profile;
mod class;
mod crash;
mod injector;
mod tear;

pub use chip_profile::{ChipProfile, TornClass};
pub use class::{FaultClass, FaultProfile};
pub use crash::{CrashState, CrashStates, Watch, crash_states};
pub use injector::{Fault, FaultInjector};
pub use tear::{Scope, Tear, TearMismatch, WordValue};
