//! What people and other programs are told of a run.
//!
//! All of it is made of [`Outcome`](crate::run::Outcome)s, in whatever order they come: while they run,
//! bars ([`Progress`]); then a table for the terminal ([`table`]), JUnit XML for continuous integration
//! ([`junit`]), a summary for GitHub ([`step_summary`]), one page for people ([`html`]), and the exit status
//! ([`exit_code`]). The lines of `--json` are those of the journal ([`json_line`]), and one of cut points
//! ([`cut_points_line`]).
//!
//! Consoles, reasons and names are shown and never obeyed, neither by terminals nor by browsers.

mod html;
mod junit;
mod markdown;
mod overall;
mod points;
mod progress;
mod results;
mod terminal;
mod text;

pub use html::html;
pub use junit::{JunitError, junit};
pub use markdown::{step_summary, write_step_summary};
pub use overall::exit_code;
pub use points::cut_points_line;
pub use progress::{BoardProgress, Progress};
pub use terminal::{json_line, table};
