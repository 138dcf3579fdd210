//! Checks a file against the schema of its types and reports everything that does not fit, where a
//! deserialiser would stop at the first.

use super::code::Code;
use super::diagnostic::{Sink, one_of, suggest};
use super::node::{Node, Value};
use super::schema::SHAPE;
use regex::Regex;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::HashMap;

/// Checks a whole file, or with `section` only that section of it.
pub(super) fn check(file: &Node, section: Option<&str>, sink: &mut Sink) {
    match section {
        None => table(file, &SHAPE, "the file", sink),
        Some(name) => {
            if let Some(node) = file.get(name) {
                value(node, &SHAPE["properties"][name], name, sink);
            }
        }
    }
}

/// Follows references.
fn resolve(mut schema: &Json) -> &Json {
    loop {
        let target = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref"));
        match target.and_then(Json::as_str).and_then(|target| SHAPE.pointer(&target[1..])) {
            Some(target) => schema = target,
            None => return schema,
        }
    }
}

/// The alternatives of a schema; of alternatives among them, theirs.
fn alternatives(schema: &Json) -> Vec<&Json> {
    let schema = resolve(schema);
    match schema.get("anyOf").and_then(Json::as_array) {
        Some(list) => list.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}

/// The words that a text may be, if it must be one of some.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Json::as_array) {
        return Some(list.iter().filter_map(Json::as_str).collect());
    }
    let of = schema.get("oneOf").and_then(Json::as_array)?;
    let lists = of.iter().map(|it| match it.get("const") {
        Some(one) => one.as_str().map(|one| vec![one]),
        None => words(it),
    });
    Some(lists.collect::<Option<Vec<_>>>()?.concat())
}

/// The type that a schema asks for.
fn type_of(schema: &Json) -> &str {
    match schema.get("type").and_then(Json::as_str) {
        Some(ty) => ty,
        None if words(schema).is_some() => "string",
        None => "",
    }
}

/// Whether a value has the type that a schema asks for.
fn fits(node: &Node, schema: &Json) -> bool {
    match type_of(schema) {
        "string" => matches!(node.value, Value::Text(_)),
        "integer" => matches!(node.value, Value::Integer(_)),
        "number" => matches!(node.value, Value::Integer(_) | Value::Float(_)),
        "boolean" => matches!(node.value, Value::Truth(_)),
        "array" => matches!(node.value, Value::List(_)),
        "object" => matches!(node.value, Value::Table(_)),
        _ => true,
    }
}

/// What a schema asks for, in words.
fn expected(schema: &Json) -> String {
    if let Some(title) = schema.get("title").and_then(Json::as_str) {
        return with_article(title);
    }
    match type_of(schema) {
        "string" => "a text in quotes".into(),
        "integer" => "a whole number".into(),
        "number" => "a number".into(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        _ => "a table".into(),
    }
}

fn with_article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
}

/// The key that tells an alternative from the others: the verb of a step.
fn tag(schema: &Json) -> Option<&str> {
    schema.pointer("/required/0").and_then(Json::as_str)
}

/// Checks a value; `what` is how messages call it.
fn value(node: &Node, schema: &Json, what: &str, sink: &mut Sink) {
    if matches!(node.value, Value::Unknown) {
        return;
    }
    let all = alternatives(schema);
    let fitting: Vec<_> = all.iter().copied().filter(|it| fits(node, it)).collect();
    match (&fitting[..], &node.value) {
        ([], _) => {
            let mut kinds: Vec<_> = all.iter().map(|it| expected(it)).collect();
            kinds.dedup();
            let message = format!("{what} is {}, not {}", kinds.join(" or "), node.kind());
            *sink.add(Code::WrongType, node.span.clone(), message, node.kind()) =
                example(all[0]).map(|example| format!("for example {example}"));
        }
        ([one], _) => one_value(node, one, what, sink),
        (several, Value::Table(_)) => {
            if let Some(chosen) = choose(node, several, what, sink) {
                let name = tag(chosen).map_or(what.into(), |tag| format!("`{tag}`"));
                table(node, chosen, &name, sink);
            }
        }
        (several, Value::Text(text)) => {
            let ok = |it: &&&Json| mismatch(text, it).is_none();
            if several.iter().find(ok).is_none() {
                one_value(node, several[0], what, sink);
            }
        }
        (several, _) => one_value(node, several[0], what, sink),
    }
}

