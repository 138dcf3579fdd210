//! The JSON Schema of scenario files.

use super::file::File;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};
use std::sync::LazyLock;

/// What a scenario file must look like once its parameters are replaced.
pub(super) static SHAPE: LazyLock<Json> = LazyLock::new(|| {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    let mut shape = std::mem::take(schema.ensure_object()).into();
    without_null(&mut shape);
    shape
});

/// The JSON Schema for editors: scenario files as they are written, `"$name"` in place of values
/// included.
pub fn schema() -> String {
    let mut schema = SHAPE.clone();
    let Some(root) = schema.as_object_mut() else {
        return String::new();
    };
    root.insert("additionalProperties".into(), false.into());
    for part in ["definitions", "properties"] {
        let members = root.get_mut(part).and_then(Json::as_object_mut);
        for (name, member) in members.into_iter().flatten() {
            // Nothing is replaced in the sections of these.
            if !matches!(name.as_str(), "Head" | "Parameter" | "RangeTable" | "RangeEnd" | "Scalar")
            {
                with_parameters(member);
            }
        }
    }
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// TOML has no null: a key is there or not.
pub(crate) fn without_null(schema: &mut Json) {
    let object = match schema {
        Json::Object(object) => object,
        Json::Array(items) => return items.iter_mut().for_each(without_null),
        _ => return,
    };
    if let Some(Json::Array(types)) = object.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    // A default says no more than the comment does, and null is none.
    object.remove("default");
    if let Some(Json::Array(alternatives)) = object.get_mut("anyOf") {
        alternatives.retain(|it| it.get("type") != Some(&"null".into()));
        if let [only] = &mut alternatives[..] {
            let only = only.take();
            object.remove("anyOf");
            // Next to `$ref`, other keys count for nothing in draft 7.
            match only.get("$ref").is_some() {
                true => drop(object.insert("allOf".into(), json!([only]))),
                false => object.extend(only.as_object().cloned().unwrap_or_default()),
            }
        }
    }
    object.values_mut().for_each(without_null);
}

/// Allows `"$name"` in place of each value that is not any text already.
fn with_parameters(schema: &mut Json) {
    let Json::Object(object) = schema else {
        return;
    };
    for key in ["items", "additionalProperties"] {
        if let Some(inner @ Json::Object(_)) = object.get_mut(key) {
            with_parameters(inner);
        }
    }
    for key in ["anyOf", "allOf"] {
        let members = object.get_mut(key).and_then(Json::as_array_mut);
        members.into_iter().flatten().for_each(with_parameters);
    }
    if let Some(Json::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(with_parameters);
    }
    let number = |it: &Json| it == "integer" || it == "number" || it == "boolean";
    // `oneOf` stands for a list of words, each with its description.
    let restricted = ["enum", "pattern", "oneOf"].iter().any(|key| object.contains_key(*key));
    if restricted || object.get("type").is_some_and(number) {
        let description = object.remove("description");
        let mut either = Map::from_iter([(
            "anyOf".to_string(),
            json!([object.clone(), { "type": "string", "pattern": r"^\$[^$]" }]),
        )]);
        either.extend(description.map(|it| ("description".to_string(), it)));
        *object = either;
    }
}
