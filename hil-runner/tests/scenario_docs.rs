//! The reference in the book is made from the schema and the codes, and is current.
//!
//! `UPDATE_DOCS=1 cargo test -p hil-runner --test scenario_docs` writes it.

#![allow(missing_docs)]

mod common;

use common::{codes, repository};
use hil_runner::scenario::{Code, format, schema};
use serde_json::Value as Json;
use std::env;
use std::fmt::Write;
use std::fs;

/// The tables of a file in the order of the reference: heading, definition.
const TABLES: [(&str, &str); 18] = [
    ("`[scenario]`", "Head"),
    ("`[device]`", "DeviceTable"),
    ("`[device.commands]`", "CommandsTable"),
    ("A command that sends a line", "SendTable"),
    ("A command that runs a program", "RunTable"),
    ("`[images.NAME]` of the family", "FamilyTable"),
    ("`[images.NAME]` from a file", "FileTable"),
    ("`[images.NAME]` with one change", "DerivedTable"),
    ("A range in `[parameters]`", "RangeTable"),
    ("`cut`", "CutTable"),
    ("`after-cut`", "AfterCutTable"),
    ("`expect`", "ExpectTable"),
    ("`expect-stable`", "StableTable"),
    ("A text by pattern", "Pattern"),
    ("Kinds of cuts", "CutKind"),
    ("Phases", "Phase"),
    ("Resets", "ResetKind"),
    ("Places of `flip-bits`", "Damage"),
];

/// The generated part of the page, between these lines.
const BEGIN: &str = "<!-- reference: made by tests/scenario_docs.rs -->\n";
const END: &str = "<!-- end of reference -->\n";

fn one_line(schema: &Json) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

fn table(text: &mut String, heading: &str, schema: &Json) {
    let _ = write!(text, "\n### {heading}\n\n{}\n\n", one_line(schema));
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        text.push_str("| key | | |\n|---|---|---|\n");
        let is_required = |key: &&String| required.contains(&Json::from(key.as_str()));
        // Required keys first, in their order: the verb is the first.
        let mut keys: Vec<&String> = properties.keys().filter(is_required).collect();
        keys.sort_by_key(|key| required.iter().position(|it| it == key.as_str()));
        keys.extend(properties.keys().filter(|key| !is_required(key)));
        for key in keys {
            let must = if is_required(&key) { "required" } else { "" };
            let _ = writeln!(text, "| `{key}` | {must} | {} |", one_line(&properties[key]));
        }
    } else {
        // A list of words, each with its meaning, in or beside the place of a parameter.
        let words = schema["oneOf"].as_array().or_else(|| schema["anyOf"][0]["oneOf"].as_array());
        text.push_str("| word | |\n|---|---|\n");
        for word in words.into_iter().flatten() {
            let _ =
                writeln!(text, "| `{}` | {} |", word["const"].as_str().unwrap(), one_line(word));
        }
    }
}

fn reference() -> String {
    let schema: Json = serde_json::from_str(&schema()).unwrap();
    let definitions = &schema["definitions"];
    let mut text = "\n## Steps\n".to_string();
    for step in definitions["StepTable"]["anyOf"].as_array().unwrap() {
        let name = step["$ref"].as_str().unwrap().rsplit_once('/').unwrap().1;
        let verb = definitions[name]["required"][0].as_str().unwrap();
        table(&mut text, &format!("`{verb}`"), &definitions[name]);
    }
    text.push_str("\n## Tables and words\n");
    for (heading, name) in TABLES {
        table(&mut text, heading, &definitions[name]);
    }
    text.push_str(
        "\n## Codes\n\n`hil-runner explain CODE` says more, with a wrong and a right example.\n\n",
    );
    text.push_str("| code | |\n|---|---|\n");
    for code in Code::ALL {
        let _ = writeln!(text, "| {code} | {} |", code.title());
    }
    text.push('\n');
    text
}

#[test]
fn the_reference_in_the_book_is_current() {
    let path = repository("docs/scenarios.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (stored, after) = rest.split_once(END).unwrap();
    let reference = reference();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{reference}{END}{after}")).unwrap();
    } else {
        assert!(stored == reference, "UPDATE_DOCS=1 cargo test -p hil-runner --test scenario_docs");
    }
}

#[test]
fn whole_files_in_the_book_are_right() {
    let page = fs::read_to_string(repository("docs/scenarios.md")).unwrap();
    let blocks = page.split("```toml\n").skip(1).map(|it| it.split_once("```").unwrap().0);
    let whole: Vec<_> = blocks.filter(|block| block.starts_with("#:schema")).collect();
    assert!(!whole.is_empty());
    for file in whole {
        assert_eq!(codes(file), Vec::<&str>::new(), "{file}");
        assert_eq!(format(file).as_deref(), Some(file));
    }
}
