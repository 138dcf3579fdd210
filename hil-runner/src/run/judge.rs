//! What must hold of the console, of flash, and of what runs.

use super::command::words;
use super::console::matching;
use super::device::{Device, Running, START, patterns, seconds};
use super::otadata;
use super::stop::{Run, Stop, fail};
use crate::board::RigError;
use crate::scenario::{Expectation, Text};
use std::time::{Duration, Instant};

impl Device<'_> {
    /// Judges what the console shows of the start that was just judged.
    pub(super) fn judge_texts(&mut self, limit: Duration, text: &[Text], never: &[Text]) -> Run {
        let console = self.console()?;
        let end = Instant::now() + limit;
        let mut from = self.progress.start_line;
        for (wanted, pattern) in text.iter().zip(patterns(text)) {
            let left = end.saturating_duration_since(Instant::now());
            let found =
                console.wait(from, left, true, |line| Ok(pattern.is_match(line).then_some(())))?;
            let Some(((), next)) = found else {
                return fail(format!("the console does not show {}", words(wanted)));
            };
            from = next;
        }
        self.never(never)
    }

    pub(super) fn wait_for(&mut self, text: &Text, never: &[Text], limit: Duration) -> Run {
        self.running(START)?;
        let never = patterns(never);
        let wanted = patterns(std::slice::from_ref(text));
        let found =
            self.console()?.wait(self.progress.report_line, limit, true, |line| match matching(
                &never, line,
            ) {
                Some(pattern) => {
                    fail(format!("the console shows {pattern:?}, which must not come: {line}"))
                }
                None => Ok(matching(&wanted, line).map(drop)),
            })?;
        match found {
            Some(_) => Ok(()),
            None => {
                fail(format!("the console does not show {} within {}", words(text), seconds(limit)))
            }
        }
    }

    pub(super) fn expect(&mut self, expectation: &Expectation) -> Run {
        let apps = *self.case.device.layout.apps();
        if let Some(wanted) = &expectation.otadata {
            self.judge_otadata(wanted)?;
        }
        if let Some(wanted) = expectation.selected {
            let selected = otadata::selected(&self.entries()?, &apps);
            if selected != Some(wanted) {
                let selected = selected.map_or_else(|| "nothing".into(), |app| app.to_string());
                return fail(format!("the next boot selects {selected}, expected {wanted}"));
            }
        }
        for (app, image) in &expectation.holds {
            let region = apps.app(*app).ok_or_else(|| no_slot(*app))?;
            let bytes = self.images.get(image)?.bytes.clone();
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(region.size);
            let held = self.read_flash(region.offset..region.offset + length)?;
            if let Some(at) = held.iter().zip(&bytes).position(|(held, byte)| held != byte) {
                return fail(format!("{app} does not hold {image}: byte {at:#x} differs"));
            }
        }
        for app in &expectation.untouched {
            let region = apps.app(*app).ok_or_else(|| no_slot(*app))?;
            let held = self.read_flash(region.offset..region.offset + region.size)?;
            let first = self.first_contents(region.offset, region.size)?;
            if let Some(at) = held.iter().zip(&first).position(|(held, byte)| held != byte) {
                return fail(format!("{app} was written to: byte {at:#x} differs"));
            }
        }
        Ok(())
    }

    /// What a part of flash held before the first boot.
    fn first_contents(&self, offset: u32, size: u32) -> Run<Vec<u8>> {
        let mut bytes = vec![0xFF; size as usize];
        for (at, piece) in self.images.contents(self.case, &[])?.pieces() {
            let into = at.checked_sub(offset).and_then(|at| bytes.get_mut(at as usize..));
            for (to, from) in into.unwrap_or_default().iter_mut().zip(piece) {
                *to = *from;
            }
        }
        Ok(bytes)
    }

    pub(super) fn expect_stable(
        &mut self,
        time: Option<Duration>,
        boots: Option<u32>,
        never: &[Text],
        limit: Duration,
    ) -> Run {
        let first = self.running(START)?;
        if let Some(time) = time {
            let console = self.console()?;
            let from = self.progress.report_line;
            let again = console.wait(from, time, false, |line| {
                // The mask ROM greets at every reset.
                Ok((line.contains("boot: fw=") || line.contains("ESP-ROM:"))
                    .then(|| line.to_owned()))
            })?;
            if let Some((line, _)) = again {
                return fail(format!("the device restarted by itself: {line}"));
            }
            self.never(never)?;
        }
        for number in 1..=boots.unwrap_or(0) {
            self.restart()?;
            let running = self.wait_for_start(limit.min(START))?;
            self.progress.unjudged = false;
            if running != first {
                let name = |it: &Running| {
                    let image = it.image.clone().unwrap_or_else(|other| other);
                    format!("{image} in {}", it.slot)
                };
                let (now, before) = (name(&running), name(&first));
                return fail(format!("after restart {number} {now} runs, before it was {before}"));
            }
            self.never(never)?;
        }
        Ok(())
    }
}

fn no_slot(app: ota_core::partition::App) -> Stop {
    RigError::new(format!("the partition table has no {app}")).into()
}
