//! The CBOR maps that requests and responses consist of.

use cbor4ii::core::dec::{self, Decode, IgnoredAny, Read, Reference, is_break};
use cbor4ii::core::enc::{Encode, Write};
use cbor4ii::core::types::{Array, Bytes, Map, UncheckedStr};
use cbor4ii::core::{major, marker};
use core::convert::Infallible;

/// Values may be this deep in a field that nobody asked for; each level costs stack.
const MAX_DEPTH: usize = 6;

/// The data is not a CBOR map with text keys, or a field is not of the type that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The response does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Uint(u64),
    Bool(bool),
    /// Not checked to be UTF-8: it is compared or sent back as it came.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// Of no type that any request uses.
    Other,
}

/// What is left of the data of a request.
#[derive(Clone, Debug)]
struct Input<'a> {
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> Read<'a> for Input<'a> {
    type Error = Infallible;

    fn fill<'s>(&'s mut self, want: usize) -> Result<Reference<'a, 's>, Infallible> {
        let available = self.bytes.get(..want).unwrap_or(self.bytes);
        Ok(Reference::Long(available))
    }

    fn advance(&mut self, n: usize) {
        self.bytes = self.bytes.get(n..).unwrap_or_default();
    }

    fn step_in(&mut self) -> bool {
        let deeper = self.depth < MAX_DEPTH;
        self.depth += usize::from(deeper);
        deeper
    }

    fn step_out(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

impl<E> From<dec::Error<E>> for Malformed {
    fn from(_: dec::Error<E>) -> Self {
        Self
    }
}

/// The fields of a request.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    input: Input<'a>,
    /// Fields left; `None` if only a break tells.
    left: Option<usize>,
}

impl<'a> Fields<'a> {
    /// Opens the map in the data of a request and walks through it, so that nothing of a malformed
    /// request is acted on. No data counts as an empty map.
    pub(crate) fn open(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Input { bytes: data, depth: 0 };
        let left = if data.is_empty() { Some(0) } else { Map::len(&mut input)? };
        let fields = Self { input, left };
        let mut walk = fields.clone();
        while walk.next()?.is_some() {}
        Ok(fields)
    }

    /// Whether there is a field with this name.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The unsigned integer with this name, if there is one.
    #[inline(never)]
    pub(crate) fn uint(&self, key: &str) -> Result<Option<u64>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Uint(value)) => Ok(Some(value)),
            Some(_) => Err(Malformed),
        }
    }

    /// The boolean with this name, if there is one.
    #[inline(never)]
    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(Malformed),
        }
    }

    /// The text with this name, if there is one.
    #[inline(never)]
    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(_) => Err(Malformed),
        }
    }

    /// The byte string with this name, if there is one.
    #[inline(never)]
    pub(crate) fn bytes(&self, key: &str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bytes(value)) => Ok(Some(value)),
            Some(_) => Err(Malformed),
        }
    }

    /// The first field with this name.
    #[inline(never)]
    fn get(&self, key: &str) -> Option<Value<'a>> {
        let mut walk = self.clone();
        while let Ok(Some((name, value))) = walk.next() {
            if name == key.as_bytes() {
                return Some(value);
            }
        }
        None
    }

    /// The next field.
    #[inline(never)]
    fn next(&mut self) -> Result<Option<(&'a [u8], Value<'a>)>, Malformed> {
        let input = &mut self.input;
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if is_break(input)? => {
                self.left = Some(0);
                return Ok(None);
            }
            None => {}
        }
        let UncheckedStr(key) = <UncheckedStr<&[u8]>>::decode(input)?;
        let first = *input.bytes.first().ok_or(Malformed)?;
        let indefinite = dec::low(first) == marker::START;
        let value = match dec::if_major(first) {
            major::UNSIGNED => Value::Uint(u64::decode(input)?),
            major::STRING if !indefinite => Value::Text(<UncheckedStr<&[u8]>>::decode(input)?.0),
            major::BYTES if !indefinite => Value::Bytes(Bytes::decode(input)?.0),
            major::SIMPLE if matches!(first, marker::TRUE | marker::FALSE) => {
                Value::Bool(bool::decode(input)?)
            }
            _ => {
                IgnoredAny::decode(input)?;
                Value::Other
            }
        };
        Ok(Some((key, value)))
    }
}

/// Writes the data of a response: one map. Maps and arrays have no length up front, as in Zephyr's
/// responses.
///
/// What does not fit is left out; [`finish`](Self::finish) tells.
#[derive(Debug)]
pub(crate) struct Writer<'a>(Output<'a>);

#[derive(Debug)]
struct Output<'a> {
    buffer: &'a mut [u8],
    len: usize,
    full: bool,
}

