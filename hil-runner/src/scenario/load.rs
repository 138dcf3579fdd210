//! Reads a scenario file and everything that it names.

use super::case::Scenario;
use super::code::Code;
use super::diagnostic::{Diagnostic, Sink};
use super::file::File;
use super::node::{Node, Value};
use super::parameters::{self, Choice};
use super::resolve::{self, Context, Sources};
use super::{flow, shape};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf, absolute};
use toml::de::DeTable;

/// Longest scenario file in bytes.
const MAX_FILE: u64 = 0x10_0000;

/// Reads a scenario file.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn load(path: &Path, sources: &Sources) -> Result<Scenario, Vec<Diagnostic>> {
    match read(path) {
        Ok(source) => parse(path, &source, sources),
        Err(message) => {
            let mut sink = Sink::new(path, "");
            *sink.add(
                Code::NoScenario,
                0..0,
                format!("cannot read {}: {message}", path.display()),
                "",
            ) = Some("`hil-runner new FILE` writes a starting point".into());
            Err(sink.finish())
        }
    }
}

/// The text of a file of sensible length.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MAX_FILE {
        return Err(format!("{length} bytes exceed the limit of {MAX_FILE}"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

/// Reads the text of a scenario file that lies, or would lie, at `path`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(path: &Path, source: &str, sources: &Sources) -> Result<Scenario, Vec<Diagnostic>> {
    let mut sink = Sink::new(path, source);
    let Some(root) = parse_toml(source, &mut sink) else {
        return Err(sink.finish());
    };
    let scenario = Loader { path, sources, root: &root, sink: &mut sink }.load();
    match scenario {
        Some(scenario) if sink.is_empty() => Ok(scenario),
        _ => Err(sink.finish()),
    }
}

/// The contents of a file; `None` when it is not TOML.
pub(crate) fn parse_toml(source: &str, sink: &mut Sink) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        sink.add(Code::Syntax, span, format!("not TOML: {}", error.message()), "");
    }
    sink.is_empty().then(|| Node::table(0..0, table.get_ref()))
}

struct Loader<'a> {
    path: &'a Path,
    sources: &'a Sources,
    root: &'a Node,
    sink: &'a mut Sink,
}

impl Loader<'_> {
    fn load(self) -> Option<Scenario> {
        let Self { path, sources, root, sink } = self;
        shape::check(root, Some("parameters"), sink);
        let parameters = parameters::read(root, sink);
        if !sink.is_empty() {
            // Values are not known, so the rest is checked without them.
            shape::check(&without_parameters(root), None, sink);
            return None;
        }
        let choices = parameters::combinations(&parameters, root, sink);
        let file = absolute(path).unwrap_or_else(|_| path.into());
        let folder = file.parent().map_or_else(PathBuf::new, PathBuf::from);
        let (mut used, mut used_images) = (BTreeSet::new(), BTreeSet::new());
        let (mut cases, mut head, mut readable) = (Vec::new(), None, true);
        for choice in &choices {
            let Some((node, read)) = read_case(root, choice, &mut used, sink) else {
                readable = false;
                sink.dedup();
                continue;
            };
            let mut context =
                Context { folder: &folder, sources, sink, used_images: &mut used_images };
            let case = resolve::case(&read, &node, choice, &mut context);
            if let Some(case) = case {
                flow::check(&case, node.get("step").map_or(&[][..], Node::items), sink);
                cases.push(case);
            }
            sink.dedup();
            head = Some(read.scenario);
        }
        if !choices.is_empty() {
            parameters::unused(root, &used, sink);
        }
        if readable && !choices.is_empty() {
            unused_images(root, &used_images, sink);
        }
        let head = head?;
        Some(Scenario {
            file,
            name: head.name,
            why: head.why,
            tags: head.tags,
            hazards: head.hazards,
            cases,
        })
    }
}

/// The file with the parameters of one choice, and what it says; `None` when its shape is wrong.
fn read_case(
    root: &Node,
    choice: &Choice<'_>,
    used: &mut BTreeSet<String>,
    sink: &mut Sink,
) -> Option<(Node, File)> {
    let mut own = sink.beside();
    let node = choice.apply(root, used, &mut own);
    shape::check(&node, None, &mut own);
    let wrong = !own.is_empty();
    sink.append(own);
    if wrong {
        return None;
    }
    match serde_json::from_value(node.to_json()) {
        Ok(file) => Some((node, file)),
        Err(error) => {
            // The schema comes from the same types, so it finds this first.
            sink.add(Code::WrongType, 0..0, format!("the file cannot be read: {error}"), "");
            None
        }
    }
}

/// The file with nothing said about values that come from parameters.
fn without_parameters(root: &Node) -> Node {
    fn hide(node: &mut Node) {
        match &mut node.value {
            Value::Text(text) if text.starts_with('$') => node.value = Value::Unknown,
            Value::List(items) => items.iter_mut().for_each(hide),
            Value::Table(entries) => entries.iter_mut().for_each(|(_, node)| hide(node)),
            _ => {}
        }
    }
    let mut node = root.clone();
    hide(&mut node);
    node
}

fn unused_images(root: &Node, used: &BTreeSet<String>, sink: &mut Sink) {
    for (key, _) in root.get("images").map_or(&[][..], Node::entries) {
        if !used.contains(&key.name) {
            let message = format!("image `{}` is not used", key.name);
            *sink.add(Code::UnusedImage, key.span.clone(), message, "never used") =
                Some("use it in a step, or remove it".into());
        }
    }
}

/// Reports scenarios of a set that have the name of another one before them.
pub fn duplicates(scenarios: &[Scenario]) -> Vec<Diagnostic> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for scenario in scenarios {
        let Some(other) = first.insert(&scenario.name, scenario) else {
            continue;
        };
        let source = read(&scenario.file).unwrap_or_default();
        let mut sink = Sink::new(&scenario.file, &source);
        let at = DeTable::parse(&source).ok().map(|table| Node::table(0..0, table.get_ref()));
        let head = at.as_ref().and_then(|root| root.get("scenario"));
        let span = head.map_or(0..0, |head| head.span_of("name"));
        let message = format!("scenario `{}` is also in {}", scenario.name, other.file.display());
        *sink.add(Code::DuplicateName, span, message, "not unique") =
            Some("give one of them another name: results are filed under it".into());
        found.extend(sink.finish());
    }
    found
}