/// Chooses the alternative whose tag the table has.
fn choose<'a>(node: &Node, several: &[&'a Json], what: &str, sink: &mut Sink) -> Option<&'a Json> {
    let tagged = several.iter().filter_map(|it| Some((tag(it)?, *it)));
    let present: Vec<_> = tagged.filter_map(|(tag, it)| Some((node.entry(tag)?.0, it))).collect();
    let tags = several.iter().filter_map(|it| tag(it));
    match &present[..] {
        [(_, one)] => Some(one),
        [] => {
            let meant = node.entries().iter().find_map(|(key, _)| {
                let name = super::diagnostic::did_you_mean(&key.name, tags.clone())?;
                Some((key, name))
            });
            match meant {
                Some((key, name)) => {
                    let message = format!("{what} has no key `{}`", key.name);
                    *sink.add(Code::UnknownKey, key.span.clone(), message, "not known") =
                        Some(format!("did you mean `{name}`?"));
                }
                None => {
                    let message = format!("{what} does not say what it is");
                    let span = node.entries().first().map_or(&node.span, |(key, _)| &key.span);
                    *sink.add(Code::NoVerb, span.clone(), message, "nothing says what") =
                        Some(format!("expected the key {}", one_of(tags)));
                }
            }
            None
        }
        [(first, _), (second, _), ..] => {
            let message = format!("{what} is both `{}` and `{}`", first.name, second.name);
            *sink.add(Code::TwoVerbs, second.span.clone(), message, "a second one") =
                Some("make two of it, each with one of these keys".into());
            None
        }
    }
}

/// Checks a table; `what` is how messages call it. References in the schema are to the one of scenario
/// files: another schema has none.
pub(crate) fn table(node: &Node, schema: &Json, what: &str, sink: &mut Sink) {
    let schema = resolve(schema);
    let properties = schema.get("properties").and_then(Json::as_object);
    let rest = schema.get("additionalProperties");
    for (key, entry) in node.entries() {
        if let Some(schema) = properties.and_then(|it| it.get(&key.name)) {
            value(entry, schema, &format!("`{}`", key.name), sink);
        } else if let Some(schema @ Json::Object(_)) = rest {
            value(entry, schema, &format!("`{}`", key.name), sink);
        } else {
            let names = properties.into_iter().flat_map(|it| it.keys().map(String::as_str));
            if key.name == "after-cut" && node.get("cut").is_some() {
                // It is wrong for the same reason as the cut.
            } else if matches!(key.name.as_str(), "cut" | "after-cut") {
                let message = format!("{what} writes no flash, so it cannot be cut");
                *sink.add(Code::NoFlashOperations, key.span.clone(), message, "never fires") =
                    Some("move it to the step whose flash operations it shall interrupt".into());
            } else {
                let message = format!("{what} has no key `{}`", key.name);
                *sink.add(Code::UnknownKey, key.span.clone(), message, "not known") =
                    Some(suggest(&key.name, names));
            }
        }
    }
    for name in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if node.get(name).is_none() {
            let message = format!("{what} lacks `{name}`");
            let about = properties.and_then(|it| it.get(name)).and_then(description);
            *sink.add(
                Code::MissingKey,
                node.span.clone(),
                message,
                format!("`{name}` is missing"),
            ) = about.map(|about| format!("`{name}`: {about}"));
        }
    }
    let least = schema.get("minProperties").and_then(Json::as_u64).unwrap_or(0);
    if (node.entries().len() as u64) < least {
        empty(node, what, sink);
    }
}

fn description(schema: &Json) -> Option<String> {
    let text = schema.get("description").or_else(|| resolve(schema).get("description"))?;
    Some(text.as_str()?.replace('\n', " "))
}

