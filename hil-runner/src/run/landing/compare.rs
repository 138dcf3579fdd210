//! Where a cut fell, by the contents of flash.

use crate::board::{CutPoint, Done, Landing, Operation};
use crate::scenario::CutKind;
use sim::flash::{self, Memory};
use std::ops::Range;

/// Bytes of the unit of an erase.
const SECTOR: u32 = 4096;

/// What a part of a step does to flash if nothing interrupts it, as the flash model predicts it.
#[derive(Clone, Debug)]
pub(super) struct Predicted {
    /// Flash before the first operation.
    pub(super) start: Memory,
    /// The operations, in their order.
    pub(super) operations: Vec<Done>,
}

/// A place between or in operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// How many operations were done before it.
    pub(super) done: u32,
    /// Some of the next one was done.
    pub(super) torn: bool,
}

/// Flash as it was read back: pieces, each with its offset.
pub(super) type Pieces = Vec<(u32, Vec<u8>)>;

impl Spot {
    /// In operations since the first one began.
    pub(super) fn position(self) -> f64 {
        f64::from(self.done) + if self.torn { 0.5 } else { 0.0 }
    }

    /// In the words of reports: the number of an operation, and where the cut fell as seen from it. The
    /// place between two operations is told as seen from the one that was asked for.
    pub(super) fn landing(self, asked: Option<u32>) -> (u32, Landing) {
        let next = self.done + 1;
        match self.torn {
            true => (next, Landing::Torn),
            false if self.done == 0 || asked == Some(next) => (next, Landing::Before),
            false => (self.done, Landing::After),
        }
    }
}

impl Predicted {
    /// The sectors that the operations touch, together with another range; neighbours as one range.
    pub(super) fn touched(&self, other: Range<u32>) -> Vec<Range<u32>> {
        let sectors =
            |range: Range<u32>| range.start / SECTOR * SECTOR..range.end.next_multiple_of(SECTOR);
        let capacity = self.start.capacity();
        let commands = self.operations.iter().flat_map(|operation| &operation.commands);
        let mut ranges: Vec<_> = commands
            .map(|command| command.operation.range(capacity))
            .chain([other])
            .map(sectors)
            .collect();
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u32>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }

    /// The operation with that number.
    pub(super) fn operation(&self, number: u32) -> Option<Operation> {
        let index = number.checked_sub(1)? as usize;
        Some(self.operations.get(index)?.operation)
    }

    /// All of flash when so many operations were done.
    pub(super) fn before(&self, done: usize) -> Vec<u8> {
        let commands = self.operations.iter().skip(done).find_map(|it| it.commands.first());
        let before = commands.map(|command| &command.before);
        let last = || self.operations.iter().rev().find_map(|it| it.commands.last());
        let memory = before.or_else(|| last().map(|command| &command.after));
        let memory = memory.unwrap_or(&self.start);
        memory.to_vec(0..memory.capacity())
    }

    /// Where a cut at that point falls if it hits.
    pub(super) fn wanted(&self, kind: CutKind, point: &CutPoint) -> Option<Spot> {
        let CutPoint::Operation { number, into } = point else { return None };
        let done = number.checked_sub(1)?;
        let commands = self.operations.get(done as usize)?.commands.len().max(1);
        // Without loss of power, the command that it falls into ends.
        let into = match kind.stops_flash() {
            false if *into > 0.0 => {
                let command = (into * commands as f64).floor() + 1.0;
                (command / commands as f64).min(1.0)
            }
            _ => *into,
        };
        Some(match into {
            into if into <= 0.0 => Spot { done, torn: false },
            into if into >= 1.0 => Spot { done: *number, torn: false },
            _ => Spot { done, torn: true },
        })
    }

    /// The number of the operation at which a cut asked for in the same way falls there.
    pub(super) fn counts_for(&self, kind: CutKind, asked: &CutPoint, spot: Spot) -> Option<u32> {
        let CutPoint::Operation { into, .. } = *asked else { return None };
        [spot.done, spot.done + 1]
            .into_iter()
            .find(|&number| self.wanted(kind, &CutPoint::Operation { number, into }) == Some(spot))
    }

    /// Where a cut fell that left this. Of places that leave the same, the wanted one is taken if it is
    /// among them, else the first one. `announced`: operations that the firmware has announced, each
    /// before it began. `None`: the model predicts no such contents.
    pub(super) fn find(
        &self,
        read: &Pieces,
        announced: &[Operation],
        wanted: Option<Spot>,
    ) -> Option<Spot> {
        let first = self.first(announced);
        let spots = self.spots(read);
        let mut spots = spots.into_iter().filter(|spot| *spot >= first);
        let wanted = wanted.filter(|wanted| spots.clone().any(|spot| spot == *wanted));
        wanted.or_else(|| spots.next())
    }

