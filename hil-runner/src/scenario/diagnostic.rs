//! What is wrong with a scenario file, and where.

use super::code::Code;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One thing that is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of thing.
    pub code: Code,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would be right, if that can be said.
    pub help: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// Line of the first character that is underlined, from 1.
    pub line: usize,
    /// Column of that character, from 1, in characters.
    pub column: usize,
    /// What is underlined, in bytes of the file.
    pub span: Range<usize>,
    /// What stands at the underlined place.
    label: Option<String>,
    source: Arc<str>,
}

impl Diagnostic {
    /// The file's line with the place underlined, as it is shown on a terminal; with colours if `colour`.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let snippet = Snippet::source(&*self.source).path(self.file.to_string_lossy()).annotation(
            AnnotationKind::Primary.span(self.span.clone()).label(self.label.as_deref()),
        );
        let title = Level::ERROR.primary_title(&*self.message).id(self.code.name());
        let mut report = vec![match self.source.is_empty() {
            true => Group::with_title(title),
            false => title.element(snippet),
        }];
        if let Some(help) = &self.help {
            report.push(Group::with_title(Level::HELP.secondary_title(&**help)));
        }
        renderer.decor_style(DecorStyle::Ascii).render(&report)
    }
}

/// One line: file, line, column, code and message.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, code, message, .. } = self;
        write!(f, "{}:{line}:{column}: {}: {message}", file.display(), code.name())
    }
}

/// Collects what is wrong with one file.
#[derive(Debug)]
pub(crate) struct Sink {
    file: PathBuf,
    source: Arc<str>,
    found: Vec<Diagnostic>,
}

impl Sink {
    pub(crate) fn new(file: &Path, source: &str) -> Self {
        Self { file: file.into(), source: source.into(), found: Vec::new() }
    }

    /// Adds one; `label` stands at the underlined place. Returns where to put what would be right.
    pub(crate) fn add(
        &mut self,
        code: Code,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Option<String> {
        let span = self.within(span);
        let before = &self.source[..span.start];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let label: String = label.into();
        self.found.push(Diagnostic {
            code,
            message: message.into(),
            help: None,
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            span,
            label: (!label.is_empty()).then_some(label),
            source: self.source.clone(),
        });
        let last = self.found.len() - 1;
        &mut self.found[last].help
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        self.source[..self.within(span.clone()).start].matches('\n').count() + 1
    }

    /// Narrows a span to the source and to whole characters.
    fn within(&self, span: Range<usize>) -> Range<usize> {
        let floor = |mut at: usize| {
            at = at.min(self.source.len());
            while !self.source.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        start..floor(span.end).max(start)
    }

    /// An empty one for the same file.
    pub(super) fn beside(&self) -> Self {
        Self { file: self.file.clone(), source: self.source.clone(), found: Vec::new() }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.found.extend(other.found);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What was found in the order of the file; what several cases have in common only once.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.dedup();
        self.found
    }

    /// Forgets what several cases have in common but once.
    pub(super) fn dedup(&mut self) {
        fn key(it: &Diagnostic) -> (usize, usize, Code, &str) {
            (it.span.start, it.span.end, it.code, &it.message)
        }
        self.found.sort_by(|a, b| key(a).cmp(&key(b)));
        self.found.dedup_by(|a, b| key(a) == key(b));
    }
}

/// `did you mean ...?` with the name that is nearest to what was written, if one is near.
pub(super) fn did_you_mean<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = |name: &&str| {
        let distance = strsim::damerau_levenshtein(written, name);
        let prefix =
            written.len() >= 3 && (name.starts_with(written) || written.starts_with(*name));
        (distance <= 1 + written.chars().count() / 4 || prefix).then_some(distance)
    };
    let nearest = names.into_iter().filter_map(|name| Some((near(&name)?, name)));
    nearest.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// A list of names for a message: "`a`, `b` or `c`".
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".into(),
    }
}

/// What would be right where `written` stands: the nearest of `names`, or all of them.
pub(super) fn suggest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match did_you_mean(written, names.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there are none".into(),
        None => format!("expected {}", one_of(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant() {
        let names = ["install", "boot", "update", "still-updatable"];
        assert_eq!(did_you_mean("bot", names), Some("boot"));
        assert_eq!(did_you_mean("upadte", names), Some("update"));
        assert_eq!(did_you_mean("still", names), Some("still-updatable"));
        assert_eq!(did_you_mean("sleep", names), None);
    }

    #[test]
    fn columns_count_characters() {
        let mut sink = Sink::new(Path::new("a.toml"), "x = 1\nwhy = \"ä\" # b\n");
        sink.add(Code::Syntax, 17..18, "m", "");
        let found = sink.finish();
        assert_eq!((found[0].line, found[0].column), (2, 11));
        assert_eq!(found[0].to_string(), "a.toml:2:11: E002: m");
    }

    #[test]
    fn spans_within_a_character_do_no_harm() {
        let mut sink = Sink::new(Path::new("a.toml"), "ä");
        sink.add(Code::Syntax, 1..9, "m", "here");
        assert!(sink.finish()[0].render(false).contains("E002"));
    }
}
