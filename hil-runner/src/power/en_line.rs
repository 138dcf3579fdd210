//! The EN (CHIP_PU) line of a board, pulled by RTS of its own serial port: a reset, and no loss of power.
//!
//! On development boards two transistors pull EN low while RTS is asserted and DTR is not
//! (<https://docs.espressif.com/projects/esptool/en/latest/esp32c3/advanced-topics/boot-mode-selection.html>).

use super::{PowerSwitch, word};
use crate::board::RigError;
use crate::scenario::CutKind;
use serialport::SerialPort;

/// The two lines that matter.
pub(super) trait Lines: Send {
    fn name(&self) -> Option<String>;
    /// Asserts or releases both.
    fn set(&mut self, dtr: bool, rts: bool) -> serialport::Result<()>;
}

impl Lines for Box<dyn SerialPort> {
    fn name(&self) -> Option<String> {
        self.as_ref().name()
    }
    fn set(&mut self, dtr: bool, rts: bool) -> serialport::Result<()> {
        // DTR first: asserted together with RTS it would keep EN high, asserted alone it asks for the loader.
        self.write_data_terminal_ready(dtr)?;
        self.write_request_to_send(rts)
    }
}

/// "Off" holds the chip in reset; "on" lets it start.
pub(super) struct EnLine<L = Box<dyn SerialPort>> {
    lines: L,
}

impl<L: Lines> EnLine<L> {
    pub(super) fn new(lines: L) -> Self {
        Self { lines }
    }
}

impl<L: Lines> PowerSwitch for EnLine<L> {
    fn name(&self) -> String {
        format!("EN line of {}", self.lines.name().unwrap_or_default())
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![CutKind::EnReset]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        self.lines.set(false, !on).map_err(|error| {
            let state = word(on);
            RigError::new(format!("{}: {state}: {error}; has it RTS and DTR?", self.name()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serialport::TTYPort;
    use std::sync::{Arc, Mutex};

    struct Log(Arc<Mutex<Vec<(bool, bool)>>>);

    impl Lines for Log {
        fn name(&self) -> Option<String> {
            None
        }
        fn set(&mut self, dtr: bool, rts: bool) -> serialport::Result<()> {
            self.0.lock().unwrap().push((dtr, rts));
            Ok(())
        }
    }

    #[test]
    fn off_holds_the_chip_in_reset_without_asking_for_the_loader() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut line = EnLine::new(Log(log.clone()));
        line.set(false).unwrap();
        line.set(true).unwrap();
        assert_eq!(*log.lock().unwrap(), [(false, true), (false, false)]);
        assert_eq!(line.kinds(), [CutKind::EnReset]);
    }

    #[test]
    fn a_port_without_these_lines_fails() {
        let (_board, line) = TTYPort::pair().unwrap();
        let line: Box<dyn SerialPort> = Box::new(line);
        let error = EnLine::new(line).set(false).unwrap_err();
        assert!(error.to_string().contains("has it RTS and DTR?"), "{error}");
    }
}
