//! A text that is waited for on the console.

use crate::board::{CutPlan, CutPoint, RigError};
use crate::scenario::Text;
use regex::Regex;

/// Longest line that is looked at as a whole.
const LINE: usize = 4096;

/// Finds a text in lines of the console: a plain one as soon as its last byte comes, a pattern at the end of
/// the line.
#[derive(Clone, Debug)]
pub struct TextWatch {
    pattern: Regex,
    /// What must end for the text to be found.
    plain: Option<Vec<u8>>,
    line: Vec<u8>,
}

impl TextWatch {
    /// Looks for this text from now on.
    ///
    /// # Errors
    /// It is a pattern that cannot be used.
    pub fn new(text: &Text) -> Result<Self, RigError> {
        let unusable = || RigError::new(format!("{text:?} cannot be looked for"));
        let pattern = text.regex().ok_or_else(unusable)?;
        let plain = match text {
            Text::Plain(text) => Some(text.as_bytes().to_vec()),
            Text::Pattern(_) => None,
        };
        Ok(Self { pattern, plain, line: Vec::new() })
    }

    /// Adds to a plan its text, ready to be looked for.
    pub(in crate::board) fn of_plan(
        plan: Option<CutPlan>,
    ) -> Result<Option<(CutPlan, Option<Self>)>, RigError> {
        let Some(plan) = plan else { return Ok(None) };
        let text = match &plan.point {
            CutPoint::Text { text, .. } => Some(Self::new(text)?),
            CutPoint::Operation { .. } => None,
        };
        Ok(Some((plan, text)))
    }

    /// Bytes with which the text may be found.
    pub(crate) fn ends_with(&self) -> &[u8] {
        self.plain.as_deref().unwrap_or(b"\n")
    }

    /// Whether these bytes, which follow those before, have brought it.
    pub fn sees(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().any(|&byte| {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                return self.plain.is_none() && self.pattern.is_match(line.trim_end_matches('\r'));
            }
            if self.line.len() == LINE {
                self.line.drain(..LINE / 2);
            }
            self.line.push(byte);
            self.plain.as_ref().is_some_and(|plain| self.line.ends_with(plain))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Pattern;

    fn found(text: &Text, console: &[u8]) -> Option<usize> {
        let mut watch = TextWatch::new(text).unwrap();
        console.iter().position(|&byte| watch.sees(&[byte]))
    }

    #[test]
    fn plain_text_is_found_at_its_last_byte() {
        let text = Text::Plain("go.".into());
        assert_eq!(found(&text, b"gox\ngo\n.ego.\n"), Some(11));
        assert_eq!(found(&text, b"go\n."), None);
        let long = [vec![b'x'; 3 * LINE], b"go.".to_vec()].concat();
        assert_eq!(found(&text, &long), Some(3 * LINE + 2));
    }

    #[test]
    fn a_pattern_is_found_at_the_end_of_its_line() {
        let text = Text::Pattern(Pattern { pattern: "v[0-9]+$".into() });
        assert_eq!(found(&text, b"v1\xFFx\nfw v12\r\nv3\n"), Some(12));
        let bad = Text::Pattern(Pattern { pattern: "(".into() });
        assert!(TextWatch::new(&bad).is_err());
    }
}