impl Write for Output<'_> {
    type Error = Infallible;

    fn push(&mut self, input: &[u8]) -> Result<(), Infallible> {
        let rest = self.buffer.get_mut(self.len..);
        match rest.and_then(|rest| rest.get_mut(..input.len())) {
            Some(place) if !self.full => {
                place.copy_from_slice(input);
                self.len += input.len();
            }
            _ => self.full = true,
        }
        Ok(())
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        let mut writer = Self(Output { buffer, len: 0, full: false });
        writer.begin_map();
        writer
    }

    /// Ends the map; the length of all.
    pub(crate) fn finish(mut self) -> Result<usize, Full> {
        self.end();
        if self.0.full { Err(Full) } else { Ok(self.0.len) }
    }

    /// Bytes left in the buffer.
    pub(crate) fn room(&self) -> usize {
        self.0.buffer.len() - self.0.len
    }

    /// Begins an element of an array that is a map.
    #[inline(never)]
    pub(crate) fn begin_map(&mut self) {
        self.0.full |= Map::unbounded(&mut self.0).is_err();
    }

    /// Ends the innermost map or array.
    #[inline(never)]
    pub(crate) fn end(&mut self) {
        self.0.full |= Map::end(&mut self.0).is_err();
    }

    /// Begins a field whose value is an array.
    #[inline(never)]
    pub(crate) fn begin_array_at(&mut self, key: &str) {
        self.string(key.as_bytes());
        self.0.full |= Array::unbounded(&mut self.0).is_err();
    }

    /// Begins a field whose value is a map.
    pub(crate) fn begin_map_at(&mut self, key: &str) {
        self.string(key.as_bytes());
        self.begin_map();
    }

    #[inline(never)]
    pub(crate) fn uint(&mut self, key: &str, value: u32) {
        self.string(key.as_bytes());
        self.0.full |= value.encode(&mut self.0).is_err();
    }

    pub(crate) fn int(&mut self, key: &str, value: i32) {
        self.string(key.as_bytes());
        self.0.full |= value.encode(&mut self.0).is_err();
    }

    #[inline(never)]
    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.string(key.as_bytes());
        self.0.full |= value.encode(&mut self.0).is_err();
    }

    /// A boolean that is absent when it is false.
    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.bool(key, true);
        }
    }

    /// A text, which the caller knows to be UTF-8 or has from the client.
    #[inline(never)]
    pub(crate) fn text(&mut self, key: &str, value: &[u8]) {
        self.string(key.as_bytes());
        self.string(value);
    }

    /// A text from flash; `?` if it is not ASCII.
    pub(crate) fn ascii(&mut self, key: &str, value: &[u8]) {
        self.text(key, if value.iter().all(u8::is_ascii) { value } else { b"?" });
    }

    #[inline(never)]
    pub(crate) fn bytes(&mut self, key: &str, value: &[u8]) {
        self.string(key.as_bytes());
        self.0.full |= Bytes(value).encode(&mut self.0).is_err();
    }

    #[inline(never)]
    fn string(&mut self, text: &[u8]) {
        self.0.full |= UncheckedStr(text).encode(&mut self.0).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_nobody_asked_for_are_skipped() {
        // {"x": [1, {"y": [_ 2]}], "off": 7, "z": -1}, with a map of known and of unknown length.
        let rest = b"\x61x\x82\x01\xA1\x61y\x9F\x02\xFF\x63off\x07\x61z\x20";
        for (open, close) in [(0xA3, &[][..]), (0xBF, &[0xFF][..])] {
            let data = [&[open], &rest[..], close].concat();
            let fields = Fields::open(&data).unwrap();
            assert_eq!(fields.uint("off"), Ok(Some(7)));
            assert_eq!(fields.uint("len"), Ok(None));
        }
    }

    #[test]
    fn values_have_the_type_that_is_asked_for() {
        // {"n": 300, "b": true, "t": "ab", "y": h'0102', "z": -1}
        let fields = b"\xA5\x61n\x19\x01\x2C\x61b\xF5\x61t\x62ab\x61y\x42\x01\x02\x61z\x20";
        let fields = Fields::open(fields).unwrap();
        assert_eq!(fields.uint("n"), Ok(Some(300)));
        assert_eq!(fields.bool("b"), Ok(Some(true)));
        assert_eq!(fields.text("t"), Ok(Some(&b"ab"[..])));
        assert_eq!(fields.bytes("y"), Ok(Some(&[1, 2][..])));
        for key in ["n", "b", "t", "y", "z"] {
            let right = [
                fields.uint(key).is_ok(),
                fields.bool(key).is_ok(),
                fields.text(key).is_ok(),
                fields.bytes(key).is_ok(),
            ];
            let count = right.into_iter().filter(|&right| right).count();
            assert_eq!(count, usize::from(key != "z"), "{key}");
        }
    }

    #[test]
    fn maps_end_where_they_say() {
        for data in
            [&b"\xA2\x61a\x01"[..], b"\xBF\x61a\x01", b"\xA1\x61a", b"\xA1\x61a\x58\x05ab", b"\x80"]
        {
            assert_eq!(Fields::open(data).err(), Some(Malformed), "{data:x?}");
        }
        assert!(Fields::open(b"").is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels| [&b"\xA1\x61a"[..], &[0x81].repeat(levels), &[0]].concat();
        assert!(Fields::open(&nested(5)).is_ok());
        assert!(Fields::open(&nested(6)).is_err());
    }

    #[test]
    fn a_full_buffer_is_an_error() {
        for (size, fits) in [(7, true), (6, false), (5, false)] {
            let mut buffer = [0; 7];
            let mut writer = Writer::new(&mut buffer[..size]);
            writer.uint("off", 1);
            assert_eq!(writer.finish(), if fits { Ok(7) } else { Err(Full) });
        }
    }

    #[test]
    fn nothing_follows_what_did_not_fit() {
        let mut buffer = [0; 8];
        let mut writer = Writer::new(&mut buffer);
        writer.text("a", b"too long");
        writer.bool("b", true);
        assert_eq!(writer.finish(), Err(Full));
    }
}
