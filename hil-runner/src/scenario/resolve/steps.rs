//! The steps: names resolved, defaults filled in.

use super::Context;
use crate::scenario::case::{
    Action, AfterCut, Cut, Device, Entry, Expectation, Image, Otadata, Place, Step, Which,
};
use crate::scenario::code::Code;
use crate::scenario::file::{
    AfterCutTable, CutChain, CutTable, EntryText, ExpectTable, File, Operation, OperationWord,
    OtadataTable, OtadataWord, Span, StepTable, Text,
};
use crate::scenario::node::Node;
use ota_core::otadata::State;
use ota_core::partition::{App, Slot};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far into an operation a cut falls unless the file says so.
const INTO: f64 = 0.5;
/// How long a device stays without power after a cut unless the file says so.
const OFF: Duration = Duration::from_millis(500);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Time limit of a step unless the file says so.
fn default_limit(action: &Action) -> Duration {
    match action {
        Action::Install { .. } | Action::FlipBits { .. } => seconds(60),
        Action::Boot { .. } => seconds(15),
        Action::Update { .. } | Action::Run { .. } => seconds(120),
        Action::Select { .. } | Action::Confirm { .. } | Action::Reset { .. } => seconds(10),
        Action::Send { .. } | Action::WaitFor { .. } => seconds(10),
        Action::RollBack { .. } => seconds(20),
        Action::PowerCycle { off } => *off + seconds(10),
        Action::Expect(_) | Action::OfferOlder { .. } => seconds(30),
        Action::ExpectStable { time, boots, .. } => {
            time.unwrap_or_default() + seconds(10) + seconds(15) * boots.unwrap_or(0)
        }
        Action::StillUpdatable { .. } => seconds(180),
    }
}

/// A select entry of the shape that has been checked.
fn entry(text: &EntryText) -> Entry {
    let named = |name: &str| {
        let all = [State::NEW, State::PENDING_VERIFY, State::VALID, State::INVALID, State::ABORTED];
        all.into_iter().find(|state| state.name() == Some(name)).unwrap_or(State::UNDEFINED)
    };
    match text.0.split_once('/') {
        Some((seq, state)) => Entry::Written { seq: seq.parse().unwrap_or(0), state: named(state) },
        None if text.0 == "*" => Entry::Any,
        None => Entry::Erased,
    }
}

fn entries(texts: &[EntryText]) -> Option<[Entry; 2]> {
    <&[EntryText; 2]>::try_from(texts).ok().map(|texts| texts.each_ref().map(entry))
}

/// The parts of a step that all kinds have.
#[derive(Default)]
struct Rest<'t> {
    limit: Option<Span>,
    cut: Option<&'t CutChain>,
    after_cut: Option<&'t AfterCutTable>,
}

/// The rest of a step that can be cut.
macro_rules! rest {
    ($step:expr) => {
        Rest { limit: $step.limit, cut: $step.cut.as_ref(), after_cut: $step.after_cut.as_ref() }
    };
}

/// Images by name.
type Images = BTreeMap<String, Image>;

