//! What DTR and RTS do to a board.

/// The circuit of two transistors between the control lines of the serial port and the pins EN and IO9
/// of the chip, as on Espressif's boards: RTS alone pulls EN low and so holds the chip in reset, DTR alone
/// pulls the boot strap low, both together do nothing.
///
/// A capacitor delays EN when it rises, so that a host which exchanges the two lines one after the other
/// passes through "both" without leaving reset. How long a host takes over a network is unknown: the
/// circuit here stays in reset until RTS falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    dtr: bool,
    rts: bool,
    reset: bool,
}

impl Lines {
    /// Sets DTR.
    pub(crate) fn set_dtr(&mut self, on: bool) {
        self.dtr = on;
        self.settle();
    }

    /// Sets RTS.
    pub(crate) fn set_rts(&mut self, on: bool) {
        self.rts = on;
        self.settle();
    }

    fn settle(&mut self) {
        self.reset = self.rts && (self.reset || !self.dtr);
    }

    /// Whether DTR is on.
    pub(crate) fn dtr(self) -> bool {
        self.dtr
    }

    /// Whether RTS is on.
    pub(crate) fn rts(self) -> bool {
        self.rts
    }

    /// Whether the chip is held in reset.
    pub(crate) fn in_reset(self) -> bool {
        self.reset
    }

    /// Whether the boot strap is pulled low: the chip starts its serial loader.
    pub(crate) fn download(self) -> bool {
        self.dtr && !self.rts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies `D`, `R` (on) and `d`, `r` (off); returns the strap at each end of a reset.
    fn starts(lines: &mut Lines, sequence: &str) -> Vec<bool> {
        let mut starts = Vec::new();
        for line in sequence.chars() {
            let before = lines.in_reset();
            match line {
                'D' | 'd' => lines.set_dtr(line == 'D'),
                _ => lines.set_rts(line == 'R'),
            }
            if before && !lines.in_reset() {
                starts.push(lines.download());
            }
        }
        starts
    }

    #[test]
    fn the_sequences_of_the_tools() {
        let mut lines = Lines::default();
        assert_eq!(starts(&mut lines, "dRDrd"), [true], "into the loader");
        assert_eq!(starts(&mut lines, "Rr"), [false], "into the firmware");
        assert_eq!(starts(&mut lines, "dRr"), [false]);
    }

    #[test]
    fn opening_a_port_does_not_reset() {
        let mut lines = Lines::default();
        assert!(starts(&mut lines, "DR").is_empty());
        assert!(!lines.in_reset());
        assert_eq!(starts(&mut lines, "dRDrd"), [true]);
    }
}
