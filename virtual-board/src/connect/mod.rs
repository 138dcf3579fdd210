//! What outside programs talk to the board through.

mod connections;
mod console;
mod control;
pub(crate) mod cut;
mod gdb;
mod lines;
mod rfc2217;
mod session;
mod symbols;
mod telnet;

pub(crate) use connections::Connections;
pub(crate) use console::Console;
pub(crate) use control::{Control, SYNTAX as CONTROL_SYNTAX};
pub(crate) use gdb::GdbServer;
pub(crate) use rfc2217::Rfc2217;
pub(crate) use session::{End, Plan, Session};
pub(crate) use symbols::Symbols;
