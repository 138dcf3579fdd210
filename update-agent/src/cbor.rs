//! The CBOR maps that requests and responses consist of.

use cbor4ii::core::dec::{self, Decode, IgnoredAny, Read, Reference, is_break};
use cbor4ii::core::enc::{self, Encode, Write};
use cbor4ii::core::types::{Array, Bytes, Map};
use cbor4ii::core::{major, marker};
use core::convert::Infallible;
use core::fmt;

/// Values may be this deep in a field that nobody asked for; each level costs stack.
const MAX_DEPTH: usize = 6;

/// The data is not a CBOR map with text keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The response does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Uint(u64),
    Bool(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Of no type that any request uses.
    Other,
}

impl<'a> Value<'a> {
    pub(crate) fn uint(self) -> Result<u64, Malformed> {
        if let Self::Uint(value) = self { Ok(value) } else { Err(Malformed) }
    }

    pub(crate) fn bool(self) -> Result<bool, Malformed> {
        if let Self::Bool(value) = self { Ok(value) } else { Err(Malformed) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        if let Self::Text(value) = self { Ok(value) } else { Err(Malformed) }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(value) = self { Ok(value) } else { Err(Malformed) }
    }
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

/// The fields of a request, in the order in which they stand.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    input: Input<'a>,
    /// Fields left; `None` if only a break tells.
    left: Option<usize>,
}

impl<'a> Fields<'a> {
    /// Opens the map in the data of a request. No data counts as an empty map.
    pub(crate) fn open(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Input { bytes: data, depth: 0 };
        let left = if data.is_empty() { Some(0) } else { Map::len(&mut input)? };
        Ok(Self { input, left })
    }

    /// The next field.
    pub(crate) fn next(&mut self) -> Result<Option<(&'a str, Value<'a>)>, Malformed> {
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
        let key = <&str>::decode(input)?;
        let first = *input.bytes.first().ok_or(Malformed)?;
        let indefinite = dec::low(first) == marker::START;
        let value = match dec::if_major(first) {
            major::UNSIGNED => Value::Uint(u64::decode(input)?),
            major::STRING if !indefinite => Value::Text(<&str>::decode(input)?),
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

/// Writes the data of a response. Maps and arrays have no length up front, as in Zephyr's responses.
#[derive(Debug)]
pub(crate) struct Writer<'a>(Output<'a>);

/// The unused rest of a buffer.
#[derive(Debug)]
struct Output<'a>(&'a mut [u8]);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response does not fit its buffer")
    }
}

impl core::error::Error for Full {}

impl Write for Output<'_> {
    type Error = Full;

    fn push(&mut self, input: &[u8]) -> Result<(), Full> {
        let (place, rest) =
            core::mem::take(&mut self.0).split_at_mut_checked(input.len()).ok_or(Full)?;
        place.copy_from_slice(input);
        self.0 = rest;
        Ok(())
    }
}

impl From<enc::Error<Full>> for Full {
    fn from(_: enc::Error<Full>) -> Self {
        Self
    }
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self(Output(buffer))
    }

    /// Bytes left in the buffer.
    pub(crate) fn room(&self) -> usize {
        self.0.0.len()
    }

    pub(crate) fn begin_map(&mut self) -> Result<(), Full> {
        Ok(Map::unbounded(&mut self.0)?)
    }

    /// Ends the innermost map or array.
    pub(crate) fn end(&mut self) -> Result<(), Full> {
        Ok(Map::end(&mut self.0)?)
    }

    /// A field whose value is an array, still to be written.
    pub(crate) fn begin_array(&mut self, key: &str) -> Result<(), Full> {
        key.encode(&mut self.0)?;
        Ok(Array::unbounded(&mut self.0)?)
    }

    /// A field whose value is a map, still to be written.
    pub(crate) fn begin_map_at(&mut self, key: &str) -> Result<(), Full> {
        key.encode(&mut self.0)?;
        self.begin_map()
    }

    pub(crate) fn field(&mut self, key: &str, value: impl Encode) -> Result<(), Full> {
        key.encode(&mut self.0)?;
        Ok(value.encode(&mut self.0)?)
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
            let mut fields = Fields::open(&data).unwrap();
            assert_eq!(fields.next(), Ok(Some(("x", Value::Other))));
            assert_eq!(fields.next(), Ok(Some(("off", Value::Uint(7)))));
            assert_eq!(fields.next(), Ok(Some(("z", Value::Other))));
            assert_eq!(fields.next(), Ok(None));
            assert_eq!(fields.next(), Ok(None));
        }
    }

    #[test]
    fn maps_end_where_they_say() {
        for data in [&b"\xA2\x61a\x01"[..], b"\xBF\x61a\x01", b"\xA1\x61a", b"\xA1\x61a\x58\x05ab"]
        {
            let mut fields = Fields::open(data).unwrap();
            let mut result = fields.next();
            while let Ok(Some(_)) = result {
                result = fields.next();
            }
            assert_eq!(result, Err(Malformed), "{data:x?}");
        }
        assert!(Fields::open(b"\x80").is_err());
        assert_eq!(Fields::open(b"").unwrap().next(), Ok(None));
    }

    #[test]
    fn depth_is_bounded() {
        let data = [&b"\xA1\x61a"[..], &[0x81; 6], &[0]].concat();
        assert_eq!(Fields::open(&data).unwrap().next(), Err(Malformed));
    }

    #[test]
    fn a_full_buffer_is_an_error() {
        let mut buffer = [0; 6];
        let mut writer = Writer::new(&mut buffer);
        writer.begin_map().unwrap();
        writer.field("off", 1u32).unwrap();
        assert_eq!(writer.end(), Err(Full));
    }
}
