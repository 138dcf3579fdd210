//! The device: flash, partition table, bootloader, commands.

use super::Context;
use crate::scenario::case::{Command, Commands, Device, HostCommand};
use crate::scenario::code::Code;
use crate::scenario::diagnostic::suggest;
use crate::scenario::file::{CommandTable, CommandsTable, DeviceTable, Text};
use crate::scenario::node::Node;
use sim::flash::Part;
use sim::input::read_table;
use sim::layout::{Layout, TABLE_OFFSET};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// The stock layouts, which take some time to verify.
static STOCK: LazyLock<Vec<Layout>> = LazyLock::new(Layout::stock);
/// Sizes that ESP-IDF's image header can name (`esp_image_flash_size_t`), in MB.
const SIZES: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// How long a program on the host may take.
const RUN_LIMIT: Duration = Duration::from_secs(120);
/// What is replaced in commands.
const PLACEHOLDERS: [&str; 3] = ["image", "file", "port"];

impl Context<'_> {
    pub(super) fn device(&mut self, table: &DeviceTable, node: &Node) -> Option<Device> {
        let flash = self.flash(table, node);
        let layout = self.layout(table, node, flash.as_ref());
        let bootloader = match table.bootloader.as_deref() {
            None | Some("stock") => None,
            Some(file) => {
                Some(self.existing_file(file, "a bootloader", node.span_of("bootloader")))
            }
        };
        let commands = table.commands.as_ref().zip(node.get("commands"));
        let commands = commands.map(|(table, node)| self.commands(table, node));
        Some(Device {
            chip: table.chip,
            flash: flash?,
            layout: layout?,
            bootloader,
            rollback: table.rollback,
            commands,
        })
    }

    fn flash(&mut self, table: &DeviceTable, node: &Node) -> Option<Part> {
        let Some(name) = &table.flash else {
            return Some(Part::W25Q32JV);
        };
        let size = name.strip_suffix("MB").map(str::trim_end).and_then(|size| size.parse().ok());
        let sized = SIZES.into_iter().find(|mb| size == Some(*mb));
        let part = match sized {
            // Times hardly differ between sizes of a family; those of the default part stand for all.
            Some(mb) if mb << 20 == Part::W25Q32JV.capacity => Some(Part::W25Q32JV),
            Some(mb) => Some(Part::W25Q32JV.with_capacity(mb << 20)),
            None => Part::by_name(name).copied(),
        };
        if part.is_none() {
            let message = format!("`{name}` is neither a flash part nor a flash size");
            let help = format!(
                "{}, or a size such as `4 MB`",
                suggest(name, Part::ALL.iter().map(|it| it.name))
            );
            *self.sink.add(Code::BadValue, node.span_of("flash"), message, "not known") =
                Some(help);
        }
        part
    }

    fn layout(&mut self, table: &DeviceTable, node: &Node, flash: Option<&Part>) -> Option<Layout> {
        let name = &table.partitions;
        let span = node.span_of("partitions");
        let capacity = flash.map_or(u32::MAX >> 8, |flash| flash.capacity);
        let stock = &*STOCK;
        let layout = match stock.iter().find(|layout| layout.name() == name) {
            // They are for chips of this size.
            Some(layout) if capacity >= Part::W25Q32JV.capacity => Ok(layout.clone()),
            Some(layout) => Layout::from_binary(name, layout.table(), capacity)
                .map(|_| layout.clone())
                .map_err(|error| error.to_string()),
            None if !name.contains(['.', '/']) => {
                let message = format!("there is no stock layout `{name}`");
                let help = suggest(name, stock.iter().map(Layout::name));
                *self.sink.add(Code::BadTable, span, message, "not known") =
                    Some(format!("{help}; a file is named with its ending or a `/`"));
                return None;
            }
            None => read_table(&self.path(name), capacity).map_err(|error| error.what),
        };
        // The firmware would refuse it too.
        let layout = layout.and_then(|layout| match layout.validated() {
            Ok(_) => Ok(layout),
            Err(error) => Err(error.to_string()),
        });
        let help =
            format!("the table lies at flash offset {TABLE_OFFSET:#x} of {capacity:#x} bytes");
        layout
            .map_err(|error| {
                let message = format!("the partition table cannot be used: {error}");
                *self.sink.add(Code::BadTable, span, message, "this table") = Some(help);
            })
            .ok()
    }

    /// The absolute path of a file that must be there.
    pub(super) fn existing_file(&mut self, file: &str, what: &str, span: Range<usize>) -> PathBuf {
        let path = self.path(file);
        if !path.is_file() {
            let message = format!("there is no file `{}`", path.display());
            *self.sink.add(Code::NoFile, span, message, "not found") =
                Some(format!("name {what}; relative paths start at {}", self.folder.display()));
        }
        path
    }

    fn commands(&mut self, table: &CommandsTable, node: &Node) -> Commands {
        let mut command = |table: &Option<CommandTable>, name| {
            let (table, node) = table.as_ref().zip(node.get(name))?;
            Some(self.command(table, node))
        };
        let select = command(&table.select, "select");
        let confirm = command(&table.confirm, "confirm");
        let roll_back = command(&table.roll_back, "roll-back");
        let node = node.get("update").unwrap_or(node);
        Commands { update: self.command(&table.update, node), select, confirm, roll_back }
    }

    fn command(&mut self, table: &CommandTable, node: &Node) -> Command {
        let mut check = |text: &Option<Text>, key| {
            if let Some(text) = text {
                self.check_text(text, node.span_of(key));
            }
        };
        match table {
            CommandTable::Send(table) => {
                check(&Some(table.until.clone()), "until");
                check(&table.refused, "refused");
                self.placeholders(&table.send, &PLACEHOLDERS, node.span_of("send"));
                Command::Send {
                    line: table.send.clone(),
                    until: table.until.clone(),
                    refused: table.refused.clone(),
                }
            }
            CommandTable::Run(table) => {
                check(&table.until, "until");
                check(&table.refused, "refused");
                let folder = table.folder.as_deref();
                let program =
                    self.host_command(&table.run, &table.env, folder, &PLACEHOLDERS, node);
                Command::Run {
                    program,
                    until: table.until.clone(),
                    refused: table.refused.clone(),
                    limit: table.limit.map_or(RUN_LIMIT, |limit| limit.0),
                }
            }
        }
    }

    /// A program on the host, in whose words the placeholders of `allowed` may stand.
    pub(super) fn host_command(
        &mut self,
        words: &[String],
        env: &BTreeMap<String, String>,
        folder: Option<&str>,
        allowed: &[&str],
        node: &Node,
    ) -> HostCommand {
        for (word, span) in words.iter().zip(node.spans("run")) {
            self.placeholders(word, allowed, span);
        }
        let folder = self.path(folder.unwrap_or(""));
        if !folder.is_dir() {
            let message = format!("there is no folder `{}`", folder.display());
            *self.sink.add(Code::BadCommand, node.span_of("folder"), message, "not found") =
                Some(format!("relative paths start at {}", self.folder.display()));
        } else if words.first().is_some_and(|it| it.contains('/') && !folder.join(it).is_file()) {
            let message = format!("there is no program `{}`", folder.join(&words[0]).display());
            let span = node.spans("run").first().cloned().unwrap_or_else(|| node.span_of("run"));
            *self.sink.add(Code::BadCommand, span, message, "not found") =
                Some("a program without `/` in its name is looked for in PATH".into());
        }
        HostCommand { words: words.to_vec(), env: env.clone(), folder }
    }

    /// Checks the `{words}` in a line.
    pub(super) fn placeholders(&mut self, line: &str, allowed: &[&str], span: Range<usize>) {
        let words = line.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|it| it.0);
        let plain = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        for word in words.filter(plain).filter(|word| !allowed.contains(word)) {
            let message = format!("nothing replaces `{{{word}}}` here");
            *self.sink.add(Code::BadCommand, span.clone(), message, "stays as it is") =
                Some(suggest(word, allowed.iter().copied()));
        }
    }
}
