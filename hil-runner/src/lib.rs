//! Update scenarios for ESP32 devices: what is done, where power fails, and what must then hold.

pub mod bench;
pub mod board;
pub mod power;
pub mod report;
pub mod run;
pub mod scenario;
