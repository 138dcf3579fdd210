//! Reports say what the outcomes say, all of it, and obey nothing that stands in them.

#![allow(missing_docs)]

mod outcomes;

use hil_runner::board::Landing;
use hil_runner::report::{
    Progress, cut_points_line, exit_code, html, json_line, junit, step_summary, table,
    write_step_summary,
};
use hil_runner::run::{Outcome, Verdict};
use outcomes::{
    HOSTILE, failed, header, hostile, in_full, late, many, missed, not_run, passed, rig_error,
    suite,
};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::{env, fs};

fn retried(number: u32) -> Outcome {
    Outcome { attempt: 2, ..passed(number) }
}

#[test]
fn the_exit_status_tells_the_worst() {
    let left_out = || not_run("cut-boot", "model");
    for (expected, outcomes) in [
        (0, vec![passed(1), passed(2)]),
        (0, vec![passed(1), left_out()]),
        (1, vec![passed(1), retried(2), rig_error(3), missed(4), failed(5)]),
        (3, vec![passed(1), retried(2), rig_error(3)]),
        (3, vec![passed(1), missed(2)]),
        (3, vec![left_out()]),
        (3, vec![]),
        (4, vec![passed(1), retried(2), left_out()]),
        // What was tried again counts as it ended, but a failure stays one.
        (4, vec![rig_error(1), retried(1)]),
        (1, vec![failed(1), retried(1)]),
        (1, vec![passed(1), failed(1)]),
    ] {
        let verdicts: Vec<Verdict> = outcomes.iter().map(|outcome| outcome.verdict).collect();
        assert_eq!(exit_code(&outcomes), expected, "{verdicts:?}");
    }
}

#[test]
fn every_run_that_did_not_pass_has_a_line_with_its_command() {
    let all = suite();
    let text = table(&all);
    for run in all.iter().filter(|it| !matches!(it.verdict, Verdict::Pass | Verdict::NotRun)) {
        if run.scenario == "hostile" {
            continue;
        }
        let line = text.lines().find(|line| line.ends_with(&run.replay)).unwrap();
        assert!(line.contains(&run.case) && line.contains(run.reason.as_ref().unwrap()), "{line}");
        assert!(line.starts_with(&run.verdict.to_string()), "{line}");
    }
    assert!(text.contains("scenarios/cut-update.toml:31: step 3, update"), "{text}");
    assert!(!text.contains('\x1b') && !text.contains('\u{202e}'), "{text:?}");
    insta::assert_snapshot!(text);
}

#[test]
fn thousands_of_failures_do_not_flood_the_terminal() {
    let failures: Vec<_> = (1..=1000).map(failed).collect();
    let text = table(&failures);
    assert_eq!(text.lines().filter(|line| line.starts_with("fail: ")).count(), 50);
    assert!(text.contains("and 950 more runs that did not pass"), "{text}");
}

#[test]
fn json_lines_give_the_outcome_back() {
    // Among so many fractions there are some whose last bit a careless parser loses.
    let console = (0..5000).map(|time| (f64::from(time) / 7.0, String::new())).collect();
    for outcome in suite().into_iter().chain([Outcome { console, ..passed(1) }]) {
        let line = json_line(&outcome).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), outcome);
    }
}

#[test]
fn junit_has_a_test_case_for_each_case_on_each_board() {
    let xml = junit(&suite()).unwrap();
    assert_eq!(xml.matches("<testsuite ").count(), 5);
    assert_eq!(xml.matches("<testcase ").count(), 5);
    for needed in [
        "tests=\"5\" skipped=\"2\" failures=\"2\" errors=\"0\"",
        "<skipped message=\"it cannot be cut at a text on the console\"/>",
        "<property name=\"runs\" value=\"63\"/>",
        "<property name=\"cuts-planned\" value=\"63\"/>",
        "<property name=\"cuts-fired\" value=\"62\"/>",
        "<property name=\"cuts-landed\" value=\"61\"/>",
        "<property name=\"passed-after-retry\" value=\"1\"/>",
        "type=\"fail\"",
    ] {
        assert!(xml.contains(needed), "{needed} is missing:\n{xml}");
    }
    // XML 1.0 has no place for these, escaped or not.
    assert!(!xml.contains(|c: char| c.is_control() && c != '\n'), "{xml:?}");
    let errors = junit(&[passed(1), rig_error(2)]).unwrap();
    assert!(errors.contains("errors=\"1\"") && errors.contains("type=\"rig-error\""), "{errors}");
}

