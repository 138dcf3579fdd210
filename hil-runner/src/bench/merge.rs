//! Adds what is plugged in to an inventory, and keeps all that a person wrote.

use super::discover::{Found, Identity};
use super::ports::PortInfo;
use super::size_text;
use crate::board::RigError;
use crate::scenario::ChipName;
use std::collections::BTreeSet;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

/// The start of a new inventory.
const HEAD: &str = "\
# The boards of this bench. docs/bench.md explains the keys; a board that is to lose power needs a
# [board.power].
";

/// An inventory with what is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its text.
    pub text: String,
    /// The names of the boards that are new in it.
    pub added: Vec<String>,
    /// The names of the boards that are now at another place than it said.
    pub moved: Vec<String>,
}

/// Adds boards to the text of an inventory, which is empty for a new one. A board whose MAC address is there
/// already is not added again: only its place is brought up to date where the inventory names it by path.
/// Everything else stays as it is, comments included.
///
/// # Errors
/// The text is no inventory.
pub fn merge(text: &str, found: &[Found]) -> Result<Merged, RigError> {
    let text = if text.is_empty() { HEAD } else { text };
    let parse = |text: &str| {
        text.parse::<DocumentMut>().map_err(|error| RigError::new(format!("not TOML: {error}")))
    };
    let mut document = parse(text)?;
    // What stands before the first entry belongs to it; without one, it belongs to the end of the file.
    let mut head = "";
    if document.is_empty() {
        (head, document) = (text, DocumentMut::new());
    }
    let boards = document.entry("board").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(boards) = boards.as_array_of_tables_mut() else {
        return Err(RigError::new("`board` is a list in one line; write a [[board]] for each"));
    };
    let (mut added, mut moved) = (Vec::new(), Vec::new());
    let mut names: BTreeSet<String> =
        boards.iter().filter_map(|board| string(board, "name")).map(str::to_owned).collect();
    for (identity, ports) in by_address(found) {
        let known = boards.iter_mut().find(|board| {
            string(board, "mac").is_some_and(|mac| mac.eq_ignore_ascii_case(&identity.mac))
        });
        match known {
            Some(board) => {
                let stays = |port: &&PortInfo| is_at(board, port);
                let port = ports.iter().copied().find(stays).unwrap_or(ports[0]);
                let path = update(board, "port", Some(&port.path.to_string_lossy()));
                let place = update(board, "usb-path", port.usb_path.as_deref());
                if path || place {
                    moved.push(string(board, "name").unwrap_or(&identity.mac).to_owned());
                }
            }
            None => {
                let name = name(identity, &names);
                names.insert(name.clone());
                boards.push(entry(&name, ports[0], identity));
                added.push(name);
            }
        }
    }
    Ok(Merged { text: format!("{head}{document}"), added, moved })
}

/// The boards, each once, with all ports where it answers: a board may have two.
fn by_address(found: &[Found]) -> Vec<(&Identity, Vec<&PortInfo>)> {
    let mut boards: Vec<(&Identity, Vec<&PortInfo>)> = Vec::new();
    for Found { port, answer } in found {
        let Ok(identity) = answer else { continue };
        match boards.iter_mut().find(|(other, _)| other.mac == identity.mac) {
            Some((_, ports)) => ports.push(port),
            None => boards.push((identity, vec![port])),
        }
    }
    boards
}

/// Whether an entry is at that port: by its path, or without one by its place in the USB tree.
fn is_at(board: &Table, port: &PortInfo) -> bool {
    match string(board, "port") {
        Some(path) => is_path(path, &port.path.to_string_lossy()),
        None => string(board, "usb-path") == port.usb_path.as_deref(),
    }
}

/// Whether a path is that port, or a link to it, such as those below `/dev/serial`.
fn is_path(path: &str, port: &str) -> bool {
    path == port || std::fs::canonicalize(path).is_ok_and(|it| it.as_os_str() == port)
}

fn string<'a>(board: &'a Table, key: &str) -> Option<&'a str> {
    board.get(key)?.as_str()
}

/// Replaces a text that is there and differs, and keeps what stands around it.
fn update(board: &mut Table, key: &str, new: Option<&str>) -> bool {
    let (Some(old), Some(new)) = (board.get_mut(key).and_then(Item::as_value_mut), new) else {
        return false;
    };
    if old.as_str().is_none_or(|old| is_path(old, new)) {
        return false;
    }
    let decor = old.decor().clone();
    *old = Value::from(new);
    *old.decor_mut() = decor;
    true
}

/// A name that is not taken: the chip and the end of the MAC address.
fn name(identity: &Identity, taken: &BTreeSet<String>) -> String {
    let digits: String = identity.mac.chars().filter(char::is_ascii_hexdigit).collect();
    let end = &digits[digits.len().saturating_sub(6)..];
    let name = format!("{}-{end}", chip(identity.chip));
    let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    names.into_iter().find(|name| !taken.contains(name)).unwrap_or(name)
}

fn chip(chip: ChipName) -> &'static str {
    match chip {
        ChipName::Esp32 => "esp32",
        ChipName::Esp32c3 => "esp32c3",
        ChipName::Esp32c6 => "esp32c6",
        ChipName::Esp32h2 => "esp32h2",
        ChipName::Esp32s3 => "esp32s3",
    }
}

fn entry(name: &str, port: &PortInfo, identity: &Identity) -> Table {
    let mut board = Table::new();
    board.decor_mut().set_prefix("\n");
    board["name"] = value(name);
    board["chip"] = value(chip(identity.chip));
    board["mac"] = value(&identity.mac);
    board["flash"] = value(size_text(identity.flash));
    // A serial number finds the board wherever it is plugged in; a path does not.
    let serial = port.usb.as_ref().and_then(|usb| Some((usb, usb.serial.as_ref()?)));
    let usb = serial.and_then(|(usb, serial)| {
        let serial = Value::from(serial.as_str());
        let text =
            format!("{{ vid = {:#06X}, pid = {:#06X}, serial ={serial} }}", usb.vid, usb.pid);
        text.replace("0X", "0x").replace("serial =\"", "serial = \"").parse::<Value>().ok()
    });
    board["port"] = usb.map_or_else(|| value(&*port.path.to_string_lossy()), value);
    if let Some(usb_path) = &port.usb_path {
        board["usb-path"] = value(usb_path);
    }
    board
}
