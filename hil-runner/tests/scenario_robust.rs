//! No text makes the reader or the formatter panic, and formatting keeps the meaning.

#![allow(missing_docs)]

mod common;

use common::{check, library};
use hil_runner::scenario::format;
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

static FILES: LazyLock<Vec<String>> =
    LazyLock::new(|| library().iter().map(|path| fs::read_to_string(path).unwrap()).collect());

/// Pieces that have a meaning somewhere.
const PIECES: [&str; 24] = [
    "\"$x\"",
    "\"v1\"",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "\n",
    "[[step]]\n",
    "boot = \"v2\"\n",
    "0",
    "-1",
    "1e400",
    "99999999999999999999",
    "nan",
    "2026-01-01",
    "\"999999999 min\"",
    "cut = 1\n",
    "[parameters]\n",
    "ä",
    "#",
    ",",
    "{ from = 0, to = 1e18, step = 1e-9 }",
];

/// A file of the library with some changes: a line twice or not at all, a piece put in or in place of
/// something.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8);
    (any::<prop::sample::Index>(), prop::collection::vec(change, 1..6)).prop_map(
        |(file, changes)| {
            let mut lines: Vec<String> = file.get(&FILES).lines().map(Into::into).collect();
            for (line, what, how) in changes {
                if lines.is_empty() {
                    break;
                }
                let at = line.index(lines.len());
                let piece = *what.get(&PIECES);
                match how {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, lines[what.index(lines.len())].clone()),
                    2 => {
                        let ends: Vec<_> = lines[at].char_indices().map(|(n, _)| n).collect();
                        if !ends.is_empty() {
                            let end = ends[what.index(ends.len())];
                            lines[at].insert_str(end, piece);
                        }
                    }
                    _ => {
                        if let Some((key, _)) = lines[at].split_once('=') {
                            lines[at] = format!("{key}= {piece}");
                        }
                    }
                }
            }
            lines.join("\n")
        },
    )
}

/// What a file says, without places; as a text, in which a number that is none equals itself.
fn meaning(text: &str) -> Option<String> {
    toml::from_str::<toml::Table>(text).ok().map(|table| format!("{table:?}"))
}

/// The comments of a file, in order, without what spacing may change: a `#` may also stand in a text,
/// with more of a list behind it.
fn comments(text: &str) -> Vec<String> {
    let comments = text.lines().filter_map(|line| Some(line.split_once('#')?.1));
    let bare = |it: &str| it.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    comments.map(bare).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in mutated()) {
        for diagnostic in check(&text).err().into_iter().flatten() {
            let shown = diagnostic.render(false);
            prop_assert!(shown.contains(diagnostic.code.name()));
        }
    }

    #[test]
    fn formatting_keeps_the_meaning_and_is_done_once(text in mutated()) {
        match format(&text) {
            Some(formatted) => {
                prop_assert_eq!(meaning(&formatted), meaning(&text));
                prop_assert_eq!(format(&formatted), Some(formatted.clone()));
                prop_assert_eq!(comments(&formatted), comments(&text));
            }
            None => prop_assert!(meaning(&text).is_none()),
        }
    }

    #[test]
    fn any_text_at_all(text in "\\PC{0,200}") {
        let _ = check(&text);
        let _ = format(&text);
    }
}

#[test]
fn spacing_is_put_right_and_comments_stay() {
    let text = "# top\n\n\n[ scenario ]   # head\n   name=\"a\"#x\n\n\n  # about why\n why  =  'b'\n\
                tags=[ \"x\",\"y\" ,]\n[[step]]\ncut=[{kind=\"rail\"},\n# second\n{kind = \"rail\",off=\"1 s\"}]\n# end";
    insta::assert_snapshot!(format(text).unwrap());
}