#[test]
fn the_step_summary_obeys_nothing() {
    let text = step_summary(&suite());
    // What stands in blocks of code is shown as it is.
    let outside: String = text.split("\n```\n").step_by(2).collect();
    assert!(!outside.contains("<script") && !outside.contains("<img"), "{text}");
    // Cells per row, with the bars that are part of a text left out.
    let cells = |row: &&str| row.replace("\\|", "").matches('|').count();
    let tables: Vec<_> = text.split("\n\n").filter(|block| block.starts_with('|')).collect();
    for table in &tables {
        let cells: Vec<usize> = table.lines().map(|row| cells(&row)).collect();
        assert!(cells.iter().all(|number| *number == cells[0]), "{cells:?}");
    }
    let rows: Vec<_> = tables.iter().map(|table| table.lines().count()).collect();
    assert_eq!(rows, [7, 3], "{text}");
    assert!(text.contains(&failed(59).replay));
    assert!(text.contains("2 cases could be run on no board"));
}

/// Not a test by itself: [`the_step_summary_is_appended_where_github_says`] starts it with the variable set.
#[test]
fn step_of_a_workflow() {
    if env::var_os("STEP_OF_A_WORKFLOW").is_some() {
        println!("written: {:?}", write_step_summary(&[passed(1)]));
    }
}

#[test]
fn the_step_summary_is_appended_where_github_says() {
    let folder = tempfile::tempdir().unwrap();
    let step = |summary: &Path| {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "step_of_a_workflow", "--nocapture"])
            .envs([("STEP_OF_A_WORKFLOW", "1".as_ref()), ("GITHUB_STEP_SUMMARY", summary)])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let file = folder.path().join("summary.md");
    for _ in 0..2 {
        let output = step(&file);
        assert!(output.contains("written: Ok(true)"), "{output}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), step_summary(&[passed(1)]).repeat(2));
    let output = step(Path::new(""));
    assert!(output.contains("written: Ok(false)"), "{output}");
    let output = step(folder.path());
    assert!(output.contains("$GITHUB_STEP_SUMMARY"), "{output}");
}

#[test]
fn the_page_obeys_nothing() {
    let page = html(Some(&header()), &suite());
    for bad in
        ["<script", "<img", "</pre></style>", "\u{202e}", "\x1b", "\0", "http://x.invalid/ on\""]
    {
        assert!(!page.contains(bad), "{bad:?}");
    }
    assert!(page.contains("&lt;script&gt;document.title"));
    // Every attribute that holds outside text is quoted by the templates: no quote of it survives.
    assert!(HOSTILE.contains('"') && !page.contains("]]> \"'"));
}

#[test]
fn the_page_shows_in_full_what_did_not_pass_and_first_runs() {
    let page = html(Some(&header()), &suite());
    for needed in [
        "cut in number 59, write of 32 bytes at 0xd000",
        "scenarios/cut-update.toml:31: step 3, update",
        "after the cut no image booted within 15 s",
        "self-test: passed",
        "cut 2 to cut 58, 57 runs: pass",
        "cut 63: pass at attempt 2",
        "2 cases could be run on no board",
    ] {
        assert!(page.contains(needed), "{needed}");
    }
    assert!(page.contains(&format!(">{}<", "✓".repeat(57))), "one sign for each run");
    // Failed, missed, rig error, hostile, which are open; and the first runs of two cases.
    assert_eq!(page.matches("<details class=\"run\" open").count(), 4);
    assert_eq!(page.matches("<details class=\"run\"").count(), 6);
    assert_eq!(page.matches("id=\"run-").count(), 6);
}

#[test]
fn a_page_of_ten_thousand_runs_stays_light() {
    let all = many(10_000);
    let page = html(Some(&header()), &all);
    let failures = all.iter().filter(|run| run.verdict == Verdict::Fail).count();
    println!("10,000 runs, {failures} failures: {} bytes", page.len());
    assert!(failures > 0 && page.len() < 1_000_000, "{} bytes", page.len());
    let all_failed: Vec<_> = (1..=10_000)
        .map(|number| Outcome { run: format!("cut {number}"), ..failed(150) })
        .collect();
    let page = html(None, &all_failed);
    println!("10,000 failures: {} bytes", page.len());
    assert!(page.len() < 10_000_000, "{} bytes", page.len());
}

/// Lines, to look at afterwards.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn without_a_terminal_progress_is_told_in_lines() {
    let lines = Lines::default();
    let progress = Progress::lines(lines.clone());
    let board = progress.board("virtual-1", 100);
    for number in 1..=200 {
        if number == 50 {
            board.expect(200);
        }
        board.done(&if number == 77 { failed(number) } else { passed(number) });
    }
    board.done(&hostile());
    board.finish();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told: Vec<_> = text.lines().collect();
    assert_eq!(told.iter().filter(|line| line.ends_with(" runs")).count(), 12, "{text}");
    assert!(told.contains(&"virtual-1: 200 of 200 runs"), "{text}");
    assert!(told.iter().any(|line| line.ends_with(&failed(77).replay)), "{text}");
    assert_eq!(told.len(), 14, "hostile text stays in its line: {text}");
}

