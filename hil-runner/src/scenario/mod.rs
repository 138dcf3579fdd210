//! Scenario files: what is done to a device, where power fails, and what must then hold.
//!
//! [`load`] reads a file and everything that it names, and reports all its mistakes at once as
//! [`Diagnostic`]s. What it returns is ready to be run: a [`Case`] for each combination of parameters,
//! with paths absolute, images and slots resolved and defaults filled in. Only how many flash
//! operations a step has is left to the board ([`Which::Every`]). [`needs`] says what a board must be
//! able to do for a case.
//! [`Change::apply`] makes the images that are another one with a change.

mod capability;
mod case;
mod change;
mod code;
mod diagnostic;
mod family;
mod file;
mod flow;
mod format;
mod load;
mod node;
mod parameters;
mod resolve;
mod schema;
mod shape;

pub use capability::{BoardKind, Capability, estimate, needs};
pub use case::{
    Action, AfterCut, Case, Change, Command, Commands, Cut, Device, Entry, Expectation,
    HostCommand, Image, Otadata, Place, Scenario, Source, Step, Which,
};
pub use change::ChangeError;
pub use code::{Code, UnknownCode};
pub use diagnostic::Diagnostic;
pub(crate) use diagnostic::Sink;
pub(crate) use file::Span;
pub use file::{ChipName, CutKind, Damage, Pattern, Phase, ResetKind, Text, Then};
pub use format::format;
pub use load::{duplicates, load, parse};
pub(crate) use load::{parse_toml, read};
pub(crate) use node::Node;
pub use resolve::Sources;
pub use schema::schema;
pub(crate) use schema::without_null;
pub(crate) use shape::table as check_table;
