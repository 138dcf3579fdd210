//! Parameters: the values of `[parameters]`, their combinations, and `"$name"` replaced by them.

use super::code::Code;
use super::diagnostic::{Sink, suggest};
use super::file::Span;
use super::node::{Node, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// Most cases that one file may have.
pub(super) const MAX_CASES: usize = 10_000;

/// A parameter and its values, each with how it is written in the name of a case.
#[derive(Debug)]
pub(super) struct Parameter {
    name: String,
    values: Vec<(String, Node)>,
    /// Whether it makes cases: it is a list or a range.
    varies: bool,
}

/// A choice of one value for each parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice<'a>(Vec<(&'a Parameter, usize)>);

/// Reads the parameters of a file whose shape has been checked.
pub(super) fn read(file: &Node, sink: &mut Sink) -> Vec<Parameter> {
    let Some(section) = file.get("parameters") else {
        return Vec::new();
    };
    let mut parameters = Vec::new();
    for (key, node) in section.entries() {
        let values = match &node.value {
            Value::List(items) => items.clone(),
            Value::Table(_) => range(node, sink).unwrap_or_default(),
            _ => vec![node.clone()],
        };
        if values.is_empty() && !matches!(node.value, Value::Table(_)) {
            no_values(&key.name, node, sink);
        }
        let mut seen = BTreeSet::new();
        let values: Vec<_> = values.into_iter().map(|node| (shown(&node), node)).collect();
        for (shown, node) in &values {
            if !seen.insert(shown) {
                let message = format!("parameter `{}` has the value `{shown}` twice", key.name);
                *sink.add(Code::BadValue, node.span.clone(), message, "again") =
                    Some("remove one of them: each value is a case of its own".into());
            }
        }
        let varies = matches!(node.value, Value::List(_) | Value::Table(_));
        parameters.push(Parameter { name: key.name.clone(), values, varies });
    }
    parameters
}

fn no_values(name: &str, node: &Node, sink: &mut Sink) {
    let message = format!("parameter `{name}` has no values, so nothing would be tested");
    *sink.add(Code::NoValues, node.span.clone(), message, "no value") =
        Some("give it at least one value".into());
}

/// How a value is written in the name of a case.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => text.clone(),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Truth(truth) => truth.to_string(),
        Value::Other(_) | Value::Unknown | Value::List(_) | Value::Table(_) => String::new(),
    }
}

/// The values of a range.
fn range(node: &Node, sink: &mut Sink) -> Option<Vec<Node>> {
    let end = |name| node.get(name).map(|end| &end.value);
    let (from, to, step) = (end("from")?, end("to")?, end("step")?);
    let place = |value| Node { span: node.span.clone(), value };
    let values = match (from, to, step) {
        (Value::Integer(from), Value::Integer(to), Value::Integer(step)) => {
            points(i128::from(*from), i128::from(*to), i128::from(*step))
                .map(|points| points.map(|at| place(Value::Integer(at as i64))).collect::<Vec<_>>())
        }
        (Value::Text(from), Value::Text(to), Value::Text(step)) => {
            let micros = |text: &str| Some(Span::parse(text)?.0.as_micros() as i128);
            points(micros(from)?, micros(to)?, micros(step)?).map(|points| {
                let span = |at: i128| Span(Duration::from_micros(at as u64)).to_string();
                points.map(|at| place(Value::Text(span(at)))).collect()
            })
        }
        _ => {
            let number = |value: &Value| match value {
                Value::Integer(integer) => Some(*integer as f64),
                Value::Float(float) => Some(*float),
                _ => None,
            };
            let (Some(from), Some(to), Some(step)) = (number(from), number(to), number(step))
            else {
                let message = "a range mixes numbers and time spans";
                *sink.add(Code::WrongType, node.span.clone(), message, "this range") =
                    Some("write all three as numbers, or all three as time spans".into());
                return None;
            };
            let count = ((to - from) / step + 1e-9).floor();
            (step > 0.0).then(|| {
                let count = if count < 0.0 { 0 } else { (count as usize).min(MAX_CASES) + 1 };
                // Rounded, so that 0.1 + 0.2 is called 0.3.
                let at = |n: usize| ((from + n as f64 * step) * 1e9).round() / 1e9;
                (0..count).map(|n| place(Value::Float(at(n)))).collect()
            })
        }
    };
    match values {
        Some(values) if !values.is_empty() => Some(values),
        Some(_) => {
            let message = "a range has no values: `from` is above `to`";
            *sink.add(Code::NoValues, node.span.clone(), message, "no value") =
                Some("exchange `from` and `to`".into());
            None
        }
        None => {
            let message = "the step of a range must be above zero";
            *sink.add(Code::NoValues, node.span_of("step"), message, "not above zero") =
                Some("write the distance between two values".into());
            None
        }
    }
}

