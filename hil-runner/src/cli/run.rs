//! `run` and `replay`: cases on boards.

use super::args::{BoardArgs, RunArgs};
use super::{about, boards, print, report, scenarios};
use hil_runner::report::{self, Progress};
use hil_runner::run::{
    Event, Header, Journal, Options, Outcome, Recorded, Replay, ReplayError, Session, Verdict,
};
use hil_runner::scenario::{BoardKind, Scenario, Source, Sources, estimate};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Names of what a run leaves behind, in the folder for results.
const JOURNAL: &str = "journal.jsonl";
const PAGE: &str = "report.html";
const JUNIT: &str = "junit.xml";
const REPLAYS: &str = "replay";

/// Runs scenarios. Gives the exit status.
pub(super) fn run(args: &RunArgs) -> io::Result<Option<u8>> {
    let Some(mut scenarios) = scenarios(&args.files)? else {
        return Ok(None);
    };
    scenarios.retain(|scenario| args.filter.takes(scenario));
    for scenario in &mut scenarios {
        scenario.cases.retain(|case| args.takes(&case.name));
    }
    scenarios.retain(|scenario| !scenario.cases.is_empty());
    if scenarios.is_empty() {
        eprintln!("error: no scenario fits; `hil-runner list` shows what there is");
        return Ok(None);
    }
    let what = What {
        scenarios,
        only: args.at.clone(),
        sample: args.sample,
        resume: args.resume,
        json: args.json,
        replay: None,
    };
    execute(what, &args.board)
}

/// Does a run again that a file describes. Gives the exit status.
pub(super) fn replay(file: &Path, args: &BoardArgs, family: &Path) -> io::Result<Option<u8>> {
    let read = Replay::read(file).and_then(|replay| {
        let scenario = replay.scenario(&Sources { family: family.into() })?;
        Ok((replay, scenario))
    });
    let (replay, scenario) = match read {
        Ok(read) => read,
        Err(ReplayError::File(path, what)) => {
            eprintln!("error: {}: {what}", path.display());
            return Ok(None);
        }
        Err(ReplayError::Scenario(wrong)) => {
            report(&wrong);
            return Ok(None);
        }
    };
    print(&format!("{}: {}\n", replay.case, replay.summary));
    let what = What {
        scenarios: vec![scenario],
        only: Some(replay.at),
        sample: 1,
        resume: false,
        json: false,
        replay: Some(file),
    };
    execute(what, args)
}

/// What is run.
struct What<'a> {
    scenarios: Vec<Scenario>,
    /// Only the run with these operation numbers.
    only: Option<Vec<u32>>,
    sample: u32,
    resume: bool,
    json: bool,
    /// The replay that the scenario came from.
    replay: Option<&'a Path>,
}

fn execute(what: What<'_>, board: &BoardArgs) -> io::Result<Option<u8>> {
    let What { scenarios, only, sample, resume, json, replay } = what;
    let Some(pools) = boards::pools(board)? else {
        return Ok(None);
    };
    let bootloader = virtual_board::stock_bootloader().map_err(|error| {
        io::Error::other(format!("the bootloader that espflash brings: {error}"))
    })?;
    let rollback_bootloader = match &board.rollback_bootloader {
        Some(path) => Some(fs::read(path).map_err(about(path))?),
        None => None,
    };
    let folder = &board.results;
    fs::create_dir_all(folder.join(REPLAYS)).map_err(about(folder))?;
    let (mut journal, header, finished) = match journal(&scenarios, folder, resume, replay) {
        Ok(opened) => opened,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(None);
        }
    };
    let cancelled = Arc::new(AtomicBool::new(false));
    let session = Session {
        pools,
        scenarios: Arc::new(scenarios),
        options: Options {
            bootloader,
            rollback_bootloader,
            attempts: board.attempts,
            dumps: Some(folder.clone()),
            only,
            sample,
            finished: Vec::new(),
        },
        finished: finished.clone(),
        cancelled: Arc::clone(&cancelled),
    };
    let mut keeper = Keeper {
        scenarios: Arc::clone(&session.scenarios),
        folder,
        replay,
        json,
        qemu: board.qemu.given.as_deref(),
        outcomes: finished,
        lost: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let interrupted = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    runtime.block_on(keeper.keep(session, interrupted, &cancelled, &mut journal));
    let outcomes = keeper.outcomes;
    if let Err(error) = journal.sync() {
        eprintln!("error: {error}");
    }
    if json && let Ok(line) = report::cut_points_line(&outcomes) {
        print(&format!("{line}\n"));
    }
    finish(folder, &header, &outcomes)?;
    if cancelled.load(Ordering::Relaxed) {
        eprintln!("interrupted; `--resume` goes on");
        return Ok(Some(report::exit_code(&outcomes).max(3)));
    }
    Ok(Some(report::exit_code(&outcomes)))
}

/// Begins a journal, or goes on with the one that is there.
fn journal(
    scenarios: &[Scenario],
    folder: &Path,
    resume: bool,
    replay: Option<&Path>,
) -> Result<(Journal, Header, Vec<Outcome>), Box<dyn std::error::Error>> {
    let path = folder.join(JOURNAL);
    if resume && path.exists() {
        let (journal, recorded) = Journal::resume(&path)?;
        if recorded.torn > 0 {
            eprintln!("{}: an unfinished line at its end was taken away", path.display());
        }
        return Ok((journal, recorded.header, recorded.outcomes));
    }
    if path.exists() {
        // Results of an earlier run stay until somebody takes them away.
        let number = (1..).find(|number| !numbered(folder, *number).exists()).unwrap_or(0);
        fs::rename(&path, numbered(folder, number))?;
    }
    let mut files = BTreeSet::new();
    for scenario in scenarios {
        files.insert(replay.unwrap_or(&scenario.file).to_owned());
        let images = scenario.cases.iter().flat_map(|case| case.images.values());
        for image in images {
            if let Source::File { path, .. } = &image.source
                && path.exists()
            {
                files.insert(path.clone());
            }
        }
    }
    let header = Header::new(std::env::args().collect(), 0, files)?;
    Ok((Journal::create(&path, &header)?, header, Vec::new()))
}

