//! `hil-runner discover`: what is plugged in.

use super::args::Discover;
use super::bench::restore_power;
use super::{about, print, report, tables};
use hil_runner::bench::{
    Found, PortInfo, StateDir, discover, identify, merge, parse, serial_ports,
};
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

/// Lists the boards and, if asked, writes them into an inventory. `Ok(false)` when that is wrong.
pub(super) fn run(arguments: &Discover) -> io::Result<bool> {
    restore_power(&StateDir::of_user())?;
    let mut ports = serial_ports().map_err(io::Error::other)?;
    if !arguments.port.is_empty() {
        let known = |path: &std::path::PathBuf| {
            let there = ports.iter().find(|port| port.path == *path).cloned();
            there.unwrap_or_else(|| PortInfo::at(path))
        };
        ports = arguments.port.iter().map(known).collect();
    }
    let found = discover(ports, identify);
    print(&table(&found));
    match &arguments.write {
        Some(file) => write(file, &found),
        None => Ok(true),
    }
}

fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "no serial ports\n".into();
    }
    let mut table = tables::table(["port", "USB device", "USB path", "chip", "MAC", "flash"]);
    for Found { port, answer } in found {
        let path = port.path.display().to_string();
        let usb = port.usb.as_ref().map_or_else(String::new, ToString::to_string);
        let place = port.usb_path.clone().unwrap_or_default();
        let [chip, mac, flash] = match answer {
            Ok(it) => [it.chip.id().to_string(), it.mac.clone(), format!("{} KB", it.flash >> 10)],
            Err(error) => [error.to_string(), String::new(), String::new()],
        };
        table.add_row([path, usb, place, chip, mac, flash]);
    }
    let answer = found.iter().filter(|it| it.answer.is_ok()).count();
    format!("{table}\n{answer} of {} ports answer\n", found.len())
}

fn write(file: &Path, found: &[Found]) -> io::Result<bool> {
    let old = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(about(file)(error)),
    };
    if let Err(wrong) = parse(file, &old) {
        report(&wrong);
        return Ok(false);
    }
    let merged = merge(&old, found).map_err(|error| about(file)(io::Error::other(error)))?;
    // What is added may collide with what a person wrote: a port, for instance.
    if let Err(wrong) = parse(file, &merged.text) {
        report(&wrong);
        return Ok(false);
    }
    // In one step: the file holds work of hands.
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(about(file))?;
    new.write_all(merged.text.as_bytes()).map_err(about(file))?;
    let mode = fs::metadata(file).map_or_else(
        |_| std::os::unix::fs::PermissionsExt::from_mode(0o644),
        |found| found.permissions(),
    );
    new.as_file().set_permissions(mode).map_err(about(file))?;
    new.persist(file).map_err(|error| about(file)(error.error))?;
    let list = |names: &[String]| if names.is_empty() { "none".into() } else { names.join(", ") };
    let (added, moved) = (list(&merged.added), list(&merged.moved));
    print(&format!("{}: written; new: {added}; moved: {moved}\n", file.display()));
    Ok(true)
}
