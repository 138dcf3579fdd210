//! What a device guarantees: step by step of an update, what a power cut there comes to.
//!
//! [`Guarantee::of`] lives the life of a device without a cut: two updates in a row; with rollback also an
//! update that rejects itself and one that never confirms itself; with a factory application the return to
//! it. Then it cuts power once, at every flash operation and in every way that the faults allow, and
//! switches the device on again. What boots, what is lost and whether another update goes through is the
//! [`Row`] of that crash state; rows of the same step and kind of cut make a [`Cell`].
//!
//! After the cut everything is tried that the application may do in one power cycle, and what boots then:
//! an invariant that breaks on the way is charged to the cut. Further cuts are not tried here;
//! [`explore`](crate::explore) does that.
//!
//! Crash states that nobody can tell apart are recovered from once (see [`State`](crate::explore::State))
//! and counted each.

mod life;
mod recover;
mod report;
mod step;
mod table;
mod text;
mod window;

pub use recover::{Boots, Lost, Updates};
pub use report::Report;
pub use step::{Phase, Step};
pub use table::{Cell, CutKind, Guarantee, Row};
pub use window::{Exposure, Timed, Window};
