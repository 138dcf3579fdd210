//! What `tests/seeded-bugs.toml` says: the tests, and the bugs.

use super::trial::Findings;
use crate::source_copy::Edit;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;

/// Tests and bugs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// The tests, in the order of the columns.
    pub test: Vec<Test>,
    /// The bugs, in the order of the rows.
    pub bug: Vec<Bug>,
}

/// A case of a scenario in `scenarios/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// What kind of test it is; no other test is called that.
    pub name: String,
    /// The scenario's name.
    pub scenario: String,
    /// Text that the names of its cases have and no others.
    pub case: String,
    /// Operation numbers of the only run, for cuts at every operation (`--at` of `hil-runner run`).
    pub at: Option<String>,
    /// Whether its bootloader rolls back: it needs a bootloader that is not in the repository.
    #[serde(default)]
    pub rollback: bool,
    /// It is among the few that run for every bug. The others run for the bugs that they must find, and
    /// for every bug when that is asked for.
    #[serde(default)]
    pub quick: bool,
}

/// A bug.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bug {
    /// What is wrong.
    pub name: String,
    /// The kind of bug, for the table.
    pub kind: String,
    /// How it is planted.
    pub edit: Vec<Edit>,
    /// Names of the tests that must find it, each with the verb of the step that the report must name. The
    /// quick tests that are not named here must not find it.
    pub found_by: BTreeMap<String, String>,
    /// The images that have the bug, by their names in the family. Where a test needs another image, it
    /// gets the one without the bug.
    #[serde(default = "usual_members")]
    pub members: Vec<String>,
}

fn usual_members() -> Vec<String> {
    ["v1.0.0", "v2.0.0"].map(str::to_owned).to_vec()
}

impl Suite {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, when a name stands twice, or when no test is named as a bug's test is.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let suite: Self = toml::from_str(&fs::read_to_string(path)?)?;
        let mut tests = BTreeSet::new();
        if let Some(twice) = suite.test.iter().find(|test| !tests.insert(&test.name)) {
            return Err(format!("two tests are called {:?}", twice.name).into());
        }
        let mut bugs = BTreeSet::new();
        for bug in &suite.bug {
            if !bugs.insert(&bug.name) {
                return Err(format!("two bugs are called {:?}", bug.name).into());
            }
            if let Some(unknown) = bug.found_by.keys().find(|name| !tests.contains(name)) {
                return Err(format!("{:?}: no test is called {unknown:?}", bug.name).into());
            }
            if bug.found_by.is_empty() || bug.edit.is_empty() {
                return Err(format!("{:?} needs an edit and a test", bug.name).into());
            }
        }
        Ok(suite)
    }

    /// Whether a bug shows only under a bootloader that rolls back.
    pub fn needs_rollback(&self, bug: &Bug) -> bool {
        self.test.iter().any(|test| test.rollback && bug.found_by.contains_key(&test.name))
    }

    /// Says what is wrong with what the tests found of a bug.
    ///
    /// # Errors
    /// When a test that must find it does not, or in another step, and when a quick test finds it that must
    /// not.
    pub fn judge(&self, bug: &Bug, findings: &Findings) -> Result<(), String> {
        for test in &self.test {
            let name = &test.name;
            match (findings.get(name).and_then(Option::as_ref), bug.found_by.get(name)) {
                (None, Some(_)) => return Err(format!("{name} must find it")),
                (Some(_), None) if test.quick => {
                    return Err(format!("{name} finds it and must not"));
                }
                (Some(found), Some(step)) if found.step != *step => {
                    return Err(format!("{name} finds it in `{}`, not in `{step}`", found.step));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded::trial::Finding;

    const SUITE: &str = r#"
        test = [
            { name = "a", scenario = "a", case = "a" },
            { name = "b", scenario = "b", case = "b", quick = true },
            { name = "c", scenario = "c", case = "c" },
        ]
        [[bug]]
        name = "bug"
        kind = "kind"
        found-by = { a = "boot" }
        edit = [{ file = "f", find = "x", replace = "y" }]
    "#;

    /// Findings of tests in steps.
    fn found(by: &[(&str, &str)]) -> Findings {
        let finding = |step: &str| Finding { step: step.into(), line: 1, reason: String::new() };
        by.iter().map(|&(test, step)| (test.into(), Some(finding(step)))).collect()
    }

    #[test]
    fn bugs_are_found_by_their_tests_in_their_steps_and_by_no_quick_one() {
        let suite: Suite = toml::from_str(SUITE).unwrap();
        let judge = |by: &[(&str, &str)]| suite.judge(&suite.bug[0], &found(by));
        assert_eq!(judge(&[("a", "boot")]), Ok(()));
        assert_eq!(judge(&[("a", "boot"), ("c", "update")]), Ok(()));
        assert_eq!(judge(&[]), Err("a must find it".into()));
        assert_eq!(judge(&[("c", "boot")]), Err("a must find it".into()));
        assert_eq!(judge(&[("a", "update")]), Err("a finds it in `update`, not in `boot`".into()));
        assert_eq!(judge(&[("a", "boot"), ("b", "boot")]), Err("b finds it and must not".into()));
    }

    #[test]
    fn each_edit_of_the_list_stands_once_in_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let suite = Suite::read(&root.join("tests/seeded-bugs.toml")).unwrap();
        for bug in &suite.bug {
            for edit in &bug.edit {
                let text = fs::read_to_string(root.join(&edit.file)).unwrap();
                assert_eq!(text.matches(&edit.find).count(), 1, "{}: {edit:?}", bug.name);
            }
        }
    }
}
