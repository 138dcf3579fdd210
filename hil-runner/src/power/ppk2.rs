//! Nordic's Power Profiler Kit II as the supply of a board.

use super::config::Ppk2Table;
use super::{PowerSwitch, word};
use crate::bench::ports;
use crate::board::RigError;
use crate::scenario::CutKind;
use ppk2::Ppk2;
use ppk2::types::{DevicePower, MeasurementMode, SourceVoltage};

/// The output of a kit in source mode.
pub(super) struct Kit {
    kit: Ppk2,
    name: String,
}

impl Kit {
    pub(super) fn open(table: &Ppk2Table) -> Result<Self, RigError> {
        let path = ports::find(&table.ppk2)?;
        let name = format!("PPK2 on {}", path.display());
        let open = || {
            let mut kit = Ppk2::new(path.to_string_lossy(), MeasurementMode::Source)?;
            kit.set_source_voltage(SourceVoltage::from_millivolts(table.millivolts))?;
            Ok(kit)
        };
        let kit = open().map_err(|error: ppk2::Error| RigError::new(format!("{name}: {error}")))?;
        Ok(Self { kit, name })
    }
}

impl PowerSwitch for Kit {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kinds(&self) -> Vec<CutKind> {
        vec![CutKind::Rail]
    }

    fn set(&mut self, on: bool) -> Result<(), RigError> {
        let power = if on { DevicePower::Enabled } else { DevicePower::Disabled };
        self.kit
            .set_device_power(power)
            .map_err(|error| RigError::new(format!("{}: power {}: {error}", self.name, word(on))))
    }
}