impl Context<'_> {
    pub(super) fn steps(
        &mut self,
        file: &File,
        root: &Node,
        device: &Device,
        images: &Images,
    ) -> Vec<Step> {
        // Families that are named but unknown, and changes that cannot be made, leave no image; the
        // names are known all the same.
        let mut known = images.clone();
        for name in file.images.keys() {
            known.entry(name.clone()).or_insert_with(|| Image {
                source: crate::scenario::case::Source::File { path: "".into(), made_by: None },
                version: None,
                says: None,
                bytes: None,
                unfit: None,
                unconfirmed: None,
                resets_itself: false,
            });
        }
        let nodes = root.get("step").map_or(&[][..], Node::items);
        let mut steps = Vec::new();
        for (table, node) in file.step.iter().zip(nodes) {
            let Some((action, rest)) = self.action(table, node, device, &known) else {
                continue;
            };
            let after_cut = rest.after_cut.zip(node.get("after-cut"));
            steps.push(Step {
                line: self.sink.line(&node.span),
                limit: self.limit(rest.limit, &action, node),
                action,
                cuts: self.cuts(rest.cut, node),
                after_cut: after_cut.map(|(table, node)| self.after_cut(table, node, &known)),
            });
        }
        steps
    }

    fn limit(&mut self, limit: Option<Span>, action: &Action, node: &Node) -> Duration {
        let limit = limit.map_or_else(|| default_limit(action), |limit| limit.0);
        if limit.is_zero() {
            let message = "a time limit of zero is always exceeded";
            *self.sink.add(Code::BadValue, node.span_of("limit"), message, "zero") =
                Some("leave it out for the default".into());
        }
        limit
    }

    fn named(&mut self, key: &str, name: &str, node: &Node, images: &Images) -> String {
        self.image(name, images, node.span_of(key));
        name.into()
    }

    fn texts(&mut self, key: &str, texts: &[Text], node: &Node) -> Vec<Text> {
        for (text, span) in texts.iter().zip(node.spans(key)) {
            self.check_text(text, span);
        }
        texts.to_vec()
    }

    fn text(&mut self, key: &str, text: Option<&Text>, node: &Node) -> Option<Text> {
        self.texts(key, text.map_or(&[], std::slice::from_ref), node).pop()
    }

    /// The action of a step and the rest of it; `None` when a slot is wrong, which is reported.
    fn action<'t>(
        &mut self,
        table: &'t StepTable,
        node: &Node,
        device: &Device,
        images: &Images,
    ) -> Option<(Action, Rest<'t>)> {
        let only = |limit| Rest { limit, ..Rest::default() };
        Some(match table {
            StepTable::Install(step) => {
                let image = self.named("install", &step.install, node, images);
                let app = match &step.slot {
                    Some(name) => self.app(name, device, node.span_of("slot")),
                    None => match device.layout.apps().factory() {
                        Some(_) => Some(App::Factory),
                        None => Slot::new(0).map(App::Ota),
                    },
                };
                let otadata = step.otadata.as_deref().and_then(entries);
                if otadata.is_some_and(|entries| entries.contains(&Entry::Any)) {
                    let message = "`*` is not an entry that can be written";
                    *self.sink.add(Code::BadValue, node.span_of("otadata"), message, "any entry") =
                        Some("write `-` for an erased entry".into());
                }
                (Action::Install { image, app: app?, otadata }, only(step.limit))
            }
            StepTable::Boot(step) => {
                let names = step.boot.clone().into_vec();
                for (name, span) in names.iter().zip(node.spans("boot")) {
                    self.image(name, images, span);
                }
                let app = match &step.slot {
                    Some(name) => Some(self.app(name, device, node.span_of("slot"))?),
                    None => None,
                };
                let text = self.texts("text", &step.text, node);
                let never = self.texts("never", &step.never, node);
                (Action::Boot { images: names, app, text, never }, rest!(step))
            }
            StepTable::Update(step) => {
                let image = self.named("update", &step.update, node, images);
                let (refused, break_link) = (step.refused, step.break_link);
                (Action::Update { image, refused, break_link }, rest!(step))
            }
            StepTable::Select(step) => {
                let image = self.named("select", &step.select, node, images);
                (Action::Select { image }, rest!(step))
            }
            StepTable::Confirm(step) => {
                let image = self.named("confirm", &step.confirm, node, images);
                (Action::Confirm { image }, rest!(step))
            }
            StepTable::RollBack(step) => {
                let image = self.named("roll-back", &step.roll_back, node, images);
                (Action::RollBack { image }, rest!(step))
            }
            StepTable::Reset(step) => (Action::Reset { kind: step.reset }, only(step.limit)),
            StepTable::PowerCycle(step) => {
                (Action::PowerCycle { off: step.power_cycle.0 }, only(step.limit))
            }
            StepTable::Send(step) => {
                let until = self.text("until", step.until.as_ref(), node);
                (Action::Send { line: step.send.clone(), until }, rest!(step))
            }
            StepTable::Run(step) => {
                let folder = step.folder.as_deref();
                let program = self.host_command(&step.run, &step.env, folder, &["port"], node);
                let until = self.text("until", step.until.as_ref(), node);
                (Action::Run { program, until }, rest!(step))
            }
            StepTable::WaitFor(step) => {
                self.check_text(&step.wait_for, node.span_of("wait-for"));
                let never = self.texts("never", &step.never, node);
                (Action::WaitFor { text: step.wait_for.clone(), never }, only(step.limit))
            }
            StepTable::FlipBits(step) => {
                let (count, seed) = (step.count.unwrap_or(1), step.seed.unwrap_or(1));
                (Action::FlipBits { place: step.flip_bits, count, seed }, only(step.limit))
            }
            StepTable::Expect(step) => {
                let node = node.get("expect").unwrap_or(node);
                let expectation = self.expectation(&step.expect, node, device, images);
                (Action::Expect(expectation), only(step.limit))
            }
            StepTable::ExpectStable(step) => {
                let never = self.texts("never", &step.never, node);
                let time = step.expect_stable.r#for.map(|span| span.0);
                let boots = step.expect_stable.boots;
                (Action::ExpectStable { time, boots, never }, only(step.limit))
            }
            StepTable::OfferOlder(step) => {
                let image = self.named("offer-older", &step.offer_older, node, images);
                (Action::OfferOlder { image }, only(step.limit))
            }
            StepTable::StillUpdatable(step) => {
                let image = self.named("still-updatable", &step.still_updatable, node, images);
                (Action::StillUpdatable { image }, only(step.limit))
            }
        })
    }

    fn expectation(
        &mut self,
        table: &ExpectTable,
        node: &Node,
        device: &Device,
        images: &Images,
    ) -> Expectation {
        let selected = table.selected.as_ref();
        let selected = selected.and_then(|name| self.app(name, device, node.span_of("selected")));
        let mut holds = Vec::new();
        let places = node.get("holds").unwrap_or(node);
        for (slot, name) in &table.holds {
            self.image(name, images, places.span_of(slot));
            let app = self.app(slot, device, places.key_span(slot));
            holds.extend(app.map(|app| (app, name.clone())));
        }
        let mut untouched = Vec::new();
        for (name, span) in table.untouched.iter().zip(node.spans("untouched")) {
            untouched.extend(self.app(name, device, span));
        }
        let otadata = table.otadata.as_ref().and_then(|table| self.otadata(table, node));
        Expectation { selected, otadata, holds, untouched }
    }

    fn otadata(&mut self, table: &OtadataTable, node: &Node) -> Option<Otadata> {
        let otadata = match table {
            OtadataTable::Words(OtadataWord::Valid) => Otadata::Valid,
            OtadataTable::Words(OtadataWord::Erased) => Otadata::Erased,
            OtadataTable::Entries(texts) => Otadata::Entries(entries(texts)?),
        };
        if otadata == Otadata::Entries([Entry::Any; 2]) {
            let message = "any two select entries will do, so this cannot fail";
            *self.sink.add(Code::CannotFail, node.span_of("otadata"), message, "always true") =
                Some("say what at least one entry must be, or remove it".into());
        }
        Some(otadata)
    }

    fn after_cut(&mut self, table: &AfterCutTable, node: &Node, images: &Images) -> AfterCut {
        let boots = table.boots.clone().into_vec();
        for (name, span) in boots.iter().zip(node.spans("boots")) {
            self.image(name, images, span);
        }
        let never = self.texts("never", &table.never, node);
        let otadata = table.otadata.as_ref().and_then(|table| self.otadata(table, node));
        AfterCut { boots, never, otadata, then: table.then }
    }

    fn cuts(&mut self, chain: Option<&CutChain>, node: &Node) -> Vec<Cut> {
        let (Some(chain), Some(node)) = (chain, node.get("cut")) else {
            return Vec::new();
        };
        let nodes = if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() };
        let tables = chain.clone().into_vec();
        tables.iter().zip(nodes).filter_map(|(table, node)| self.cut(table, node)).collect()
    }

    fn cut(&mut self, table: &CutTable, node: &Node) -> Option<Cut> {
        let place = match (table.operation, &table.text) {
            (Some(operation), None) => Place::Operation {
                which: match operation {
                    Operation::Number(n) => Which::Number(n),
                    Operation::Word(OperationWord::First) => Which::Number(1),
                    Operation::Word(OperationWord::Last) => Which::Last,
                    Operation::Word(OperationWord::Every) => Which::Every,
                },
                into: table.into.unwrap_or(INTO),
            },
            (None, Some(text)) => {
                self.check_text(text, node.span_of("text"));
                let plus = table.plus.map_or(Duration::ZERO, |plus| plus.0);
                Place::Text { text: text.clone(), plus }
            }
            (both, _) => {
                let what = if both.is_some() { "two places" } else { "no place" };
                let message = format!("the cut has {what}");
                *self.sink.add(Code::CutPlace, node.span.clone(), message, what) =
                    Some("give it either `operation` or `text`".into());
                return None;
            }
        };
        let foreign = match place {
            Place::Operation { .. } => ("plus", "text"),
            Place::Text { .. } => ("into", "operation"),
        };
        if let Some((key, _)) = node.entry(foreign.0) {
            let message = format!("`{}` counts only together with `{}`", foreign.0, foreign.1);
            *self.sink.add(Code::CutPlace, key.span.clone(), message, "counts for nothing") =
                Some(format!("remove it, or cut by `{}`", foreign.1));
        }
        if let Some((key, _)) = node.entry("off")
            && !table.kind.stops_flash()
        {
            let message = "a reset takes no power away";
            *self.sink.add(Code::Conflict, key.span.clone(), message, "has no effect") =
                Some("remove `off`, or cut the `rail`".into());
        }
        let off = match table.kind.stops_flash() {
            true => table.off.map_or(OFF, |off| off.0),
            false => Duration::ZERO,
        };
        Some(Cut { kind: table.kind, during: table.during, place, off })
    }
}
