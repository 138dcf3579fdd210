//! The library of scenarios: without mistakes, formatted, complete, and what the program says of it.

#![allow(missing_docs)]

mod common;

use common::{library, repository};
use hil_runner::scenario::{
    BoardKind, Case, Scenario, Sources, duplicates, estimate, format, load, schema,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn scenarios() -> Vec<Scenario> {
    let load = |path: &Path| {
        load(path, &Sources::default()).unwrap_or_else(|wrong| {
            panic!("{}", wrong.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n"))
        })
    };
    library().iter().map(|path| load(path)).collect()
}

fn cases(scenarios: &[Scenario]) -> Vec<&Case> {
    scenarios.iter().flat_map(|scenario| &scenario.cases).collect()
}

#[test]
fn the_library_has_no_mistakes() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 20, "{}", scenarios.len());
    assert_eq!(duplicates(&scenarios), []);
    for scenario in &scenarios {
        assert_eq!(scenario.file.file_stem().unwrap().to_str(), Some(&*scenario.name));
    }
}

#[test]
fn files_are_formatted_and_name_the_schema() {
    for path in library() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("#:schema scenario.schema.json\n"), "{}", path.display());
        assert_eq!(format(&text).as_deref(), Some(&*text), "{}", path.display());
    }
}

#[test]
fn the_schema_is_current() {
    let file = repository("scenarios/scenario.schema.json");
    let stored = fs::read_to_string(file).unwrap();
    assert!(stored == schema(), "hil-runner schema > scenarios/scenario.schema.json");
}

#[test]
fn names_of_cases_are_unique_and_stable() {
    let scenarios = scenarios();
    let names: Vec<_> = cases(&scenarios).iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    insta::assert_snapshot!(names.join("\n"));
}

/// Rows of the catalogue that no scenario can lead to: they need a pin (H6, H7), a table that no update
/// code takes (H12), an eFuse (H19) or a bootloader update (H20).
const NOT_MET: [&str; 5] = ["H6", "H7", "H12", "H19", "H20"];

#[test]
fn every_hazard_that_an_application_can_meet_has_a_scenario() {
    let scenarios = scenarios();
    let met: BTreeSet<_> =
        scenarios.iter().flat_map(|it| &it.hazards).map(String::as_str).collect();
    for hazard in (1..=20).map(|n| format!("H{n}")) {
        let hazard = hazard.as_str();
        assert_ne!(met.contains(hazard), NOT_MET.contains(&hazard), "{hazard}");
    }
}

#[test]
fn all_but_the_foreign_firmware_runs_on_model_and_virtual_board() {
    let scenarios = scenarios();
    for case in cases(&scenarios) {
        assert_eq!(BoardKind::Virtual.lacks(case), [], "{}", case.name);
        let foreign = case.name.starts_with("bring-your-own-");
        assert_ne!(BoardKind::Model.lacks(case).is_empty(), foreign, "{}", case.name);
    }
}

#[test]
fn every_operation_means_more_than_one_run() {
    let scenarios = scenarios();
    let all = cases(&scenarios);
    let runs = |name: &str| {
        let case = all.iter().find(|case| case.name == name).unwrap();
        estimate(case, BoardKind::Model).0
    };
    assert_eq!(runs("clean-update[rollback=false]"), 1);
    assert!(runs("cut-confirm") > 1);
    assert!(runs("second-cut[rollback=false]") > runs("cut-confirm"));
}

fn program(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hil-runner")).current_dir(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_new_file_passes_the_check_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| program(folder.path(), args);
    assert_eq!(run(&["new", "My Update.toml"]).status.code(), Some(0));
    assert_eq!(run(&["new", "My Update.toml"]).status.code(), Some(2));
    let check = run(&["check", "."]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    assert_eq!(text(&check.stdout), "1 scenarios, 1 cases: no mistakes found\n");
    assert_eq!(run(&["fmt", "--check", "."]).status.code(), Some(0));
    assert!(text(&run(&["list", "."]).stdout).contains("my-update"));
}

#[test]
fn the_program_reports_mistakes_with_status_2() {
    let root = repository("hil-runner/tests");
    let check = program(&root, &["check", "bad/E003.toml", "bad/E005.toml"]);
    assert_eq!(check.status.code(), Some(2));
    let shown = text(&check.stderr);
    assert!(shown.contains("error[E003]") && shown.contains("error[E005]"), "{shown}");
    assert!(shown.ends_with("2 errors; `hil-runner explain E003` says more\n"), "{shown}");
    assert_eq!(program(&root, &["plan", "bad/E003.toml"]).status.code(), Some(2));
    assert_eq!(program(&root, &["explain", "E999"]).status.code(), Some(2));
    assert_eq!(program(&root, &["check", "no such file"]).status.code(), Some(2));
    assert!(text(&program(&root, &["explain", "e003"]).stdout).starts_with("# E003: "));
}

#[test]
fn fmt_changes_spacing_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    fs::write(&file, "[scenario]\nname=\"a\"").unwrap();
    assert_eq!(program(folder.path(), &["fmt", "--check", "."]).status.code(), Some(2));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[scenario]\nname=\"a\"");
    assert_eq!(program(folder.path(), &["fmt", "."]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[scenario]\nname = \"a\"\n");
}

#[test]
fn a_plan_says_what_runs_where_and_why_not() {
    let plan = program(&repository("."), &["plan", "--tag", "byo"]);
    let shown = text(&plan.stdout);
    assert!(shown.contains("bring-your-own-firmware[delay=20 ms]"), "{shown}");
    assert!(shown.contains("model: 0 cases") && shown.contains("virtual: 12 cases"), "{shown}");
}