/// The points of a range of whole numbers; `None` when it would not advance. Ends after more than any
/// file may have cases.
fn points(from: i128, to: i128, step: i128) -> Option<impl Iterator<Item = i128>> {
    let count = if from > to { 0 } else { (to - from) / step.max(1) + 1 };
    let count = count.min(MAX_CASES as i128 + 1);
    (step > 0).then(|| (0..count).map(move |n| from + n * step))
}

/// All combinations of values, those of the last parameter varying first; one, empty, without
/// parameters.
pub(super) fn combinations<'a>(
    parameters: &'a [Parameter],
    file: &Node,
    sink: &mut Sink,
) -> Vec<Choice<'a>> {
    let counts = parameters.iter().map(|it| it.values.len());
    let count = counts.fold(1_usize, usize::saturating_mul);
    if count > MAX_CASES {
        let span = file.key_span("parameters");
        let message = format!("the parameters make more than {MAX_CASES} cases");
        *sink.add(Code::TooManyCases, span, message, "these parameters") =
            Some("take fewer values, or divide the scenario".into());
        return Vec::new();
    }
    let mut choices = vec![Choice::default()];
    for parameter in parameters {
        choices = choices
            .into_iter()
            .flat_map(|choice: Choice<'a>| {
                (0..parameter.values.len()).map(move |n| {
                    let mut choice = choice.clone();
                    choice.0.push((parameter, n));
                    choice
                })
            })
            .collect();
    }
    choices
}

/// Reports parameters that nothing uses.
pub(super) fn unused(file: &Node, used: &BTreeSet<String>, sink: &mut Sink) {
    for (key, _) in file.get("parameters").map_or(&[][..], Node::entries) {
        if !used.contains(&key.name) {
            let message = format!("parameter `{}` is not used", key.name);
            *sink.add(Code::UnusedParameter, key.span.clone(), message, "never used") =
                Some(format!("write \"${}\" where its value belongs, or remove it", key.name));
        }
    }
}

impl<'a> Choice<'a> {
    /// The names and values that tell this choice from the others.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        let varying = self.0.iter().filter(|(parameter, _)| parameter.varies);
        varying.map(|(it, n)| (it.name.clone(), it.values[*n].0.clone())).collect()
    }

    fn value(&self, name: &str) -> Option<&'a Node> {
        let (parameter, n) = self.0.iter().find(|(parameter, _)| parameter.name == name)?;
        Some(&parameter.values[*n].1)
    }

    /// The file with each `"$name"` replaced by the parameter's value, which keeps its own place so
    /// that an error in it is shown there. Names that were met go to `used`.
    pub(super) fn apply(&self, file: &Node, used: &mut BTreeSet<String>, sink: &mut Sink) -> Node {
        let mut replaced = file.clone();
        if let Value::Table(entries) = &mut replaced.value {
            for (key, node) in entries {
                if !matches!(key.name.as_str(), "scenario" | "parameters") {
                    self.replace(node, used, sink);
                }
            }
        }
        replaced
    }

    fn replace(&self, node: &mut Node, used: &mut BTreeSet<String>, sink: &mut Sink) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.replace(item, used, sink)),
            Value::Table(entries) => {
                entries.iter_mut().for_each(|(_, node)| self.replace(node, used, sink));
            }
            Value::Text(text) => {
                let Some(name) = text.strip_prefix('$') else {
                    return;
                };
                if name.starts_with('$') {
                    *text = name.into();
                } else if let Some(value) = self.value(name) {
                    used.insert(name.into());
                    *node = value.clone();
                } else {
                    let names: Vec<_> = self.0.iter().map(|(it, _)| it.name.as_str()).collect();
                    let help = match names.is_empty() {
                        true => {
                            "define it in [parameters]; write \"$$\" for a text that starts with $"
                                .into()
                        }
                        false => suggest(name, names),
                    };
                    let message = format!("there is no parameter `{name}`");
                    *sink.add(Code::UnknownParameter, node.span.clone(), message, "not defined") =
                        Some(help);
                    node.value = Value::Unknown;
                }
            }
            _ => {}
        }
    }
}
