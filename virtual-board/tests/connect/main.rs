//! The program `virtual-board` as its users see it: arguments, exit status, ports and sockets, on a board
//! with an erased flash chip, where only the mask ROM runs.

mod arguments;
mod control;
mod debugger;
mod program;
mod serial;
