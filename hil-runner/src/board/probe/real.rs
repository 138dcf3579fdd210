//! Real debug probes, through probe-rs. What is sent to a chip here has been run against no hardware.

use super::target::{Call, Target};
use crate::board::RigError;
use crate::scenario::ChipName;
use probe_rs::config::TargetSelector;
use probe_rs::probe::list::{Accessibility, Lister, ProbeListItem};
use probe_rs::probe::{DebugProbeSelector, Probe};
use probe_rs::{Core, MemoryInterface, Permissions, RegisterValue, Session};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Once;
use std::time::Duration;

/// How long a core may take to halt. It halts between two instructions; the limit is for a chip that is gone.
const HALTS: Duration = Duration::from_secs(1);

/// Attaches to a chip that runs through the probe with that selector (`VID:PID` in hexadecimal, or
/// `VID:PID:SERIAL`). The core runs on, without watchdogs.
///
/// # Errors
/// There is no such probe, or several; it may not be used; or the chip behind it is another one.
pub fn connect(selector: &str, chip: ChipName) -> Result<Box<dyn Target>, RigError> {
    static PLUGIN: Once = Once::new();
    PLUGIN.call_once(probe_rs_espressif::register_plugin);
    let probe = open(&Lister::new(), selector)?;
    Ok(Box::new(attach(probe, selector, chip)?))
}

fn open(lister: &Lister, selector: &str) -> Result<Probe, RigError> {
    let wanted: DebugProbeSelector = selector.parse().map_err(|error| {
        RigError::new(format!(
            "`{selector}` selects no probe ({error}); write VID:PID or VID:PID:SERIAL"
        ))
    })?;
    let there = lister.list_all_with_access();
    let fitting: Vec<_> = there.iter().filter(|it| wanted.matches_probe(&it.info)).collect();
    match fitting.as_slice() {
        [] => Err(RigError::new(format!("no probe is {selector}; there {}", listed(&there)))),
        [ProbeListItem { accessibility: Accessibility::PermissionDenied, info }] => {
            let what =
                "may not be used by this user; docs/bench.md, \"Permissions\", has udev rules";
            Err(RigError::new(format!("{info} {what}")))
        }
        [one] => lister
            .open(&one.info)
            .map_err(|error| RigError::new(format!("{}: {}", one.info, chain(&error)))),
        several => {
            let names: Vec<_> = several.iter().map(|it| it.info.to_string()).collect();
            let what = "add the serial number: VID:PID:SERIAL";
            let names = names.join(", ");
            Err(RigError::new(format!("several probes are {selector} ({names}); {what}")))
        }
    }
}

fn listed(probes: &[ProbeListItem]) -> String {
    match probes {
        [] => "is none at all: is it plugged in?".into(),
        _ => {
            let names: Vec<_> = probes.iter().map(|it| it.info.to_string()).collect();
            format!("are: {}", names.join(", "))
        }
    }
}

fn attach(probe: Probe, selector: &str, chip: ChipName) -> Result<Attached, RigError> {
    // The chip is asked what it is: a target that is only named would be believed.
    let session = probe.attach(TargetSelector::Auto, Permissions::new()).map_err(|error| {
        let what =
            "is the chip powered, and its JTAG not disabled by eFuses or used for other things?";
        RigError::new(format!("{selector} does not find a chip: {}; {what}", chain(&error)))
    })?;
    expect_chip(selector, &session.target().name, chip)?;
    Ok(Attached { session, breakpoints: BTreeSet::new() })
}

/// Fails if the chip that was found is not that of the board.
fn expect_chip(selector: &str, found: &str, chip: ChipName) -> Result<(), RigError> {
    let wanted = chip.id().to_string();
    if plain(found) == plain(&wanted) {
        return Ok(());
    }
    let what = "`chip` or `selector` in the inventory is wrong";
    let found = format!("{selector} is attached to an {found}");
    Err(RigError::new(format!("{found}, the board is an {wanted}: {what}")))
}

/// A chip's name without what varies in writing.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

fn failed(doing: &str) -> impl Fn(probe_rs::Error) -> RigError + '_ {
    move |error| RigError::new(format!("{doing}: {}", chain(&error)))
}

/// A chip with a probe attached to it.
struct Attached {
    session: Session,
    /// Those that are set.
    breakpoints: BTreeSet<u32>,
}

impl Attached {
    /// The first core: it runs the bootloader and does the firmware's flash operations.
    fn core(&mut self) -> Result<Core<'_>, RigError> {
        self.session.core(0).map_err(failed("the core"))
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached")
            .field("chip", &self.session.target().name)
            .finish_non_exhaustive()
    }
}

impl Target for Attached {
    fn is_halted(&mut self) -> Result<bool, RigError> {
        self.core()?.core_halted().map_err(failed("the state of the core"))
    }

    fn halt(&mut self) -> Result<(), RigError> {
        self.core()?.halt(HALTS).map(drop).map_err(failed("the core does not halt"))
    }

    fn go_on(&mut self) -> Result<(), RigError> {
        self.core()?.run().map_err(failed("the core does not go on"))
    }

    fn set_breakpoints(&mut self, addresses: &[u32]) -> Result<(), RigError> {
        let wanted: BTreeSet<_> = addresses.iter().copied().collect();
        if wanted == self.breakpoints {
            return Ok(());
        }
        // Triggers can be written only while the core stands still.
        let running = !self.is_halted()?;
        if running {
            self.halt()?;
        }
        let set = std::mem::take(&mut self.breakpoints);
        let mut core = self.core()?;
        for &old in set.difference(&wanted) {
            core.clear_hw_breakpoint(old.into()).map_err(failed("a breakpoint"))?;
        }
        for &new in wanted.difference(&set) {
            core.set_hw_breakpoint(new.into()).map_err(failed("a breakpoint"))?;
        }
        drop(core);
        self.breakpoints = wanted;
        if running { self.go_on() } else { Ok(()) }
    }