    /// The first place where a cut can have fallen behind these announcements.
    fn first(&self, announced: &[Operation]) -> Spot {
        let mut done = 0;
        let mut operations = self.operations.iter().zip(0..);
        for operation in announced {
            // The bootloader announces nothing: operations may lie between.
            match operations.find(|(it, _)| it.operation == *operation) {
                Some((_, index)) => done = index,
                // Not what the model does: nothing follows from it.
                None => return Spot { done: 0, torn: false },
            }
        }
        Spot { done, torn: false }
    }

    /// All places where a cut leaves these contents, in their order.
    fn spots(&self, read: &Pieces) -> Vec<Spot> {
        let mut wrong: usize =
            read.iter().map(|(at, bytes)| differences(&self.start, *at, bytes)).sum();
        let mut spots = Vec::new();
        // An erase may leave anything, so also what a later write leaves in its sector: it explains what
        // nothing else does.
        let mut erases = Vec::new();
        let capacity = self.start.capacity();
        for (operation, done) in self.operations.iter().zip(0..) {
            for (command, index) in operation.commands.iter().zip(0..) {
                let range = command.operation.range(capacity);
                let Some(held) = part(read, &range) else { return Vec::new() };
                let before = differences(&command.before, range.start, held);
                let after = differences(&command.after, range.start, held);
                if wrong == 0 {
                    spots.push(Spot { done, torn: index > 0 });
                }
                if wrong == before && possible(command, &range, held) {
                    let erase = matches!(command.operation.kind, flash::OperationKind::Erase(_));
                    if erase { &mut erases } else { &mut spots }.push(Spot { done, torn: true });
                }
                wrong = wrong - before + after;
            }
        }
        if wrong == 0 {
            spots.push(Spot { done: self.operations.len() as u32, torn: false });
        }
        spots.dedup();
        if spots.is_empty() { erases } else { spots }
    }
}

/// Whether a command that was stopped half-way can leave this in its range, and this shows.
fn possible(command: &flash::Recorded, range: &Range<u32>, held: &[u8]) -> bool {
    let before = command.before.to_vec(range.clone());
    let after = command.after.to_vec(range.clone());
    match command.operation.kind {
        // A chip programs all cells to 0 before it erases them: any bit may have any value on the way.
        flash::OperationKind::Erase(_) => held != before && held != after,
        flash::OperationKind::Program { .. } => {
            let bytes = before.iter().zip(&after).zip(held);
            let mut between = bytes.map(|((before, after), held)| {
                // Bits are cleared one by one, and only those that the command clears.
                held & !before == 0 && after & !held == 0
            });
            // A command that changes nothing can be stopped anywhere without a trace.
            (before == after || held != before && held != after) && between.all(|it| it)
        }
    }
}

/// The piece of what was read that lies in a range.
fn part<'a>(read: &'a Pieces, range: &Range<u32>) -> Option<&'a [u8]> {
    read.iter().find_map(|(at, bytes)| {
        let start = range.start.checked_sub(*at)? as usize;
        bytes.get(start..start + range.len())
    })
}

