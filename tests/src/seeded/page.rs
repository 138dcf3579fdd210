//! The tables of `docs/seeded-bugs.md`.

use super::suite::{Bug, Suite};
use super::trial::Findings;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What stands before and behind the tables in the page.
const BEGIN: &str = "<!-- tables: written by `just seeded --write` -->\n";
const END: &str = "<!-- end of tables -->\n";

/// The tables: the tests, which of them finds which bug, and what the report says.
pub fn tables(suite: &Suite, rows: &[(&Bug, Findings)]) -> String {
    let mut page =
        String::from("| | test | scenario | its cases with | |\n|---|---|---|---|---|\n");
    // Writing to a String cannot fail.
    let mut add = |line: std::fmt::Arguments<'_>| page.write_fmt(line).unwrap_or_default();
    for (number, test) in suite.test.iter().enumerate() {
        let at = test.at.as_ref().map(|at| format!(" `--at {at}`")).unwrap_or_default();
        let remark = match test.rollback {
            true => "with rollback",
            false => "",
        };
        let (name, scenario, case) = (&test.name, &test.scenario, &test.case);
        add(format_args!("| {} | {name} | {scenario} | `{case}`{at} | {remark} |\n", number + 1));
    }
    add(format_args!("\n| bug |"));
    (1..=suite.test.len()).for_each(|number| add(format_args!(" {number} |")));
    add(format_args!("\n|---|{}\n", "---|".repeat(suite.test.len())));
    for (bug, findings) in rows {
        add(format_args!("| {} |", bug.name));
        for test in &suite.test {
            let cell = match findings.get(&test.name) {
                None => " ",
                Some(None) => "·",
                Some(Some(_)) => "**X**",
            };
            add(format_args!(" {cell} |"));
        }
        add(format_args!("\n"));
    }
    add(format_args!(
        "\n| kind | bug | found by | step | the report says |\n|---|---|---|---|---|\n"
    ));
    for (bug, findings) in rows {
        for (test, finding) in findings {
            if let Some(finding) = finding {
                let reason = finding.reason.replace('|', "\\|").replace('\n', " ");
                let (kind, name) = (&bug.kind, &bug.name);
                let (step, line) = (&finding.step, finding.line);
                add(format_args!(
                    "| {kind} | {name} | {test} | `{step}`, line {line} | {reason} |\n"
                ));
            }
        }
    }
    page
}

/// Puts the tables into the page.
///
/// # Errors
/// When the page cannot be read or written, or has no place for them.
pub fn write(path: &Path, tables: &str) -> Result<(), Box<dyn Error>> {
    let page = fs::read_to_string(path)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("the page has no place for the tables")?;
    let (_, after) = rest.split_once(END).ok_or("the page's place for the tables has no end")?;
    fs::write(path, format!("{before}{BEGIN}\n{tables}\n{END}{after}"))?;
    Ok(())
}
