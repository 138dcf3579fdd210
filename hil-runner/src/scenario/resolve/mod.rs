//! From a file as it is written to a case that can be run: files are found, names resolved, defaults
//! filled in.

mod device;
mod images;
mod steps;

use super::case::{Case, Device, Image};
use super::code::Code;
use super::diagnostic::{Sink, suggest};
use super::family;
use super::file::{File, Text};
use super::node::Node;
use super::parameters::Choice;
use ota_core::partition::{App, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files are looked for.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The folder with the images that `just fw` builds.
    pub family: PathBuf,
}

/// Those of a run in the root folder of the project.
impl Default for Sources {
    fn default() -> Self {
        Self { family: "target/fw".into() }
    }
}

/// What one resolution needs.
pub(super) struct Context<'a> {
    /// The folder of the scenario file; absolute.
    pub(super) folder: &'a Path,
    pub(super) sources: &'a Sources,
    pub(super) sink: &'a mut Sink,
    /// Names of images that were met, over all cases.
    pub(super) used_images: &'a mut BTreeSet<String>,
}

/// Makes the case of one choice of parameters. What is wrong goes to the sink; without a device there is
/// no case.
pub(super) fn case(
    file: &File,
    root: &Node,
    choice: &Choice<'_>,
    context: &mut Context<'_>,
) -> Option<Case> {
    let device = root.get("device").and_then(|node| context.device(&file.device, node));
    let Some(device) = device else {
        // Which images a scenario uses can be said without a device.
        context.used_images.extend(file.images.keys().cloned());
        return None;
    };
    let images = context.images(file, root, &device);
    let steps = context.steps(file, root, &device, &images);
    let parameters = choice.shown();
    let mut name = file.scenario.name.clone();
    if !parameters.is_empty() {
        let shown: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        name += &format!("[{}]", shown.join(","));
    }
    Some(Case { name, parameters, device: Arc::new(device), images: Arc::new(images), steps })
}

impl Context<'_> {
    /// A path of the file, absolute.
    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Checks that a text can be looked for.
    fn check_text(&mut self, text: &Text, span: Range<usize>) {
        if text.regex().is_none() {
            let message = "the pattern is no regular expression";
            *self.sink.add(Code::BadValue, span, message, "cannot be used") =
                Some("escape characters such as ( and [ by two backslashes".into());
        }
    }

    /// The application partition of that name.
    fn app(&mut self, name: &str, device: &Device, span: Range<usize>) -> Option<App> {
        let apps = device.layout.apps();
        let slots = (0..apps.slot_count()).filter_map(Slot::new).map(App::Ota);
        let all: Vec<_> = apps.factory().map(|_| App::Factory).into_iter().chain(slots).collect();
        let found = all.iter().copied().find(|app| app.name() == name);
        if found.is_none() {
            let table = device.layout.name();
            let message = format!("partition table `{table}` has no slot `{name}`");
            *self.sink.add(Code::NoSuchSlot, span, message, "no such slot") =
                Some(suggest(name, all.iter().map(|app| app.name())));
        }
        found
    }

    /// Checks that an image of that name is defined.
    fn image(&mut self, name: &str, images: &BTreeMap<String, Image>, span: Range<usize>) {
        self.used_images.insert(name.into());
        if images.contains_key(name) {
            return;
        }
        let help = match family::member(name) {
            Some(_) => format!("define it: [images.\"{name}\"] with family = \"{name}\""),
            None => suggest(name, images.keys().map(String::as_str)),
        };
        let message = format!("there is no image `{name}`");
        *self.sink.add(Code::UnknownImage, span, message, "not defined") = Some(help);
    }
}
