//! The power cycles that lead to a situation.

use super::{Search, Situation, State, Step};
use crate::explore::cycle::{Cut, Cycle, Request, Writer};
use crate::explore::hit::content_of;
use crate::explore::leftover::Holding;
use crate::explore::state::Content;
use crate::explore::summary::Start;

/// A power cycle of the search.
struct Segment {
    /// The state at power-on.
    from: u32,
    cycle: Cycle,
    /// What a partition must hold at power-on.
    holding: Option<Holding>,
}

impl Search<'_> {
    /// The power cycles that lead to a situation, and on through `step` to the end of the last one.
    pub(super) fn way(&mut self, id: u32, step: Option<&Step>) -> Vec<Cycle> {
        let last = self.segment(id, step);
        let mut cycles = self.way_to(last.from, last.holding);
        cycles.push(last.cycle);
        cycles
    }

    /// The power cycle that leads through a situation and `step`.
    fn segment(&self, id: u32, step: Option<&Step>) -> Segment {
        let mut steps: Vec<_> = step.into_iter().collect();
        let mut from = id;
        while self.nodes[from as usize].situation.running.is_some() {
            steps.push(&self.nodes[from as usize].step);
            from = self.nodes[from as usize].parent;
        }
        steps.reverse();
        let calls = steps.iter().filter_map(|step| step.request).collect();
        let cut = steps.last().and_then(|step| step.cut.clone());
        // A slot that an update has written no longer holds what was left in it.
        let holding = steps.iter().find_map(|step| step.holding);
        Segment { from, cycle: Cycle { calls, cut }, holding }
    }

    /// The power cycles that lead to a device without power, with those contents of a slot if any are
    /// named.
    ///
    /// A state stands for devices with different contents of a slot, and one way to it is known. Where
    /// that leads to other contents, the uploads to this slot are replaced by those that leave the right
    /// ones. If that leads to another state, the way stays as it is, and may not replay.
    fn way_to(&mut self, id: u32, holding: Option<Holding>) -> Vec<Cycle> {
        if let Some(way) = holding.and_then(|holding| self.way_with(id, holding)) {
            return way;
        }
        let Some(last) = self.before(id) else { return Vec::new() };
        let mut cycles = self.way_to(last.from, last.holding);
        cycles.push(last.cycle);
        cycles
    }

    /// The power cycle that leads to a device without power; none for the new device.
    fn before(&self, id: u32) -> Option<Segment> {
        let node = &self.nodes[id as usize];
        (node.parent != id).then(|| self.segment(node.parent, Some(&node.step)))
    }

    fn way_with(&mut self, id: u32, holding: Holding) -> Option<Vec<Cycle>> {
        let partial = Content::Partial(holding.image);
        let mut rest = Vec::new();
        let mut end = id;
        loop {
            let contents = &self.nodes[end as usize].situation.state.flash.contents;
            if contents[holding.partition] != partial {
                return None;
            }
            let last = self.before(end)?;
            let mut from = end;
            while let Some(segment) = self.before(from) {
                from = segment.from;
                if let Some(uploads) = self.uploads_between(from, end, holding) {
                    rest.reverse();
                    return Some([self.way_to(from, None), uploads, rest].concat());
                }
            }
            rest.push(last.cycle);
            end = last.from;
        }
    }

    /// Interrupted uploads that lead from one state to another and leave that.
    fn uploads_between(&mut self, from: u32, to: u32, holding: Holding) -> Option<Vec<Cycle>> {
        let mut state = self.nodes[from as usize].situation.state;
        let mut cycles = Vec::new();
        for (before, after) in self.runs.leftovers().history(holding) {
            let (cycle, next) = self.interrupt(&state, before, after)?;
            cycles.push(cycle);
            state = next;
        }
        let reached = Situation { state, running: None };
        (reached == self.nodes[to as usize].situation).then_some(cycles)
    }

    /// Cuts an upload so that it leaves `after`, on a device whose slot holds `before`.
    fn interrupt(
        &mut self,
        state: &State,
        before: Option<Holding>,
        after: Holding,
    ) -> Option<(Cycle, State)> {
        let boot = self.runs.boot(&state.flash, state.secure_version);
        let (mut now, app) = self.start(state, &boot).ok()?.0?;
        let Content::Firmware(running) = content_of(&now.flash.contents, app) else {
            return None;
        };
        let calls = Request::usual_update(after.image);
        let mut first = 0;
        for &request in &calls {
            let start = Start::new(&now, app, request);
            if request == Request::Update(after.image) {
                let start = Start { holding: before, ..start };
                let trace = self.runs.trace(&start);
                let (operation, tear, flash) = trace.leaves(&start, after)?;
                let operation = (first + operation) as u32;
                let cut = Cut { during: Writer::Application, operation, tear: tear.clone() };
                let flash = flash.with_unwritten(&now.flash, Some(after.partition));
                let spec = now.spec.during(request);
                return Some((Cycle { calls, cut: Some(cut) }, State { flash, spec, ..now }));
            }
            let summary = self.runs.call(&start);
            first += summary.run.operations;
            now = State {
                flash: summary.run.end.with_unwritten(&now.flash, summary.written),
                spec: now.spec.after(request, running),
                secure_version: summary.secure_version,
                bootloader_cut: now.bootloader_cut && request != Request::Confirm,
            };
        }
        None
    }
}
