//! The power cycles that lead to a state.

use super::{Search, State};
use crate::explore::cycle::{Action, Cut, Cycle, Writer};
use crate::explore::leftover::Holding;
use crate::explore::state::Content;
use crate::explore::summary::Start;
use crate::subject::Call;

impl Search<'_> {
    /// The power cycles that lead to a state, with those contents of a slot if any are named.
    ///
    /// A state stands for devices with different contents of a slot, and one way to it is known. Where
    /// that leads to other contents, the uploads to this slot are replaced by those that leave the right
    /// ones. If that leads to another state, the way stays as it is, and may not replay.
    pub(super) fn way(&mut self, id: u32, holding: Option<Holding>) -> Vec<Cycle> {
        if let Some(way) = holding.and_then(|holding| self.way_with(id, holding)) {
            return way;
        }
        let node = &self.nodes[id as usize];
        if node.parent == id {
            return Vec::new();
        }
        let (parent, before, cycle) = (node.parent, node.holding, node.cycle.clone());
        let mut cycles = self.way(parent, before);
        cycles.push(cycle);
        cycles
    }

    fn way_with(&mut self, id: u32, holding: Holding) -> Option<Vec<Cycle>> {
        let partial = Content::Partial(holding.image);
        let mut rest = Vec::new();
        let mut end = id;
        loop {
            let node = &self.nodes[end as usize];
            if node.state.flash.contents[holding.partition] != partial || node.parent == end {
                return None;
            }
            let (parent, cycle) = (node.parent, node.cycle.clone());
            let mut from = end;
            while self.nodes[from as usize].parent != from {
                from = self.nodes[from as usize].parent;
                if let Some(uploads) = self.uploads_between(from, end, holding) {
                    rest.reverse();
                    return Some([self.way(from, None), uploads, rest].concat());
                }
            }
            rest.push(cycle);
            end = parent;
        }
    }

    /// Interrupted uploads that lead from one state to another and leave that.
    fn uploads_between(&mut self, from: u32, to: u32, holding: Holding) -> Option<Vec<Cycle>> {
        let mut state = self.nodes[from as usize].state;
        let mut cycles = Vec::new();
        for (before, after) in self.runs.leftovers().history(holding) {
            let (cycle, next) = self.interrupt(&state, before, after)?;
            cycles.push(cycle);
            state = next;
        }
        (state == self.nodes[to as usize].state).then_some(cycles)
    }

    /// Cuts an upload so that it leaves `after`, on a device whose slot holds `before`.
    fn interrupt(
        &mut self,
        state: &State,
        before: Option<Holding>,
        after: Holding,
    ) -> Option<(Cycle, State)> {
        let boot = self.runs.boot(&state.flash, state.secure_version);
        let running = self.start(state, &boot).ok()?.0?;
        let action = Action::Update(after.image);
        let mut now = running.state;
        let mut first = 0;
        for &call in action.calls() {
            let start = Start::new(&now, running.app, call, action);
            if call == Call::Update {
                let start = Start { holding: before, ..start };
                let trace = self.runs.trace(&start);
                let (operation, tear, flash) = trace.leaves(&start, after)?;
                let operation = (first + operation) as u32;
                let cut = Cut { during: Writer::Application, operation, tear: tear.clone() };
                let flash = flash.with_unwritten(&now.flash, Some(after.partition));
                let spec = now.spec.during(call, after.image);
                return Some((Cycle { action, cut: Some(cut) }, State { flash, spec, ..now }));
            }
            let summary = self.runs.call(&start);
            first += summary.run.operations;
            now = State {
                flash: summary.run.end.with_unwritten(&now.flash, summary.written),
                spec: now.spec.after(call, after.image),
                bootloader_cut: now.bootloader_cut && call != Call::Confirm,
                ..now
            };
        }
        None
    }
}
