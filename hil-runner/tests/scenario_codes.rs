//! Each diagnostic code: its explanation, whose examples are wrong and right as they say, and a file
//! with the mistake, whose report is stored.

#![allow(missing_docs)]

mod common;

use common::{check, codes, repository};
use hil_runner::scenario::{Code, Diagnostic, Sources, duplicates, load, parse};
use std::fs;
use std::path::Path;
use toml_edit::{DocumentMut, Item};

/// What the examples leave out.
const BASE: &str = include_str!("base.toml");

/// The examples of an explanation: wrong, right.
fn examples(code: Code) -> Vec<&'static str> {
    let blocks = code.explanation().split("```toml\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0).collect()
}

/// Completes an example: its keys of `scenario`, `device` and `parameters` come in addition, its images
/// and steps in place of those of the base.
fn complete(example: &str) -> String {
    let mut base: DocumentMut = BASE.parse().unwrap();
    let example: DocumentMut = example.parse().unwrap();
    for (section, item) in example.iter() {
        match (section, base.get_mut(section), item) {
            ("scenario" | "device", Some(Item::Table(base)), Item::Table(table)) => {
                table.iter().for_each(|(key, value)| drop(base.insert(key, value.clone())));
            }
            _ => drop(base.insert(section, item.clone())),
        }
    }
    // Only the values count, and tables that were put in have places of another file.
    let values: toml::Table = toml::from_str(&base.to_string()).unwrap();
    toml::to_string(&values).unwrap()
}

#[test]
fn the_base_of_the_examples_is_right() {
    assert_eq!(codes(BASE), Vec::<&str>::new());
}

#[test]
fn examples_are_wrong_and_right_as_they_say() {
    let none: [&str; 0] = [];
    let mut surprises = Vec::new();
    for &code in Code::ALL {
        // These are not about the contents of one file.
        if matches!(code, Code::NoScenario | Code::DuplicateName) {
            assert!(examples(code).is_empty());
            continue;
        }
        let [wrong, right] = examples(code)[..] else { panic!("{code}: expected two examples") };
        let found = match code {
            Code::Syntax => codes(wrong),
            // The base has the key that the example lacks.
            Code::MissingKey => codes(&complete(wrong).replace("why = ", "# ")),
            _ => codes(&complete(wrong)),
        };
        if found != [code.name()] {
            surprises.push((code, found));
        }
        if codes(&complete(right)) != none {
            surprises.push((code, codes(&complete(right))));
        }
    }
    assert_eq!(surprises, []);
}

#[test]
fn explanations_have_the_heading_of_their_code() {
    for code in Code::ALL {
        let heading = code.explanation().lines().next().unwrap();
        assert!(heading.starts_with(&format!("# {code}: ")), "{heading}");
    }
}

/// What is shown, without the path of the checkout.
fn rendered(wrong: &[Diagnostic]) -> String {
    let text = wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n\n");
    let root = repository("scenarios");
    text.replace(root.to_str().unwrap(), "scenarios")
}

#[test]
fn each_code_has_a_file_with_the_mistake() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    for &code in Code::ALL {
        let path = folder.join(format!("{code}.toml"));
        let wrong = match code {
            Code::NoScenario => {
                assert!(!path.exists());
                load(Path::new("no-such-file.toml"), &Sources::default()).unwrap_err()
            }
            Code::DuplicateName => {
                let twice = [(); 2].map(|()| load(&path, &Sources::default()).unwrap());
                let mut wrong = duplicates(&twice);
                for diagnostic in &mut wrong {
                    diagnostic.file = "E035.toml".into();
                    let dir = folder.to_str().unwrap();
                    diagnostic.message = diagnostic.message.replace(dir, "tests/bad");
                }
                wrong
            }
            _ => {
                let text = fs::read_to_string(&path).unwrap();
                let sources = Sources { family: "no such folder".into() };
                let mut wrong =
                    parse(&repository("scenarios").join("test.toml"), &text, &sources).unwrap_err();
                wrong.iter_mut().for_each(|it| it.file = format!("{code}.toml").into());
                wrong
            }
        };
        assert!(wrong.iter().any(|it| it.code == code), "{code}: {wrong:?}");
        insta::assert_snapshot!(code.name(), rendered(&wrong));
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = BASE
        .replace("chip =", "chop =")
        .replace("rollback = true", "rollback = 1")
        .replace("update = \"new\"", "update = \"new\"\nlimit = \"soon\"\nspeed = 3");
    let mut found = codes(&text);
    found.sort_unstable();
    assert_eq!(found, ["E003", "E003", "E004", "E005", "E006"]);
}

#[test]
fn a_mistake_in_a_parameter_is_shown_at_its_value() {
    let text = format!("{}\n[parameters]\nkind = [\"rail\", \"mains\"]\n", BASE.replace(
        "update = \"new\"",
        "update = \"new\"\ncut = { kind = \"$kind\", operation = 1 }\nafter-cut = { boots = \"old\" }",
    ));
    let wrong = check(&text).unwrap_err();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(&text[wrong[0].span.clone()], "\"mains\"");
    assert_eq!((wrong[0].code, wrong[0].line), (Code::BadValue, text.lines().count()));
}
