//! Fixed-size text fields of the flash formats.

use core::fmt;
use core::str::Utf8Error;

/// `N` bytes of text that end at the first NUL, or fill the field without any NUL.
///
/// Flash contents need not be UTF-8: a generator may cut a name in the middle of a character.
/// All `N` bytes are kept, so writing the field back does not change it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>(pub [u8; N]);

impl<const N: usize> Text<N> {
    /// A NUL-padded field holding `text`, or `None` if that is longer than `N` bytes.
    pub fn new(text: &str) -> Option<Self> {
        let mut field = [0; N];
        field.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(field))
    }

    /// The bytes before the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(N);
        self.0.get(..len).unwrap_or_default()
    }

    /// The text, or where it stops being UTF-8.
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        core::str::from_utf8(self.as_bytes())
    }
}

/// The text with U+FFFD in place of what is not UTF-8.
impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{FFFD}")?;
            }
        }
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use std::string::ToString;

    #[test]
    fn a_full_field_has_no_nul() {
        let text = Text::<4>(*b"abcd");
        assert_eq!(text.as_str(), Ok("abcd"));
        assert_eq!(Text::new("abcd"), Some(text));
        assert_eq!(Text::<4>::new("abcde"), None);
    }

    #[test]
    fn text_stops_at_the_first_nul() {
        assert_eq!(Text::<4>(*b"a\0b\0").as_bytes(), b"a");
        assert_eq!(Text::<4>(*b"\0\0\0\0").to_string(), "");
    }

    #[test]
    fn a_cut_character_is_shown_as_replacement() {
        let text = Text::<4>([b'a', 0xC3, 0, 0]);
        assert!(text.as_str().is_err());
        assert_eq!(text.to_string(), "a\u{FFFD}");
    }
}