fn empty(node: &Node, what: &str, sink: &mut Sink) {
    let message = format!("{what} is empty, so it says nothing");
    *sink.add(Code::CannotFail, node.span.clone(), message, "empty") =
        Some("say what must hold, or remove it".into());
}

fn example(schema: &Json) -> Option<String> {
    let examples = schema.get("examples").and_then(Json::as_array)?;
    let examples: Vec<_> = examples.iter().map(Json::to_string).collect();
    Some(examples.join(", "))
}

/// Checks a value that has the right type.
fn one_value(node: &Node, schema: &Json, what: &str, sink: &mut Sink) {
    match &node.value {
        Value::Table(_) => table(node, schema, what, sink),
        Value::List(items) => {
            let bound = |key| schema.get(key).and_then(Json::as_u64).map(|n| n as usize);
            let (least, most) = (bound("minItems").unwrap_or(0), bound("maxItems"));
            if items.is_empty() && least > 0 {
                empty(node, what, sink);
            } else if items.len() < least || most.is_some_and(|most| items.len() > most) {
                let message = format!("{what} has {} items, expected {least}", items.len());
                sink.add(Code::BadValue, node.span.clone(), message, "wrong number of items");
            }
            let item_schema = schema.get("items").unwrap_or(&Json::Null);
            let what =
                if what == "`step`" { "a step".into() } else { format!("an item of {what}") };
            for item in items {
                value(item, item_schema, &what, sink);
            }
        }
        Value::Text(text) => {
            if let Some((code, message, help)) = mismatch(text, schema) {
                let message = format!("{what} {message}");
                *sink.add(code, node.span.clone(), message, "") = help;
            }
        }
        Value::Integer(integer) => bounds(node, *integer as f64, schema, what, sink),
        Value::Float(float) => bounds(node, *float, schema, what, sink),
        Value::Truth(_) | Value::Other(_) | Value::Unknown => {}
    }
}

fn bounds(node: &Node, number: f64, schema: &Json, what: &str, sink: &mut Sink) {
    let bound = |key| schema.get(key).and_then(Json::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let message = format!("{what} is {number}, which is out of range");
        let range =
            [least.map(|it| format!("at least {it}")), most.map(|it| format!("at most {it}"))];
        let range = range.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        *sink.add(Code::BadValue, node.span.clone(), message, "out of range") =
            Some(format!("expected {range}"));
    }
}

/// What is wrong with a text, and what would be right.
fn mismatch(text: &str, schema: &Json) -> Option<(Code, String, Option<String>)> {
    if let Some(words) = words(schema) {
        let wrong = !words.contains(&text);
        return wrong
            .then(|| (Code::BadValue, format!("cannot be `{text}`"), Some(suggest(text, words))));
    }
    if text.is_empty() && schema.get("minLength").is_some() {
        return Some((Code::CannotFail, "is empty".into(), Some("write a text".into())));
    }
    if let Some(most) = schema.get("maxLength").and_then(Json::as_u64)
        && text.len() as u64 > most
    {
        let message = format!("has {} bytes, expected at most {most}", text.len());
        return Some((Code::BadValue, message, None));
    }
    let pattern = schema.get("pattern").and_then(Json::as_str)?;
    if matches(pattern, text) {
        return None;
    }
    let help = match schema.get("title") {
        Some(_) => example(schema).map(|example| format!("for example {example}")),
        None => description(schema),
    };
    let message = match schema.get("title") {
        Some(title) => format!("is no {}: `{text}`", title.as_str().unwrap_or_default()),
        None => format!("cannot be `{text}`"),
    };
    let pattern = format!("expected what matches {pattern}");
    Some((Code::BadValue, message, help.or(Some(pattern))))
}

/// Whether a text matches a pattern of the schema.
fn matches(pattern: &str, text: &str) -> bool {
    thread_local! {
        static PATTERNS: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
    }
    PATTERNS.with_borrow_mut(|patterns| {
        let regex = patterns.entry(pattern.into()).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(text))
    })
}
