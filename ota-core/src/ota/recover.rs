//! Clearing what an interrupted boot or update left behind.

use super::Ota;
use crate::error::{EntryError, Error};
use crate::otadata::{Sector, State};
use crate::partition::{App, Slot};
use embedded_storage::nor_flash::MultiwriteNorFlash;

/// What [`Ota::recover`] found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Number of select entries that were retired or rewritten.
    pub repaired: u8,
    /// The next boot selects another image than the one that is running: the running one was a
    /// fallback, and a restart returns to the last good one.
    pub restart_advised: bool,
}

impl<F: MultiwriteNorFlash> Ota<F> {
    /// Clears what an interrupted boot or update left behind. Call it once at every start, before
    /// anything else.
    ///
    /// It writes only when something is wrong: an entry that is torn or reads differently from read to
    /// read, an active entry that is not that of the running image (the bootloader fell back), a
    /// running slot without an entry, a state that nobody writes. It never confirms anything.
    ///
    /// # Errors
    /// Flash errors, and [`Error::SequenceExhausted`].
    pub fn recover(&mut self) -> Result<Recovery, Error<F::Error>> {
        Ok(self.clear_leftovers()?)
    }

    pub(super) fn clear_leftovers(&mut self) -> Result<Recovery, EntryError<F::Error>> {
        let repaired = match self.running {
            App::Ota(slot) => self.recover_slot(slot)?,
            App::Factory => self.recover_factory()?,
            // A test application is booted by a pin, whatever otadata says.
            App::Test => 0,
        };
        let readings = self.read()?;
        let restart_advised = self.running != App::Test && self.chosen(&readings) != self.running;
        Ok(Recovery { repaired, restart_advised })
    }

    fn recover_slot(&mut self, running: Slot) -> Result<u8, EntryError<F::Error>> {
        let mut repaired = 0;
        let mut readings = self.read()?;
        if self.own_sector(&readings).is_none() {
            let own = Sector::BOTH.into_iter().find(|&sector| {
                let reading = readings.of(sector);
                reading.is_sound() && self.selects(reading, running)
            });
            let own = match own {
                Some(own) => own,
                None => {
                    // Without an entry of its own, the running image depends on the order in which
                    // the bootloader tries the slots.
                    let unused = match readings.of(Sector::First).is_sound() {
                        true => Sector::Second,
                        false => Sector::First,
                    };
                    let seq = self.next_seq(readings.of(unused.other()), running)?;
                    self.records().write(unused, seq, State::UNDEFINED)?;
                    repaired += 1;
                    unused
                }
            };
            let other = readings.of(own.other());
            if other.valid || other.is_torn() {
                self.records().retire(own.other())?;
                repaired += 1;
            }
            readings = self.read()?;
        }
        let own = self.own_sector(&readings).ok_or(EntryError::NotSelected)?;
        let other = readings.of(own.other());
        let same_choice = other.valid && self.selects(other, running);
        if other.is_torn() || same_choice {
            self.records().retire(own.other())?;
            repaired += 1;
        }
        // A trial that the bootloader did not record as begun would never end.
        let state = readings.of(own).state;
        if self.config.rollback && (state == State::NEW || state.is_odd()) {
            self.rewrite_own(&readings, own, State::PENDING_VERIFY)?;
            repaired += 1;
        }
        Ok(repaired)
    }

    fn recover_factory(&mut self) -> Result<u8, EntryError<F::Error>> {
        let mut repaired = 0;
        for sector in Sector::BOTH {
            if self.read()?.of(sector).is_torn() {
                self.records().retire(sector)?;
                repaired += 1;
            }
        }
        // The bootloader reaches factory past an active entry only when its image does not load (or
        // a pin made it); such an entry would be tried again at every boot.
        loop {
            let readings = self.read()?;
            let Some(sector) = readings.active() else { break };
            let bootable = match self.slot_of(readings.of(sector)) {
                Some(slot) => self.verifies(App::Ota(slot))?,
                None => false,
            };
            if bootable {
                break;
            }
            self.records().retire(sector)?;
            repaired += 1;
        }
        Ok(repaired)
    }
}