    fn reset_and_halt(&mut self) -> Result<(), RigError> {
        // Before it, and not only for the reset: probe-rs would go on to count those that are gone.
        self.halt()?;
        self.set_breakpoints(&[])?;
        let doing = failed("the core does not halt after its reset");
        self.core()?.reset_and_halt(HALTS).map(drop).map_err(doing)
    }

    fn call(&mut self) -> Result<Call, RigError> {
        let mut core = self.core()?;
        let mut places = vec![core.program_counter(), core.return_address()];
        places.extend((0..3).filter_map(|index| core.registers().get_argument_register(index)));
        let read = |place| core.read_core_reg(place).map_err(failed("a register"));
        let values = places.into_iter().map(read).collect::<Result<Vec<u32>, _>>()?;
        match *values.as_slice() {
            [function, returns, first, second, third] => {
                Ok(Call { function, returns, arguments: [first, second, third] })
            }
            _ => Err(RigError::new("the core has no registers for three arguments")),
        }
    }

    fn registers(&mut self) -> Result<Vec<(String, u64)>, RigError> {
        let mut core = self.core()?;
        let mut all = Vec::new();
        for register in core.registers().core_registers() {
            let value: RegisterValue =
                core.read_core_reg(register).map_err(failed("a register"))?;
            let value = match value {
                RegisterValue::U32(value) => value.into(),
                RegisterValue::U64(value) => value,
                RegisterValue::U128(value) => {
                    let what = format!("{} of {value:#x} is wider than expected", register.name());
                    return Err(RigError::new(what));
                }
            };
            all.push((register.name().to_owned(), value));
        }
        Ok(all)
    }

    fn read_memory(&mut self, range: Range<u32>) -> Result<Vec<u8>, RigError> {
        let mut bytes = vec![0; range.len()];
        let doing = format!("memory {:#x} to {:#x}", range.start, range.end);
        self.core()?.read(range.start.into(), &mut bytes).map_err(failed(&doing))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_rs::probe::list::ProbeLister;
    use probe_rs::probe::{DebugProbeError, DebugProbeInfo, ProbeCreationError};
    use probe_rs_espressif::espusbjtag::EspUsbJtagFactory;

    /// These are plugged in, and no one can be opened.
    #[derive(Debug)]
    struct There(Vec<ProbeListItem>);

    impl ProbeLister for There {
        fn open(&self, _: &DebugProbeSelector) -> Result<Probe, DebugProbeError> {
            Err(ProbeCreationError::CouldNotOpen.into())
        }

        fn list_with_access(&self, _: Option<&DebugProbeSelector>) -> Vec<ProbeListItem> {
            self.0.clone()
        }
    }

    fn probe(serial: &str, accessibility: Accessibility) -> ProbeListItem {
        let serial = Some(serial.to_owned());
        let info =
            DebugProbeInfo::new("JTAG", 0x303A, 0x1001, serial, &EspUsbJtagFactory, None, false);
        ProbeListItem { info, accessibility }
    }

    fn error(there: &[ProbeListItem], selector: &str) -> String {
        let lister = Lister::with_lister(Box::new(There(there.to_vec())));
        open(&lister, selector).expect_err("no probe can be opened").to_string()
    }

    #[test]
    fn a_probe_that_is_not_there_is_told_from_those_that_are() {
        let there = [probe("60:55:F9:00:00:01", Accessibility::Accessible)];
        assert_eq!(
            error(&[], "303A:1001"),
            "no probe is 303A:1001; there is none at all: is it plugged in?"
        );
        let other = error(&there, "303A:1001:60:55:F9:00:00:02");
        assert!(other.contains("there are: "), "{other}");
        assert!(other.contains("60:55:F9:00:00:01"), "{other}");
        assert!(error(&there, "nonsense").contains("write VID:PID"));
    }

    #[test]
    fn a_probe_that_cannot_be_had_says_why() {
        let [one, two] = ["1", "2"].map(|serial| probe(serial, Accessibility::Accessible));
        let several = error(&[one.clone(), two], "303A:1001");
        assert!(several.contains("add the serial number"), "{several}");
        let denied = error(&[probe("1", Accessibility::PermissionDenied)], "303A:1001");
        assert!(denied.contains("udev rules"), "{denied}");
        let busy = error(&[one], "303A:1001");
        assert!(busy.contains("could not be opened"), "{busy}");
    }

    #[test]
    fn another_chip_than_that_of_the_board_is_told() {
        assert_eq!(expect_chip("303A:1001", "esp32c3", ChipName::Esp32c3), Ok(()));
        let error = expect_chip("303A:1001", "esp32c6", ChipName::Esp32c3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "303A:1001 is attached to an esp32c6, the board is an ESP32-C3: `chip` or `selector` in the \
             inventory is wrong"
        );
    }

    #[test]
    fn all_chips_are_known_by_the_names_that_they_have_here() {
        probe_rs_espressif::register_plugin();
        let registry = probe_rs::config::Registry::from_builtin_families();
        for chip in [
            ChipName::Esp32,
            ChipName::Esp32c3,
            ChipName::Esp32c6,
            ChipName::Esp32h2,
            ChipName::Esp32s3,
        ] {
            let name = plain(&chip.id().to_string());
            let target = registry.get_target_by_name(&name).expect("a target");
            assert_eq!(plain(&target.name), name);
        }
    }
}