#[test]
fn the_order_of_outcomes_changes_nothing() {
    let (all, mut reversed) = (suite(), suite());
    reversed.reverse();
    assert_eq!(html(None, &all), html(None, &reversed));
    assert_eq!(table(&all), table(&reversed));
    assert_eq!(junit(&all).unwrap(), junit(&reversed).unwrap());
    assert_eq!(in_full(1).run, "cut 1");
}

#[test]
fn how_long_switches_took_is_told_of_real_boards_only() {
    let mut runs: Vec<_> = (1..=3).map(outcomes::in_full).collect();
    assert!(!table(&runs).contains("from the trigger"));
    for (run, latency) in runs.iter_mut().zip([12.0, 3.25, 4.5]) {
        run.cuts[0].latency = Some(latency);
    }
    let told = table(&runs);
    let line = "from the trigger to the end of the switch's command, 3 cuts: 3.2 ms to 12.0 ms, median 4.5 ms";
    assert!(told.contains(line), "{told}");
}

#[test]
fn the_page_says_where_a_cut_fell_that_missed() {
    let mut run = in_full(1);
    run.cuts[0].landing = Some(Landing::After);
    run.cuts[0].landed = Some(7);
    assert!(html(None, &[run.clone()]).contains("no: after operation 7"));
    run.cuts[0].landed = None;
    run.cuts[0].landing = Some(Landing::Unknown);
    assert!(html(None, &[run]).contains("not known"));
}

#[test]
fn a_cut_point_is_covered_by_whatever_fell_there() {
    let runs = late();
    let line: serde_json::Value = serde_json::from_str(&cut_points_line(&runs).unwrap()).unwrap();
    let [points] = line["cut-points"].as_array().unwrap().as_slice() else { panic!("{line}") };
    assert_eq!(points["covered"], serde_json::json!([20, 21, 23]));
    assert_eq!(points["missed"], serde_json::json!([{ "operation": 22, "tries": 3 }]));
    assert_eq!((&points["where"], &points["step"]), (&"torn".into(), &3.into()));
    let missed = "step 3, operation 22, torn: 3 tries";
    let text = table(&runs);
    assert!(text.contains("3 of 4") && text.contains(missed), "{text}");
    let summary = step_summary(&runs);
    assert!(summary.contains("| - | 3 of 4 | - |") && summary.contains(missed), "{summary}");
    let page = html(None, &runs);
    for needed in ["<td>20-23</td>", "<td>20-21, 23</td>", "<td>22 (3 tries)</td>"] {
        assert!(page.contains(needed), "{needed}");
    }
}

#[test]
fn a_cut_of_a_run_without_verdict_covers_nothing() {
    let mut runs = late();
    runs[0].verdict = Verdict::RigError;
    // Nor does one of which nobody knows where it fell.
    runs[1].cuts[0].counts_for = None;
    runs[1].cuts[0].landing = Some(Landing::Unknown);
    runs[2].earlier.clear();
    runs[2].cuts[0].fired = false;
    assert!(table(&runs).contains("1 of 4"), "{}", table(&runs));
}

#[test]
fn what_an_earlier_session_hit_stays_covered() {
    let mut runs = late();
    // The run that missed is done again, and now something else happens in it.
    let again = Outcome { earlier: Vec::new(), ..runs[1].clone() };
    runs.push(again);
    assert!(table(&runs).contains("3 of 4"), "{}", table(&runs));
}

#[test]
fn boards_that_cut_exactly_have_their_points_on_the_page_only() {
    let runs = [in_full(1), passed(2)];
    assert!(!table(&runs).contains("cut points") && !step_summary(&runs).contains("Cut points"));
    assert!(html(None, &runs).contains("before -, torn 2 of 2, after -"));
    // Unless one was left out.
    let text = table(&[in_full(1), rig_error(2)]);
    assert!(text.contains("1 of 2") && text.contains("operation 2, torn: 1 try"), "{text}");
}

#[test]
fn a_point_of_a_chain_lies_behind_the_one_before() {
    let chain = |first: u32, second: u32, fell: u32| {
        let mut run = late().remove(0);
        let cut = |number: u32, fell: u32| {
            let mut cut = run.cuts[0].clone();
            (cut.number, cut.counts_for) = (Some(number), Some(fell));
            cut
        };
        let cuts = vec![cut(first, first), cut(second, fell)];
        run.run = format!("cut {first}, {second}");
        Outcome { cuts, ..run }
    };
    let text = table(&[chain(1, 1, 1), chain(1, 2, 3), chain(2, 2, 2)]);
    // The two first cuts, one second cut behind each.
    assert!(text.contains("4 of 5"), "{text}");
    let missed = "step 3, operation 2, torn, behind step 3, operation 1, torn: 1 try";
    assert!(text.contains(missed), "{text}");
}
