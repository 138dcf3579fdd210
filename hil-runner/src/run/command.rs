//! Products that do not speak SMP: told what to do by a line or a program, judged by their console.

use super::device::{Device, seconds};
use super::host;
use super::smp::Answer;
use super::steps::Planned;
use super::stop::{Run, Stop, fail};
use crate::board::RigError;
use crate::scenario::{Command, Commands, Text};
use std::time::Duration;

impl Device<'_> {
    /// Does something by the product's command for it; `None` when the product speaks SMP.
    pub(super) fn by_command(
        &mut self,
        command: impl FnOnce(&Commands) -> Option<Command>,
        verb: &str,
        image: &str,
        limit: Duration,
        cut: Option<&Planned>,
    ) -> Run<Option<Answer>> {
        let Some(commands) = &self.case.device.commands else {
            return Ok(None);
        };
        let none = || Stop::Rig(RigError::new(format!("the product has no command to {verb}")));
        let command = command(commands).ok_or_else(none)?;
        self.plan_any(cut)?;
        self.touch();
        self.command(&command, image, limit).map(Some)
    }

    /// Tells a product that does not speak SMP what to do.
    pub(super) fn command(
        &mut self,
        command: &Command,
        image: &str,
        limit: Duration,
    ) -> Run<Answer> {
        let console = self.console()?;
        let from = console.next();
        let file = self.images.get(image).map(|image| image.file.display().to_string());
        let port = console.path().map(|path| path.display().to_string()).unwrap_or_default();
        let words =
            [("{image}", image.to_owned()), ("{file}", file.unwrap_or_default()), ("{port}", port)];
        match command {
            Command::Send { line, until, refused } => {
                console.send(&host::replaced(line, &words))?;
                self.answer(Some(until), refused.as_ref(), from, limit)
            }
            Command::Run { program, until, refused, limit: own } => {
                let status = host::run(program, *own, &words, &console)?;
                match (status.success, until, refused) {
                    (false, _, None) => Ok(Answer::Refused(status.end)),
                    (false, _, Some(_)) | (true, Some(_), _) => {
                        self.answer(until.as_ref(), refused.as_ref(), from, limit)
                    }
                    (true, None, _) => Ok(Answer::Done),
                }
            }
        }
    }

    /// Waits for one of the texts that say how a command ended.
    fn answer(
        &mut self,
        until: Option<&Text>,
        refused: Option<&Text>,
        from: usize,
        limit: Duration,
    ) -> Run<Answer> {
        let done = until.and_then(Text::regex);
        let no = refused.and_then(Text::regex);
        let found = self.console()?.wait(from, limit, true, |line| {
            let is = |pattern: &Option<regex::Regex>| {
                pattern.as_ref().is_some_and(|pattern| pattern.is_match(line))
            };
            Ok(match (is(&no), is(&done)) {
                (true, _) => Some(Answer::Refused(line.to_owned())),
                (false, true) => Some(Answer::Done),
                (false, false) => None,
            })
        })?;
        match found {
            Some((answer, _)) => Ok(answer),
            None => {
                let wanted = until.or(refused).map(words).unwrap_or_default();
                fail(format!("the console does not show {wanted} within {}", seconds(limit)))
            }
        }
    }

    pub(super) fn await_text(&mut self, until: Option<&Text>, from: usize, limit: Duration) -> Run {
        match until {
            None => Ok(()),
            Some(until) => self.answer(Some(until), None, from, limit).map(drop),
        }
    }
}

/// A text as it is written in a scenario.
pub(super) fn words(text: &Text) -> String {
    match text {
        Text::Plain(text) => format!("`{text}`"),
        Text::Pattern(pattern) => format!("the pattern `{}`", pattern.pattern),
    }
}
