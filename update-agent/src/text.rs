//! Short texts put together without allocation and without `core::fmt`, whose code would be larger than
//! that of any group.

/// Most digits of a `u32` in decimal.
const DIGITS: usize = 10;

/// A text of at most `N` bytes. What does not fit is left out.
#[derive(Debug)]
pub(crate) struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cut: bool,
}

impl<const N: usize> Line<N> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; N], len: 0, cut: false }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether something did not fit.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.push(text.as_bytes())
    }

    pub(crate) fn decimal(&mut self, value: u32) -> &mut Self {
        self.digits(value, 10)
    }

    /// Hexadecimal with `0x` in front.
    pub(crate) fn hex(&mut self, value: u32) -> &mut Self {
        self.text("0x").digits(value, 16)
    }

    fn digits(&mut self, mut value: u32, base: u32) -> &mut Self {
        let mut digits = [0; DIGITS];
        let mut start = DIGITS;
        for place in digits.iter_mut().rev() {
            let digit = (value % base) as u8;
            *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
            start -= 1;
            value /= base;
            if value == 0 {
                break;
            }
        }
        self.push(digits.get(start..).unwrap_or_default())
    }

    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        match self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.cut = true,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        for value in [0, 9, 10, 15, 16, 0x1d_0000, 1_000_000_000, u32::MAX] {
            let mut line = Line::<24>::new();
            line.decimal(value).text(" ").hex(value);
            assert_eq!(line.as_bytes(), format!("{value} {value:#x}").as_bytes());
            assert!(!line.is_cut());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut line = Line::<4>::new();
        line.text("abc").text("de").text("f");
        assert_eq!(line.as_bytes(), b"abcf");
        assert!(line.is_cut());
    }
}
