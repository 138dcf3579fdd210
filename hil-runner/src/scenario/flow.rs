//! Follows a case from step to step, and finds what cannot happen, what cannot be wrong, and what
//! nothing checks.

use super::case::{Action, AfterCut, Case, Cut, Device, Image, Step};
use super::code::Code;
use super::diagnostic::Sink;
use super::file::{Phase, Then};
use super::node::Node;
use std::collections::BTreeSet;
use std::ops::Range;

/// Checks the order of the steps of a case. `nodes` are the steps as they are written.
pub(super) fn check(case: &Case, nodes: &[Node], sink: &mut Sink) {
    // A step that could not be read is missing, and then nothing can be said of the order.
    if case.steps.len() != nodes.len() {
        return;
    }
    let mut flow = Flow {
        case,
        device: &case.device,
        present: BTreeSet::new(),
        running: None,
        started: Start::Never,
        selected: false,
        sink,
    };
    let mut unchecked = None;
    for (step, node) in case.steps.iter().zip(nodes) {
        flow.step(step, node);
        match checks(&step.action) {
            true => unchecked = None,
            false => unchecked = Some((step, node)),
        }
    }
    if let Some((step, node)) = unchecked {
        let verb = step.action.verb();
        let message =
            format!("nothing is checked after `{verb}`, so it does not matter what it did");
        *flow.sink.add(Code::Unchecked, node.key_span(verb), message, "the last step") =
            Some("add a `boot`, an `expect` or a `still-updatable`".into());
    }
}

/// Whether a step says what must hold, beyond its own success.
fn checks(action: &Action) -> bool {
    match action {
        Action::Boot { .. }
        | Action::WaitFor { .. }
        | Action::Expect(_)
        | Action::ExpectStable { .. }
        | Action::OfferOlder { .. }
        | Action::StillUpdatable { .. } => true,
        Action::Update { refused, .. } => *refused,
        _ => false,
    }
}

/// Since when the device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// It has not run yet.
    Never,
    /// A `boot` has just judged it.
    Judged,
    /// Something was done to it since.
    Changed,
}

struct Flow<'a> {
    case: &'a Case,
    device: &'a Device,
    /// Images that may be on the device.
    present: BTreeSet<&'a str>,
    /// Images one of which runs, if that is known.
    running: Option<Vec<&'a str>>,
    started: Start,
    /// Whether a select entry was written since the device ran what it runs.
    selected: bool,
    sink: &'a mut Sink,
}

impl<'a> Flow<'a> {
    fn step(&mut self, step: &'a Step, node: &Node) {
        let verb = step.action.verb();
        if self.present.is_empty() && !matches!(step.action, Action::Install { .. }) {
            let message = format!("`{verb}` comes before anything is installed");
            *self.sink.add(Code::Order, node.key_span(verb), message, "nothing to start") =
                Some("begin with an `install` step".into());
            // Said once; what follows is judged as if there were an image.
            self.present.extend(self.case.images.keys().map(String::as_str));
        }
        self.interruptions(step, node);
        match &step.action {
            Action::Install { image, otadata, .. } => {
                if self.started != Start::Never {
                    let message = "`install` comes after the device has run";
                    *self.sink.add(Code::Order, node.key_span(verb), message, "too late") = Some(
                        "put it first; the running firmware is sent images by `update`".into(),
                    );
                    self.change();
                }
                self.selected |= otadata.is_some();
                self.present.insert(image);
            }
            Action::Boot { images, .. } => self.boot(images, node),
            Action::Update { image, refused, break_link } => {
                self.update(image, *refused, *break_link, node);
            }
            Action::Select { image } => {
                self.may_run(image, node.span_of(verb));
                self.change();
                self.selected = true;
            }
            Action::Confirm { image } => {
                self.must_run(image, verb, node);
                self.must_be_confirmable(image, node.span_of(verb));
                self.change();
            }
            Action::RollBack { image } => {
                self.must_run(image, verb, node);
                let by_command =
                    self.device.commands.as_ref().is_some_and(|it| it.roll_back.is_some());
                if !self.device.rollback && !by_command {
                    self.needs_rollback("nothing is rolled back", node.key_span(verb));
                }
                self.change();
                self.running = None;
            }
            Action::Reset { .. } | Action::PowerCycle { .. } | Action::FlipBits { .. } => {
                self.change();
                self.running = None;
            }
            Action::Send { .. } | Action::Run { .. } => {
                self.change();
                self.selected = true;
                self.running = None;
            }
            Action::WaitFor { .. } | Action::Expect(_) | Action::ExpectStable { .. } => {}
            Action::OfferOlder { image } => self.offer_older(image, node),
            Action::StillUpdatable { image } => {
                self.present.insert(image);
                self.may_run(image, node.span_of(verb));
                self.must_be_confirmable(image, node.span_of(verb));
                self.running = Some(vec![image]);
                self.started = Start::Judged;
            }
        }
        if let Some(after) = &step.after_cut {
            self.after_cut(after, node);
        }
    }