/// How many bytes of these are others in the memory.
fn differences(memory: &Memory, at: u32, bytes: &[u8]) -> usize {
    let held = memory.to_vec(at..at + bytes.len() as u32);
    held.iter().zip(bytes).filter(|(held, byte)| held != byte).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::OperationKind;
    use sim::flash::EraseSize;

    /// An erase of a sector that holds zeros, and two writes of two commands each.
    fn predicted() -> Predicted {
        let mut memory = Memory::erased(0x1_0000);
        memory.set(0x1000, &[0; 4096]);
        let start = memory.clone();
        let mut step = |kind, address, length, commands: Vec<flash::Operation>| {
            let commands = commands.into_iter().map(|operation| {
                let before = memory.clone();
                match &operation.kind {
                    flash::OperationKind::Erase(_) => memory.erase(0x1000..0x2000),
                    flash::OperationKind::Program { data } => {
                        memory.program(operation.offset, data)
                    }
                }
                flash::Recorded { before, operation, after: memory.clone() }
            });
            Done { operation: Operation { kind, address, length }, commands: commands.collect() }
        };
        let program = |at: u32, byte: u8| flash::Operation::program(at, vec![byte; 32]);
        let erase = flash::Operation::erase(0x1000, EraseSize::Sector4K);
        let operations = vec![
            step(OperationKind::Erase, 0x1000, 4096, vec![erase]),
            step(OperationKind::Write, 0x1000, 64, vec![program(0x1000, 1), program(0x1020, 2)]),
            step(OperationKind::Write, 0x1040, 64, vec![program(0x1040, 3), program(0x1060, 4)]),
        ];
        Predicted { start, operations }
    }

    const fn at(done: u32, torn: bool) -> Option<Spot> {
        Some(Spot { done, torn })
    }

    /// What is found for the contents that these changes leave.
    fn find(
        changes: &[(usize, Vec<u8>)],
        from: usize,
        announced: usize,
        wanted: Option<Spot>,
    ) -> Option<Spot> {
        let predicted = predicted();
        let mut sector = predicted.before(from)[0x1000..0x2000].to_vec();
        for (at, bytes) in changes {
            sector[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let announced: Vec<_> =
            predicted.operations.iter().take(announced).map(|it| it.operation).collect();
        predicted.find(&vec![(0x1000, sector)], &announced, wanted)
    }

    #[test]
    fn each_place_is_found_by_what_it_leaves() {
        for done in 0..=3 {
            assert_eq!(find(&[], done, 0, None), at(done as u32, false));
        }
        // Between the commands of a write, and in either.
        assert_eq!(find(&[(0, vec![1; 32])], 1, 0, None), at(1, true));
        assert_eq!(find(&[(0, vec![1; 5])], 1, 0, None), at(1, true));
        assert_eq!(find(&[(0, vec![1; 32]), (0x20, vec![0x0F])], 1, 0, None), at(1, true));
        assert_eq!(find(&[(0x47, vec![0xF3])], 2, 0, None), at(2, true));
        // An erase may leave anything, in its sector.
        assert_eq!(find(&[(0x700, vec![0x55])], 0, 0, None), at(0, true));
    }

    #[test]
    fn what_no_cut_leaves_is_not_found() {
        // The announcement of the first write: the erase is over.
        assert_eq!(find(&[(0x700, vec![0x55])], 1, 2, None), None);
        assert_eq!(find(&[(0x20, vec![2; 32])], 1, 2, None), None, "the second command alone");
        assert_eq!(find(&[(0, vec![0])], 1, 2, None), None, "a bit that is not to be cleared");
        assert_eq!(find(&[], 0, 2, None), None, "before what was announced");
    }

    #[test]
    fn of_equal_places_the_wanted_one_counts() {
        let mut same = predicted();
        // The second write writes what is there.
        let last = same.operations[2].commands[1].after.clone();
        let held = last.to_vec(0x1000..0x2000);
        for command in &mut same.operations[2].commands {
            (command.before, command.after) = (last.clone(), last.clone());
        }
        same.operations[1].commands[1].after = last.clone();
        same.operations[1].commands[1].operation = flash::Operation::program(0x1020, vec![0; 96]);
        let find = |wanted| same.find(&vec![(0x1000, held.clone())], &[], wanted);
        assert_eq!(find(None), at(2, false));
        assert_eq!(find(at(2, true)), at(2, true));
        assert_eq!(find(at(3, false)), at(3, false));
        assert_eq!(find(at(1, true)), at(2, false), "there it is not");
    }

    #[test]
    fn sectors_are_read_once() {
        let touched = predicted().touched(0x2000..0x2004);
        assert_eq!((touched.len(), touched.first()), (1, Some(&(0x1000..0x3000))));
        assert_eq!(predicted().touched(0x8000..0xA000), [0x1000..0x2000, 0x8000..0xA000]);
    }

    #[test]
    fn a_reset_lets_a_command_end() {
        let wanted =
            |kind, number, into| predicted().wanted(kind, &CutPoint::Operation { number, into });
        assert_eq!(wanted(CutKind::Rail, 2, 0.5), at(1, true));
        assert_eq!(wanted(CutKind::Rail, 2, 0.0), at(1, false));
        assert_eq!(wanted(CutKind::Rail, 2, 1.0), at(2, false));
        assert_eq!(wanted(CutKind::EnReset, 1, 0.5), at(1, false));
        assert_eq!(wanted(CutKind::EnReset, 2, 0.3), at(1, true));
        assert_eq!(wanted(CutKind::EnReset, 2, 0.7), at(2, false));
        assert_eq!(wanted(CutKind::Rail, 4, 0.5), None);
    }

    #[test]
    fn a_place_counts_for_the_operation_that_it_would_have_been_asked_for() {
        let counts = |kind, into, spot: Option<Spot>| {
            predicted().counts_for(kind, &CutPoint::Operation { number: 1, into }, spot.unwrap())
        };
        for (into, spot, number) in [
            (0.0, at(0, false), Some(1)),
            (0.0, at(2, false), Some(3)),
            (0.0, at(3, false), None),
            (0.0, at(1, true), None),
            (0.5, at(1, true), Some(2)),
            (0.5, at(1, false), None),
            (1.0, at(0, false), None),
            (1.0, at(3, false), Some(3)),
            (1.0, at(2, true), None),
        ] {
            assert_eq!(counts(CutKind::Rail, into, spot), number, "{into} {spot:?}");
        }
        // A reset lets an erase end, and the first of two commands.
        assert_eq!(counts(CutKind::EnReset, 0.4, at(1, false)), Some(1));
        assert_eq!(counts(CutKind::EnReset, 0.4, at(1, true)), Some(2));
        assert_eq!(counts(CutKind::EnReset, 0.9, at(1, true)), None);
        assert_eq!(counts(CutKind::EnReset, 0.9, at(2, false)), Some(2));
    }
}