fn numbered(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("journal-{number}.jsonl"))
}

/// Keeps what comes of the runs.
struct Keeper<'a> {
    scenarios: Arc<Vec<Scenario>>,
    folder: &'a Path,
    /// The replay that the scenario came from.
    replay: Option<&'a Path>,
    json: bool,
    /// The QEMU that was asked for.
    qemu: Option<&'a Path>,
    outcomes: Vec<Outcome>,
    /// The journal cannot be written; said once.
    lost: Option<String>,
}

impl Keeper<'_> {
    async fn keep(
        &mut self,
        session: Session,
        mut interrupted: Signal,
        cancelled: &AtomicBool,
        journal: &mut Journal,
    ) {
        let progress = Progress::new();
        let mut bars = BTreeMap::new();
        let expected = expected(&session);
        let mut events = session.start();
        let mut interrupts = 0;
        loop {
            let event = tokio::select! {
                // Nothing more begins once the user has had enough.
                biased;
                _ = interrupted.recv() => {
                    interrupts += 1;
                    cancelled.store(true, Ordering::Relaxed);
                    if interrupts > 1 {
                        return;
                    }
                    progress.say("ending; boards are left with power; once more to end at once");
                    continue;
                }
                event = events.recv() => event,
            };
            match event {
                None => break,
                Some(Event::Begins { board, case }) => {
                    let bar = bars
                        .entry(board.clone())
                        .or_insert_with(|| progress.board(&board, expected));
                    bar.doing(&case);
                }
                Some(Event::Ends { board }) => {
                    if let Some(bar) = bars.remove(&board) {
                        bar.finish();
                    }
                }
                Some(Event::Done { board, outcome }) => {
                    let outcome = self.outcome(*outcome, journal, &progress);
                    if let Some(bar) = bars.get(&board) {
                        bar.done(&outcome);
                    }
                }
            }
        }
    }

    fn outcome(
        &mut self,
        mut outcome: Outcome,
        journal: &mut Journal,
        progress: &Progress,
    ) -> Outcome {
        if outcome.verdict == Verdict::Fail
            && let Err(error) = self.keep_replay(&mut outcome)
        {
            progress.say(&format!("no replay: {error}"));
        }
        if let Some(program) = self.qemu.filter(|_| outcome.kind == BoardKind::Qemu) {
            outcome.replay += &format!(" --qemu {}", program.display());
        }
        if let Err(error) = journal.append(&outcome)
            && self.lost.is_none()
        {
            progress.say(&format!("error: {error}"));
            self.lost = Some(error.to_string());
        }
        if self.json
            && let Ok(line) = report::json_line(&outcome)
        {
            print(&format!("{line}\n"));
        }
        self.outcomes.push(outcome.clone());
        outcome
    }

    /// Writes a file with which the run can be done again.
    fn keep_replay(&self, outcome: &mut Outcome) -> io::Result<()> {
        let board = outcome.replay.rsplit_once(" --board ").map_or("model", |(_, board)| board);
        if let Some(path) = self.replay {
            outcome.replay = format!("hil-runner replay {} --board {board}", path.display());
            return Ok(());
        }
        let scenario = self.scenarios.iter().find(|it| it.name == outcome.scenario);
        let case = scenario.and_then(|it| it.cases.iter().find(|case| case.name == outcome.case));
        let Some(case) = case else { return Ok(()) };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let name: String = format!("{} {}", outcome.case, outcome.run).chars().map(plain).collect();
        let path = self.folder.join(REPLAYS).join(format!("{}.json", name.trim_end_matches('_')));
        Replay::of(outcome, case)?.write(&path)?;
        outcome.replay = format!("hil-runner replay {} --board {board}", path.display());
        Ok(())
    }
}

/// About how many runs each board does.
fn expected(session: &Session) -> u64 {
    let cases = session.scenarios.iter().flat_map(|scenario| &scenario.cases);
    let runs: u64 = cases.map(|case| estimate(case, BoardKind::Model).0).sum();
    let seats = session.pools.first().map_or(1, |pool| pool.seats.len().max(1));
    runs / seats as u64 + 1
}

/// Makes the reports of a journal. Gives the exit status that its run had, or would have had.
pub(super) fn reports(journal: &Path, folder: &Path) -> io::Result<u8> {
    let recorded = Recorded::read(journal).map_err(io::Error::other)?;
    fs::create_dir_all(folder).map_err(about(folder))?;
    finish(folder, &recorded.header, &recorded.outcomes)?;
    Ok(report::exit_code(&recorded.outcomes))
}

/// Writes the reports, and prints the table.
fn finish(folder: &Path, header: &Header, outcomes: &[Outcome]) -> io::Result<()> {
    let page = folder.join(PAGE);
    fs::write(&page, report::html(Some(header), outcomes)).map_err(about(&page))?;
    let path = folder.join(JUNIT);
    let xml = report::junit(outcomes).map_err(io::Error::other)?;
    fs::write(&path, xml).map_err(about(&path))?;
    report::write_step_summary(outcomes)?;
    eprint!("{}", report::table(outcomes));
    eprintln!("report: {}", page.display());
    Ok(())
}
