//! `hil-runner power`: switches boards by hand, and measures switches.

use super::args::PowerCommand;
use super::bench::{lock, real_board, restore_power};
use super::print;
use super::tables;
use hil_runner::bench::{SerialEntry, StateDir, open_port, serial_ports};
use hil_runner::board::RigError;
use hil_runner::power::{Cycle, Guarded, Limits, PowerSwitch, SerialSigns, measure};
use hil_runner::scenario::CutKind;
use serialport::SerialPort;
use std::fmt::Write;
use std::io;
use std::time::Duration;

/// How long a board may take until it is seen running, and until it is seen off: what is in its capacitors
/// lasts for seconds at most.
const LIMITS: Limits = Limits { life: Duration::from_secs(5), end: Duration::from_secs(5) };

/// Does it. `Ok(false)` when the inventory is wrong.
pub(super) fn power(command: &PowerCommand) -> io::Result<bool> {
    let state = StateDir::of_user();
    restore_power(&state)?;
    let (target, task) = match command {
        PowerCommand::On(target) => (target, "power on"),
        PowerCommand::Off(target) => (target, "power off"),
        PowerCommand::Test { target, .. } => (target, "power test"),
    };
    let Some((board, serial)) = real_board(&target.bench, &target.board)? else {
        return Ok(false);
    };
    let name = &board.name;
    let Some(config) = serial.power.clone() else {
        let file = target.bench.display();
        return Err(io::Error::other(format!("{name} has no [board.power] in {file}")));
    };
    let _lock = lock(&state, &board, task)?;
    let about = |error: RigError| io::Error::other(RigError::new(format!("{name}: {error}")));
    // Only a switch that goes through the board's own port needs it here.
    let port = match config.needs_lines() {
        true => Some(serial_ports().and_then(|ports| serial.locate(&ports)).map_err(about)?),
        false => None,
    };
    let lines = port.as_deref().map(open_port).transpose().map_err(about)?;
    let watched = lines.as_ref().map(|lines| lines.try_clone()).transpose()?;
    let mut switch = config.open(lines).map_err(about)?;
    match command {
        PowerCommand::On(_) => switch.set(true).map_err(about)?,
        PowerCommand::Off(_) => switch.set(false).map_err(about)?,
        PowerCommand::Test { repeat, .. } => {
            let key = (name.as_str(), board.key());
            let mut guarded = Guarded::new(switch, &config, key, port.as_deref(), &state)?;
            let measured = test(&mut guarded, signs(serial, watched), *repeat);
            // Power comes back first, whatever was measured.
            guarded.finish().map_err(about)?;
            print(&measured.map_err(about)?);
        }
    }
    Ok(true)
}

/// Watches the board's port; `open` is a handle of it if it is open already.
fn signs(serial: SerialEntry, open: Option<Box<dyn SerialPort>>) -> SerialSigns {
    SerialSigns::new(move || match &open {
        Some(port) => {
            port.try_clone().map_err(|error| RigError::new(format!("the board's port: {error}")))
        }
        None => open_port(&serial.locate(&serial_ports()?)?),
    })
}

fn test(switch: &mut Guarded, mut signs: SerialSigns, repeat: u32) -> Result<String, RigError> {
    let cycles = measure(switch, &mut signs, repeat, LIMITS)?;
    let kinds: Vec<_> = switch.kinds().iter().filter_map(word).collect();
    Ok(format!("{}: cuts of kind {}\n{}", switch.name(), kinds.join(", "), table(&cycles)))
}

/// A kind of cut as it is written in files.
fn word(kind: &CutKind) -> Option<String> {
    Some(serde_json::to_value(kind).ok()?.as_str()?.to_owned())
}

/// Smallest, middle and largest time of each kind.
fn table(cycles: &[Cycle]) -> String {
    let mut table =
        tables::table(["from the command to", "least", "median", "most", "spread", "seen"]);
    type Time = fn(&Cycle) -> Option<Duration>;
    let rows: [(&str, Time); 4] = [
        ("end of the command, off", |cycle| Some(cycle.off_command)),
        ("board off", |cycle| cycle.off),
        ("end of the command, on", |cycle| Some(cycle.on_command)),
        ("board writes", |cycle| cycle.on),
    ];
    for (name, time) in rows {
        let mut times: Vec<_> = cycles.iter().filter_map(time).collect();
        times.sort_unstable();
        let seen = format!("{} of {}", times.len(), cycles.len());
        let cells = match (times.first(), times.get(times.len() / 2), times.last()) {
            (Some(&least), Some(&median), Some(&most)) => {
                [least, median, most, most - least].map(milliseconds)
            }
            _ => ["-"; 4].map(str::to_owned),
        };
        table.add_row([&[name.to_owned()], &cells[..], &[seen]].concat());
    }
    let mut text = format!("{table}\n");
    if cycles.iter().any(|cycle| cycle.off.is_none()) {
        let _ = writeln!(
            text,
            "The board was not always seen off: its port stayed, and it does not write all the time. \
             Erase its flash and measure again: without firmware, the ROM writes without end."
        );
    }
    text
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(off: Option<u64>) -> Cycle {
        let ms = Duration::from_millis;
        Cycle {
            off_command: ms(5),
            off: off.map(ms),
            on_command: ms(6),
            on: off.map(|it| ms(it * 2)),
        }
    }

    #[test]
    fn the_spread_is_shown() {
        let text = table(&[cycle(Some(30)), cycle(Some(10)), cycle(Some(12))]);
        let row = |name: &str| {
            let line = text.lines().find(|line| line.contains(name)).unwrap();
            line.trim_start()
                .trim_start_matches(name)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(row("board off"), "10.0 ms 12.0 ms 30.0 ms 20.0 ms 3 of 3");
        assert_eq!(row("board writes"), "20.0 ms 24.0 ms 60.0 ms 40.0 ms 3 of 3");
        assert_eq!(row("end of the command, off"), "5.0 ms 5.0 ms 5.0 ms 0.0 ms 3 of 3");
        assert!(!text.contains("not always seen"));
    }

    #[test]
    fn what_was_not_seen_has_no_times() {
        let text = table(&[cycle(None)]);
        assert!(text.contains("0 of 1") && text.contains("not always seen off"), "{text}");
    }
}
