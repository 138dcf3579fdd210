//! Where a cut of a real board fell, and how to hit next time.
//!
//! A real cut comes when the power switch acts, which nobody knows to the operation. So flash is read back
//! before the device starts again: both select entries and the sectors that the step's operations touch.
//! The flash model does the same step without a cut, and what was read is looked for among the contents
//! that it had on the way. What the firmware announced on the console bounds the place from below.
//! docs/reports.md, "Where the cut fell", says it for users.

mod aim;
mod compare;
mod dump;
mod predict;

use super::device::Device;
use super::exec::Exec;
use super::otadata;
use super::steps::Planned;
use super::stop::{Run, Stop};
use crate::board::{Contents, CutPoint, Landing, Operation};
use crate::scenario::Cut;
use aim::{Aim, Announced};
use compare::{Pieces, Predicted, Spot};
use predict::{From, Moment, predict};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is known of where cuts fall, over all runs of a case.
pub(super) struct Landings {
    contents: Contents,
    rollback: bool,
    /// Folder for flash contents that the model does not predict.
    dumps: Option<PathBuf>,
    /// Of the attempt that goes on: flash as the last cut left it.
    last: Option<(Contents, Moment)>,
    /// Why nothing can be said in this attempt from here on.
    lost: Option<String>,
    miss: Option<Miss>,
    aims: BTreeMap<(Moment, u32), Aim>,
    announced: BTreeMap<Moment, Announced>,
    /// How many operations a part of a step has.
    counts: BTreeMap<Moment, u32>,
    /// The offset of the last aim that hit, in operations.
    offset: f64,
}

/// A cut that fell elsewhere.
#[derive(Clone, Debug)]
struct Miss {
    what: String,
    again: bool,
}

/// Where a cut fell.
pub(super) struct Found {
    pub(super) landing: Landing,
    /// The number of the operation in its part of the step, where it is known.
    pub(super) number: Option<u32>,
    /// The number of the operation that it counts for.
    pub(super) counts_for: Option<u32>,
    pub(super) operation: Option<Operation>,
}

impl Landings {
    /// Nothing is known yet. `contents` is flash before the first step; dumps go to that folder.
    pub(super) fn new(contents: Contents, rollback: bool, dumps: Option<PathBuf>) -> Self {
        Self {
            contents,
            rollback,
            dumps,
            last: None,
            lost: None,
            miss: None,
            aims: BTreeMap::new(),
            announced: BTreeMap::new(),
            counts: BTreeMap::new(),
            offset: 0.0,
        }
    }

    /// An attempt begins, with the first contents.
    pub(super) fn begin(&mut self) {
        (self.last, self.lost, self.miss) = (None, None, None);
    }

    /// Why the attempt, which is over, was not the one that was asked for.
    pub(super) fn missed(&mut self) -> Run {
        match self.miss.take() {
            Some(Miss { what, again }) => Err(Stop::Missed { what, again }),
            None => Ok(()),
        }
    }

    /// When to cut instead, by what is known of cuts before.
    pub(super) fn aimed(&mut self, moment: Moment, number: u32) -> Option<CutPoint> {
        let announced = self.announced.get(&moment)?;
        if self.counts.get(&moment).is_none_or(|count| number > *count) {
            return None;
        }
        let offset = self.offset;
        let aim = match self.aims.get(&(moment, number)) {
            Some(aim) => *aim,
            None if offset == 0.0 => return None,
            None => *self.aims.entry((moment, number)).or_insert_with(|| Aim::new(offset)),
        };
        aim.point(number, announced)
    }

    /// The step was over before the delay of a cut had passed.
    pub(super) fn too_late(&mut self, moment: Moment, number: u32) -> Stop {
        self.learn(moment, number, 1.0);
        let what = format!("the step was over before the cut at operation {number}");
        Stop::Missed { what, again: true }
    }

    fn learn(&mut self, moment: Moment, number: u32, late: f64) {
        let aim = self.aims.entry((moment, number)).or_insert_with(|| Aim::new(0.0));
        aim.missed_by(late);
    }

    /// Notes where a cut fell that was to hit.
    fn judge(&mut self, moment: Moment, planned: &Planned, wanted: Option<Spot>, spot: Spot) {
        let (CutPoint::Operation { number, .. }, Some(wanted)) = (&planned.plan.point, wanted)
        else {
            return;
        };
        if spot == wanted {
            if planned.instead.is_some() {
                self.offset = self.aims.get(&(moment, *number)).map_or(0.0, |aim| aim.offset);
            }
            return;
        }
        self.learn(moment, *number, spot.position() - wanted.position());
        let (fell, landing) = spot.landing(Some(*number));
        let what = format!(
            "the cut was to fall at operation {number} and fell {} operation {fell}",
            words(landing)
        );
        self.miss.get_or_insert(Miss { what, again: true });
    }

