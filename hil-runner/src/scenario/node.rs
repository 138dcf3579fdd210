//! The contents of a TOML file with the place of every key and value.

use serde_json::Value as Json;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Bytes of the file.
    pub(crate) span: Range<usize>,
    pub(crate) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Truth(bool),
    /// A date, or a number that is too large: nothing that a scenario has a use for.
    Other(&'static str),
    /// In place of a parameter that is not known; nothing more is said about it.
    Unknown,
    List(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
}

impl Node {
    pub(crate) fn new(span: Range<usize>, value: &DeValue<'_>) -> Self {
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map_or(Value::Other("number above 2^63"), Value::Integer),
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Value::Float(float),
                _ => Value::Other("number without end"),
            },
            DeValue::Datetime(_) => Value::Other("date"),
            DeValue::Array(items) => Value::List(
                items.iter().map(|item| Self::new(item.span(), item.get_ref())).collect(),
            ),
            DeValue::Table(table) => return Self::table(span, table),
        };
        Self { span, value }
    }

    /// A table, with its keys in the order of the file.
    pub(crate) fn table(span: Range<usize>, table: &DeTable<'_>) -> Self {
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let value = Self::new(value.span(), value.get_ref());
                (Key { name, span: key.span() }, value)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        Self { span, value: Value::Table(entries) }
    }

    /// The entries, if this is a table.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if this is a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a table.
    pub(crate) fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        let found = self.entries().iter().find(|(key, _)| key.name == name);
        found.map(|(key, node)| (key, node))
    }

    /// The value of a key of a table.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, node)| node)
    }

    /// Where the value of a key stands; where the table stands if it has no such key.
    pub(crate) fn span_of(&self, name: &str) -> Range<usize> {
        self.get(name).unwrap_or(self).span.clone()
    }

    /// Where a key stands; where the table stands if it has no such key.
    pub(crate) fn key_span(&self, name: &str) -> Range<usize> {
        self.entry(name).map_or(&self.span, |(key, _)| &key.span).clone()
    }

    /// Where the texts of a value stand that is one or a list of them, in order.
    pub(crate) fn spans(&self, name: &str) -> Vec<Range<usize>> {
        match self.get(name) {
            Some(Self { value: Value::List(items), .. }) => {
                items.iter().map(|item| item.span.clone()).collect()
            }
            _ => vec![self.span_of(name)],
        }
    }

    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "whole number",
            Value::Float(_) => "number",
            Value::Truth(_) => "true or false",
            Value::Other(kind) => kind,
            Value::Unknown => "parameter",
            Value::List(_) => "list",
            Value::Table(_) => "table",
        }
    }

    /// The value alone.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Float(float) => (*float).into(),
            Value::Truth(truth) => (*truth).into(),
            Value::Other(_) | Value::Unknown => Json::Null,
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => {
                entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect()
            }
        }
    }
}
