//! Order of version texts.

/// Major, minor and revision of a version like `1.2.3`, `v1.2` or `1.2.3-rc1+5`; what follows them does
/// not count (as in Zephyr's `img_mgmt_vercmp`). `None` when the text starts with no number.
pub(crate) fn parse(text: &[u8]) -> Option<[u32; 3]> {
    let text = text.strip_prefix(b"v").unwrap_or(text);
    let mut numbers = [0; 3];
    let mut rest = text;
    for (index, place) in numbers.iter_mut().enumerate() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        if number.is_empty() {
            return if index == 0 { None } else { Some(numbers) };
        }
        for digit in number {
            let digit = u32::from(digit - b'0');
            *place = u32::checked_mul(*place, 10)?.checked_add(digit)?;
        }
        match tail.split_first() {
            Some((b'.', tail)) => rest = tail,
            _ => break,
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert_eq!(parse(b"1.10.3"), Some([1, 10, 3]));
        assert_eq!(parse(b"v2.0.0-dirty"), Some([2, 0, 0]));
        assert_eq!(parse(b"7"), Some([7, 0, 0]));
        assert_eq!(parse(b"1.x"), Some([1, 0, 0]));
        assert_eq!([&b""[..], b"abc", b"99999999999"].map(parse), [None; 3]);
        assert!(parse(b"1.10.0") > parse(b"1.9.9"));
    }
}
