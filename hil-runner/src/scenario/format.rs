//! One way to write a scenario file: spacing, indentation and blank lines. Comments, order and the
//! notation of values stay as they are.

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, RawString, TableLike, Value};

/// The file in its one way of spacing; `None` if it is not TOML.
pub fn format(source: &str) -> Option<String> {
    let mut document: DocumentMut = source.parse().ok()?;
    table(document.as_table_mut());
    let trailing = comments(document.trailing().as_str().unwrap_or_default());
    document.set_trailing(format!("\n{trailing}"));
    Some(format!("{}\n", document.to_string().trim()))
}

/// The comment lines of a stretch between two items, each with its line's end; of blank lines between
/// and behind them one is kept.
fn comments(stretch: &str) -> String {
    // What follows the last line's end indents the next item.
    let last = stretch.rfind('\n').map_or(0, |newline| newline + 1);
    let end = if stretch[last..].contains('#') { stretch.len() } else { last };
    let mut lines: Vec<&str> = stretch[..end].lines().map(str::trim).collect();
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match text.trim_start_matches('\n') {
        text if text.contains('#') => text.into(),
        _ => String::new(),
    }
}

/// A comment behind a value, on the same line.
fn behind(stretch: &str) -> String {
    match stretch.trim() {
        "" => String::new(),
        comment => format!(" {comment}"),
    }
}

fn prefix(decor: &Decor) -> &str {
    decor.prefix().and_then(RawString::as_str).unwrap_or_default()
}

fn suffix(decor: &Decor) -> &str {
    decor.suffix().and_then(RawString::as_str).unwrap_or_default()
}

/// A table with its own header, and those below it.
fn table(table: &mut toml_edit::Table) {
    if !table.is_implicit() {
        let decor = table.decor_mut();
        *decor = Decor::new(format!("\n{}", comments(prefix(decor))), behind(suffix(decor)));
    }
    let mut first = true;
    for (mut key, item) in TableLike::iter_mut(table) {
        match item {
            Item::Value(value) => {
                key_value(&mut key, value, first);
                first = false;
            }
            Item::Table(below) => {
                key.leaf_decor_mut().clear();
                key.dotted_decor_mut().clear();
                self::table(below);
            }
            Item::ArrayOfTables(list) => {
                key.leaf_decor_mut().clear();
                list.iter_mut().for_each(self::table);
            }
            Item::None => {}
        }
    }
}

/// A line `key = value`. Above it stay its comments, and one blank line where there was one.
fn key_value(key: &mut toml_edit::KeyMut<'_>, value: &mut Value, first: bool) {
    let stretch = prefix(key.leaf_decor());
    let blank = !first && stretch.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']);
    let before = format!("{}{}", if blank { "\n" } else { "" }, comments(stretch));
    *key.leaf_decor_mut() = Decor::new(before, " ");
    let after = behind(suffix(value.decor()));
    spaced(value);
    *value.decor_mut() = Decor::new(" ", after);
}

/// The inside of a value.
fn spaced(value: &mut Value) {
    match value {
        Value::Array(array) => list(array),
        Value::InlineTable(table) => inline(table),
        _ => {}
    }
}

fn inline(table: &mut InlineTable) {
    let commented = table.iter().any(|(_, value)| {
        [prefix(value.decor()), suffix(value.decor())].iter().any(|it| it.contains('#'))
    });
    // A comment ends only with its line: leave such a table as its author wrote it.
    let mut bare = table.clone();
    bare.decor_mut().clear();
    if commented || bare.to_string().contains('\n') {
        return;
    }
    table.set_trailing_comma(false);
    table.set_trailing("");
    let count = table.len();
    for (n, (mut key, value)) in table.iter_mut().enumerate() {
        spaced(value);
        *key.leaf_decor_mut() = Decor::new(" ", " ");
        *value.decor_mut() = Decor::new(" ", if n + 1 == count { " " } else { "" });
    }
}

fn list(array: &mut Array) {
    let mut bare = array.clone();
    bare.decor_mut().clear();
    if bare.to_string().contains('\n') {
        lines(array);
        return;
    }
    array.set_trailing_comma(false);
    array.set_trailing("");
    for (n, value) in array.iter_mut().enumerate() {
        spaced(value);
        *value.decor_mut() = Decor::new(if n == 0 { "" } else { " " }, "");
    }
}

/// A list with one item on each line, indented by four spaces.
fn lines(array: &mut Array) {
    let indented = |stretch: &str| -> String {
        let comments = stretch.lines().map(str::trim).filter(|line| !line.is_empty());
        comments.map(|line| format!("\n    {line}")).collect()
    };
    let same_line = |stretch: &str| stretch.lines().next().is_some_and(|line| line.contains('#'));
    let keep = |value: &Value| {
        suffix(value.decor()).contains('#')
            || same_line(prefix(value.decor()))
            || value.clone().decorated("", "").to_string().contains('\n')
    };
    // A comment behind an item belongs to it and not to the next one: leave such a list as it is.
    if array.iter().any(keep) || same_line(array.trailing().as_str().unwrap_or_default()) {
        return;
    }
    for value in array.iter_mut() {
        let before = indented(prefix(value.decor()));
        spaced(value);
        *value.decor_mut() = Decor::new(format!("{before}\n    "), "");
    }
    let end = indented(array.trailing().as_str().unwrap_or_default());
    array.set_trailing_comma(true);
    array.set_trailing(format!("{end}\n"));
}
