//! Reads an inventory.

use super::file::{BoardTable, File, ProbeTable, SHAPE, VirtualTable};
use super::{Bench, BoardEntry, PortTable, ProbeEntry, SerialEntry, size};
use crate::scenario::{ChipName, Code, Diagnostic, Node, Sink, check_table, parse_toml, read};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf, absolute};

/// Flash of a virtual board in bytes if nothing is said.
const VIRTUAL_FLASH: u32 = 4 << 20;

/// Reads an inventory.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(path: &Path) -> Result<Bench, Vec<Diagnostic>> {
    match read(path) {
        Ok(source) => parse(path, &source),
        Err(message) => {
            let mut sink = Sink::new(path, "");
            let message = format!("cannot read {}: {message}", path.display());
            *sink.add(Code::NoScenario, 0..0, message, "") =
                Some("`hil-runner discover --write FILE` writes an inventory".into());
            Err(sink.finish())
        }
    }
}

/// Reads the text of an inventory that lies, or would lie, at `path`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(path: &Path, source: &str) -> Result<Bench, Vec<Diagnostic>> {
    let mut sink = Sink::new(path, source);
    let bench = parse_toml(source, &mut sink).and_then(|root| contents(path, &root, &mut sink));
    match bench {
        Some(bench) if sink.is_empty() => Ok(bench),
        _ => Err(sink.finish()),
    }
}

fn contents(path: &Path, root: &Node, sink: &mut Sink) -> Option<Bench> {
    check_table(root, &SHAPE, "the file", sink);
    if !sink.is_empty() {
        return None;
    }
    let file: File = match serde_json::from_value(root.to_json()) {
        Ok(file) => file,
        Err(error) => {
            // The schema comes from the same types, so it finds this first.
            sink.add(Code::WrongType, 0..0, format!("the file cannot be read: {error}"), "");
            return None;
        }
    };
    let file_path = absolute(path).unwrap_or_else(|_| path.into());
    let folder = file_path.parent().map_or_else(PathBuf::new, PathBuf::from);
    let nodes = |name: &str| root.get(name).map_or(&[][..], Node::items);
    let (mut boards, mut once) = (Vec::new(), Once::default());
    for (table, node) in file.board.into_iter().zip(nodes("board")) {
        once.add("name", &table.name, node.span_of("name"), sink);
        once.add("MAC address", &table.mac.to_lowercase(), node.span_of("mac"), sink);
        if let Some(port) = table.port.as_ref().map(port_text) {
            once.add("port", &port, node.span_of("port"), sink);
        }
        boards.extend(board(table, node, &folder, sink));
    }
    for (table, node) in file.virtual_boards.into_iter().zip(nodes("virtual")) {
        for board in virtual_boards(table, node, sink) {
            once.add("name", &board.name, node.span_of("name"), sink);
            boards.push(board);
        }
    }
    Some(Bench { boards })
}

/// What no two boards may have in common.
#[derive(Default)]
struct Once(BTreeMap<(&'static str, String), usize>);

impl Once {
    fn add(&mut self, what: &'static str, value: &str, span: Range<usize>, sink: &mut Sink) {
        let line = sink.line(&span);
        if let Some(other) = self.0.insert((what, value.into()), line) {
            let message = format!("{what} `{value}` is also that of the board at line {other}");
            *sink.add(Code::DuplicateName, span, message, "not unique") =
                Some(format!("each board has a {what} of its own"));
        }
    }
}

fn port_text(port: &PortTable) -> String {
    match port {
        PortTable::Path(path) => path.display().to_string(),
        PortTable::Usb(usb) => usb.to_string(),
    }
}

fn board(table: BoardTable, node: &Node, folder: &Path, sink: &mut Sink) -> Option<BoardEntry> {
    let flash = flash(&table.flash, node, sink)?;
    let mut power = table.power;
    if let Some(power) = &mut power {
        power.resolve(folder);
    }
    Some(BoardEntry {
        name: table.name,
        chip: table.chip,
        flash,
        tags: table.tags,
        notes: table.notes,
        serial: Some(SerialEntry {
            mac: table.mac.to_lowercase(),
            port: table.port,
            usb_path: table.usb_path,
            power,
            probe: table.probe.map(probe),
        }),
    })
}

fn probe(table: ProbeTable) -> ProbeEntry {
    let ranges = table.memory.iter().map(|it| it.start..it.start.saturating_add(it.length));
    ProbeEntry { selector: table.selector, memory: ranges.collect() }
}

fn virtual_boards(table: VirtualTable, node: &Node, sink: &mut Sink) -> Vec<BoardEntry> {
    let flash = match &table.flash {
        None => Some(VIRTUAL_FLASH),
        Some(text) => flash(text, node, sink),
    };
    let Some(flash) = flash else { return Vec::new() };
    let count = table.count.unwrap_or(1);
    let board = |number: u8| BoardEntry {
        name: match count {
            1 => table.name.clone(),
            _ => format!("{}-{number}", table.name),
        },
        chip: ChipName::Esp32c3,
        flash,
        tags: table.tags.clone(),
        notes: table.notes.clone(),
        serial: None,
    };
    (1..=count).map(board).collect()
}

fn flash(text: &str, node: &Node, sink: &mut Sink) -> Option<u32> {
    let size = size(text).filter(|size| size.is_power_of_two());
    if size.is_none() {
        let message = format!("no flash chip has {text}");
        *sink.add(Code::BadValue, node.span_of("flash"), message, "no such size") =
            Some("sizes are powers of two, for example 4 MB".into());
    }
    size
}