    fn change(&mut self) {
        self.started = Start::Changed;
    }

    fn image(&self, name: &str) -> Option<&'a Image> {
        self.case.images.get(name)
    }

    /// An image of which the file says that it may run now.
    fn may_run(&mut self, name: &'a str, span: Range<usize>) {
        let Some(image) = self.image(name) else {
            return;
        };
        let (message, label) = match &image.unfit {
            Some(unfit) => (format!("image `{name}` can never run: {unfit}"), "cannot run"),
            None if self.present.contains(name) => return,
            None => (format!("image `{name}` is not on the device at this step"), "not there"),
        };
        *self.sink.add(Code::ImpossibleBoot, span, message, label) =
            Some("name an image that was installed or updated to before".into());
    }

    fn must_run(&mut self, name: &'a str, verb: &str, node: &Node) {
        if self.image(name).is_none() {
            return;
        }
        let message = match &self.running {
            Some(running) if running.contains(&name) => return,
            Some(running) => {
                format!("image `{name}` does not run: `{}` does", running.join("` or `"))
            }
            None => format!("nothing says that image `{name}` runs"),
        };
        *self.sink.add(Code::NotRunning, node.span_of(verb), message, "must be running") =
            Some(format!("put `boot = \"{name}\"` before it"));
    }

    fn must_be_confirmable(&mut self, name: &str, span: Range<usize>) {
        if let Some(why) = self.image(name).and_then(|image| image.unconfirmed.as_ref()) {
            let message = format!("image `{name}` can never be confirmed: {why}");
            *self.sink.add(Code::ImpossibleOutcome, span, message, "cannot be confirmed") =
                Some("name another image, or expect that it is rolled back".into());
        }
    }

    fn needs_rollback(&mut self, why: &str, span: Range<usize>) {
        let message = format!("the bootloader has no rollback, so {why}");
        *self.sink.add(Code::NeedsRollback, span, message, "needs rollback") =
            Some("set `rollback = true` in [device]".into());
    }

    fn boot(&mut self, images: &'a [String], node: &Node) {
        for (name, span) in images.iter().zip(node.spans("boot")) {
            self.may_run(name, span);
        }
        let resets = |name: &&str| self.image(name).is_some_and(|image| image.resets_itself);
        let another = self.running.as_ref().is_some_and(|running| running.iter().any(resets));
        if self.started == Start::Judged && !another {
            let message = "nothing was done since the last `boot`, so this is the same boot";
            *self.sink.add(Code::SameBoot, node.key_span("boot"), message, "judged already") =
                Some("put a `reset` or `power-cycle` before it to see another boot".into());
        }
        self.running = Some(images.iter().map(String::as_str).collect());
        self.started = Start::Judged;
        // On trial, the next boot writes once more.
        self.selected &= self.device.rollback;
    }

    fn update(&mut self, name: &'a str, refused: bool, break_link: Option<u32>, node: &Node) {
        let Some(image) = self.image(name) else {
            // Reported already; whichever was meant is there from now on.
            self.present.extend(self.case.images.keys().map(String::as_str));
            return self.change();
        };
        let slots = self.device.layout.apps().slots();
        let room = slots.map(|slot| slot.size).min().unwrap_or(0);
        let too_long = image.bytes.filter(|bytes| *bytes > room);
        let too_long =
            too_long.map(|it| format!("it has {it} bytes, and the smallest slot {room}"));
        match (image.unfit.clone().or(too_long), refused) {
            (Some(why), false) => {
                let message = format!("image `{name}` cannot be updated to: {why}");
                *self.sink.add(Code::ImpossibleOutcome, node.span_of("update"), message, "unfit") =
                    Some("add `refused = true`".into());
            }
            (None, true) if image.bytes.is_some() || image.version.is_some() => {
                let message = format!("nothing is wrong with image `{name}`: it is not refused");
                let help = "offer a damaged image, or see `offer-older`";
                *self.sink.add(Code::ImpossibleOutcome, node.span_of("refused"), message, "fit") =
                    Some(help.into());
            }
            _ => {}
        }
        if let (Some(at), Some(bytes)) = (break_link, image.bytes)
            && at >= bytes
        {
            let message = format!("image `{name}` has {bytes} bytes, so the link never breaks");
            let span = node.span_of("break-link");
            *self.sink.add(Code::BeyondTheEnd, span, message, "beyond its end") =
                Some(format!("choose a number below {bytes}"));
        }
        self.change();
        if !refused {
            self.present.insert(name);
            self.selected = true;
        }
    }

    fn offer_older(&mut self, name: &str, node: &Node) {
        let version = |name: &str| self.image(name)?.version.as_deref().and_then(numbers);
        let running: Option<Vec<_>> = match &self.running {
            Some(names) => names.iter().map(|name| version(name)).collect(),
            None => None,
        };
        let (Some(offered), Some(running)) = (version(name), running) else {
            return;
        };
        if running.iter().all(|running| offered > *running) {
            let message = format!("image `{name}` is newer than what runs");
            *self.sink.add(Code::NotOlder, node.span_of("offer-older"), message, "newer") =
                Some("offer an image whose version is the same or lower".into());
        }
    }

    /// Checks what a step says about cuts and broken links.
    fn interruptions(&mut self, step: &Step, node: &Node) {
        match (node.entry("cut"), node.entry("after-cut")) {
            (Some((key, _)), None) => {
                let message = "nothing is checked after the cut";
                *self.sink.add(Code::CutWithoutCheck, key.span.clone(), message, "unchecked") =
                    Some("add `after-cut = { boots = [...] }` with the images that may run".into());
            }
            (None, Some((key, _))) => {
                let message = "`after-cut` has no cut that it could come after";
                *self.sink.add(Code::CheckWithoutCut, key.span.clone(), message, "no cut") =
                    Some("add a `cut`, or remove it".into());
            }
            _ => {}
        }
        let Some((first, (key, value))) = step.cuts.first().zip(node.entry("cut")) else {
            return;
        };
        if let Some((key, _)) = node.entry("break-link") {
            let message = "the link breaks and power is cut in the same step";
            *self.sink.add(Code::Conflict, key.span.clone(), message, "a second interruption") =
                Some("make two scenarios of it".into());
        }
        if let Some(why) = self.writes_nothing(&step.action) {
            let message = format!("{why}, so the cut never fires");
            *self.sink.add(Code::NoFlashOperations, key.span.clone(), message, "never fires") =
                Some("cut a step that writes flash".into());
        }
        let value = value.items().first().unwrap_or(value);
        self.phase(first, &step.action, value);
    }

    fn phase(&mut self, cut: &Cut, action: &Action, node: &Node) {
        let possible: &[Phase] = match action {
            Action::Update { .. } => &[Phase::Upload, Phase::Select],
            Action::Select { .. } => &[Phase::Select],
            Action::Confirm { .. } => &[Phase::Confirm],
            Action::Boot { .. } | Action::RollBack { .. } => &[Phase::Boot],
            _ => return,
        };
        if cut.during.is_some_and(|phase| !possible.contains(&phase)) {
            let verb = action.verb();
            let message = format!("`{verb}` has no such phase, so the cut never fires");
            let names: Vec<_> =
                possible.iter().map(|phase| format!("{phase:?}").to_lowercase()).collect();
            let span = node.span_of("during");
            *self.sink.add(Code::WrongPhase, span, message, "never comes") =
                Some(format!("its phases: {}", names.join(", ")));
        }
    }

    /// Why a step has no flash operations; `None` when it may have some.
    fn writes_nothing(&self, action: &Action) -> Option<&'static str> {
        let Device { rollback, commands, layout, .. } = self.device;
        match action {
            Action::Confirm { .. } if !rollback && commands.is_none() => {
                Some("without rollback there is nothing to confirm")
            }
            Action::Boot { .. } => {
                // ESP-IDF's bootloader writes the first entry of a device without factory application,
                // and, with rollback, the state of an image on trial.
                let first = self.started == Start::Never && layout.apps().factory().is_none();
                let writes = first || (*rollback && self.selected);
                (!writes).then_some("the bootloader writes nothing at this boot")
            }
            _ => None,
        }
    }

    fn after_cut(&mut self, after: &'a AfterCut, node: &Node) {
        let Some(node) = node.get("after-cut") else {
            return;
        };
        for (name, span) in after.boots.iter().zip(node.spans("boots")) {
            self.may_run(name, span);
        }
        if after.then == Then::GoOn {
            let running = self.running.get_or_insert_default();
            running.extend(after.boots.iter().map(String::as_str));
        }
    }
}

/// The numbers of a version such as `2.0.0-rc1`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let plain = version.trim_start_matches('v').split(['-', '+']).next()?;
    plain.split('.').map(|number| number.parse().ok()).collect()
}