    /// Nobody can say where a cut fell. Then it is not known to have hit.
    fn unknown(&mut self, planned: &Planned, why: String) {
        if let CutPoint::Operation { number, .. } = &planned.plan.point {
            let what = format!("whether the cut fell at operation {number} is not known: {why}");
            self.miss.get_or_insert(Miss { what, again: false });
        }
        self.lost = Some(why);
    }

    /// The contents of flash cannot be explained.
    fn unpredicted(&mut self, name: &str, predicted: &[u8], read: &[u8]) -> Run {
        let mut what = "flash holds what the flash model does not predict".to_owned();
        if let Some(folder) = &self.dumps {
            let [read, predicted] = dump::write(folder, name, read, predicted)?;
            what = format!("{what}: compare {} with {}", read.display(), predicted.display());
        }
        self.lost = Some("flash held what the flash model does not predict".into());
        self.miss = Some(Miss { what, again: false });
        Ok(())
    }
}

impl Exec<'_, '_> {
    /// Reads flash back and finds where a cut fell that came just now. The device is off afterwards.
    pub(super) fn locate(
        &mut self,
        cut: &Cut,
        planned: &Planned,
        announced: &[Operation],
        moments: &[Duration],
    ) -> Run<Option<Found>> {
        let progress = &self.device.progress;
        let moment = (progress.step, progress.cuts_made);
        let Some(landings) = &mut self.shared.landings else { return Ok(None) };
        let predicted = landings.predict(&self.device, moment, planned);
        landings.hear(moment, announced, moments);
        let predicted = match predicted {
            Ok(predicted) => predicted,
            Err(why) => {
                landings.unknown(planned, why.clone());
                self.device.remark(&format!("where the cut fell is not known: {why}"));
                return Ok(None);
            }
        };
        let offset = self.device.case.device.layout.apps().otadata().offset;
        let mut read = Pieces::new();
        for range in predicted.touched(offset..offset + otadata::BOTH) {
            read.push((range.start, self.device.board.read_flash(range)?));
        }
        // Its loader ran; the start to come is to be the first one since the cut.
        self.device.board.stop()?;
        let wanted = predicted.wanted(cut.kind, &planned.plan.point);
        let spot = predicted.find(&read, announced, wanted);
        let done = spot.map_or(announced.len().saturating_sub(1), |spot| spot.done as usize);
        let expected = predicted.before(done);
        let mut held = expected.clone();
        for (at, bytes) in &read {
            let to = held.iter_mut().skip(*at as usize);
            to.zip(bytes).for_each(|(to, from)| *to = *from);
        }
        let asked = match &planned.plan.point {
            CutPoint::Operation { number, .. } => Some(*number),
            CutPoint::Text { .. } => None,
        };
        let Some(spot) = spot else {
            let number = self.shared.choices.iter().map(|number| format!("-{number}"));
            let case = self.device.case.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let name = format!("{case}{}-cut", number.collect::<String>());
            landings.unpredicted(&name, &expected, &held)?;
            return Ok(Some(Found {
                landing: Landing::Unpredicted,
                number: None,
                counts_for: None,
                operation: None,
            }));
        };
        landings.judge(moment, planned, wanted, spot);
        let mut contents = Contents::erased(landings.contents.capacity());
        contents.put(0, held);
        landings.last = Some((contents, (moment.0, moment.1 + 1)));
        let (number, landing) = spot.landing(asked);
        self.device.remark(&format!("the cut fell {} operation {number}", words(landing)));
        let operation = predicted.operation(number);
        let counts_for = predicted.counts_for(cut.kind, &planned.plan.point, spot);
        Ok(Some(Found { landing, number: Some(number), counts_for, operation }))
    }
}

impl Landings {
    fn predict(
        &mut self,
        device: &Device<'_>,
        moment: Moment,
        planned: &Planned,
    ) -> Result<Predicted, String> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let (contents, from) = match &self.last {
            Some((contents, moment)) => (contents, *moment),
            None => (&self.contents, (0, 0)),
        };
        let from = From { contents, moment: from, rollback: self.rollback };
        let predicted = predict(device.case, device.images, &from, moment, planned.during)?;
        self.counts.insert(moment, predicted.operations.len() as u32);
        Ok(predicted)
    }

    /// Keeps when operations were announced.
    fn hear(&mut self, moment: Moment, announced: &[Operation], moments: &[Duration]) {
        let moments = moments.iter().map(|at| at.as_secs_f64() * 1000.0);
        let heard: Announced = announced.iter().copied().zip(moments).collect();
        let longest = self.announced.entry(moment).or_default();
        if heard.len() > longest.len() {
            *longest = heard;
        }
    }
}

fn words(landing: Landing) -> &'static str {
    match landing {
        Landing::Before => "before",
        Landing::After => "after",
        Landing::Exact | Landing::Torn => "into",
        Landing::Unknown | Landing::Unpredicted => "somewhere near",
    }
}
