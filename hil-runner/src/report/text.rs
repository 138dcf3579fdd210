//! Text that came from outside, made fit to be shown.

use std::fmt::Write;

/// A text without what a terminal or a browser would obey instead of show: control characters, and those
/// that turn the direction of writing or have no width. They are written as in Rust.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        );
        if c.is_control() || hidden {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A number with what it counts: `1 run`, `12,345 runs`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in seconds, to the unit that suits it.
pub(super) fn seconds(time: f64) -> String {
    match time {
        time if time < 0.0995 => format!("{:.1} ms", time * 1000.0),
        time if time < 10.0 => format!("{time:.2} s"),
        time if time < 120.0 => format!("{time:.0} s"),
        time if time < 7200.0 => format!("{:.0} min", time / 60.0),
        time => format!("{:.1} h", time / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(visible("a\x1b[2Jb\r\u{202e}c\u{9b}é"), r"a\u{1b}[2Jb\r\u{202e}c\u{9b}é");
    }

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(count(1, "run"), "1 run");
        assert_eq!(count(1_234_567, "run"), "1,234,567 runs");
        assert_eq!(grouped(999), "999");
        assert_eq!([seconds(0.0012), seconds(3.0), seconds(90.4)], ["1.2 ms", "3.00 s", "90 s"]);
        assert_eq!([seconds(3600.0), seconds(36_000.0)], ["60 min", "10.0 h"]);
    }
}
