//! Relay modules on a serial port that take frames of four bytes: A0, the relay from 1, 1 for energised or 0
//! for released, and the sum of these three, as sellers of the USB modules LCUS-1 to LCUS-8 state it.
//! The modules answer nothing: a command counts as carried out when it has left.

use super::config::RelayTable;
use super::{PowerSwitch, word};
use crate::bench::ports;
use crate::board::RigError;
use crate::scenario::CutKind;
use serialport::{SerialPort, TTYPort};
use std::io::Write;
use std::time::Duration;

/// The rate of these modules.
const BAUD: u32 = 9600;
/// A frame of four bytes takes 4 ms; a module that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(2);

/// One relay of a module.
pub(super) struct Relay {
    port: TTYPort,
    name: String,
    channel: u8,
    cuts: CutKind,
    normally_closed: bool,
}

impl Relay {
    pub(super) fn open(table: &RelayTable) -> Result<Self, RigError> {
        let path = ports::find(&table.relay)?;
        let mut port = ports::open(&path, BAUD)
            .map_err(|error| RigError::new(format!("relay module: {error}")))?;
        port.set_timeout(TIMEOUT)
            .map_err(|error| RigError::new(format!("relay module: {error}")))?;
        let channel = table.channel.unwrap_or(1);
        Ok(Self {
            port,
            name: format!("relay {channel} on {}", path.display()),
            channel,
            cuts: table.cuts,
            normally_closed: table.normally_closed,
        })
    }
}

impl PowerSwitch for Relay {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![self.cuts]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        let energised = on != self.normally_closed;
        let mut frame = [0xA0, self.channel, energised.into(), 0];
        frame[3] = frame.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
        // Flushed: the command is done when the last byte is on the line.
        self.port
            .write_all(&frame)
            .and_then(|()| self.port.flush())
            .map_err(|error| RigError::new(format!("{}: power {}: {error}", self.name, word(on))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A module on a pseudo-terminal, and the frames for off and on that it gets.
    fn frames(more: &str) -> [[u8; 4]; 2] {
        let (mut module, line) = TTYPort::pair().unwrap();
        module.set_timeout(Duration::from_secs(10)).unwrap();
        let path = line.name().unwrap();
        // Only the name is needed; the port is opened by it, and exclusively.
        drop(line);
        let table = format!("relay = '{path}'\ncuts = 'rail'\n{more}");
        let mut relay = Relay::open(&toml::from_str(&table).unwrap()).unwrap();
        [false, true].map(|on| {
            relay.set(on).unwrap();
            let mut frame = [0; 4];
            module.read_exact(&mut frame).unwrap();
            frame
        })
    }

    #[test]
    fn frames_are_those_of_the_module() {
        let [off, on] = [[0xA0, 0x01, 0x00, 0xA1], [0xA0, 0x01, 0x01, 0xA2]];
        assert_eq!(frames(""), [off, on]);
        assert_eq!(frames("normally-closed = true"), [on, off]);
        // The sum wraps.
        assert_eq!(frames("channel = 100")[1], [0xA0, 0x64, 0x01, 0x05]);
    }

    #[test]
    fn a_module_that_is_gone_fails() {
        let (module, line) = TTYPort::pair().unwrap();
        let path = line.name().unwrap();
        drop(line);
        let table = format!("relay = '{path}'\ncuts = 'rail'");
        let mut relay = Relay::open(&toml::from_str(&table).unwrap()).unwrap();
        drop(module);
        let error = relay.set(false).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("relay 1 on {path}: power off: ")),
            "{error}"
        );
    }
}
