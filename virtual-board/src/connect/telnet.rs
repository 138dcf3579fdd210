//! Telnet as RFC 854 and RFC 855 define it: commands and options among the data.

/// Begins every command.
const IAC: u8 = 255;
const SE: u8 = 240;
const SB: u8 = 250;
/// More than any subnegotiation that means something here.
const LONGEST_SUBNEGOTIATION: usize = 256;

/// A request or an answer about an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verb {
    /// The sender begins to use it, or offers to.
    Will = 251,
    /// The sender does not use it.
    Wont = 252,
    /// The receiver may use it.
    Do = 253,
    /// The receiver must not use it.
    Dont = 254,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Data, without escapes.
    Data(Vec<u8>),
    /// An option is negotiated.
    Negotiate(Verb, u8),
    /// Parameters of an option: its number, then the parameters.
    Subnegotiation(Vec<u8>),
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Option(Verb),
    Subnegotiation,
    SubnegotiationCommand,
}

/// Takes a byte stream apart, however it is cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    state: State,
    parameters: Vec<u8>,
}

impl Parser {
    /// What these bytes complete. Commands that ask for nothing here, and malformed ones, are skipped.
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Data, IAC) => State::Command,
                (State::Data, _) | (State::Command, IAC) => {
                    if let Some(Event::Data(data)) = events.last_mut() {
                        data.push(byte);
                    } else {
                        events.push(Event::Data(vec![byte]));
                    }
                    State::Data
                }
                (State::Command, 251) => State::Option(Verb::Will),
                (State::Command, 252) => State::Option(Verb::Wont),
                (State::Command, 253) => State::Option(Verb::Do),
                (State::Command, 254) => State::Option(Verb::Dont),
                (State::Command, SB) => {
                    self.parameters.clear();
                    State::Subnegotiation
                }
                (State::Command, _) => State::Data,
                (State::Option(verb), option) => {
                    events.push(Event::Negotiate(verb, option));
                    State::Data
                }
                (State::Subnegotiation, IAC) => State::SubnegotiationCommand,
                (State::Subnegotiation, _) | (State::SubnegotiationCommand, IAC) => {
                    // One byte more than allowed marks it as too long.
                    if self.parameters.len() <= LONGEST_SUBNEGOTIATION {
                        self.parameters.push(byte);
                    }
                    State::Subnegotiation
                }
                (State::SubnegotiationCommand, SE) => {
                    if (1..=LONGEST_SUBNEGOTIATION).contains(&self.parameters.len()) {
                        events.push(Event::Subnegotiation(std::mem::take(&mut self.parameters)));
                    }
                    State::Data
                }
                (State::SubnegotiationCommand, _) => State::Data,
            };
        }
        events
    }
}

/// Appends data.
pub(super) fn put_data(wire: &mut Vec<u8>, data: &[u8]) {
    for &byte in data {
        wire.push(byte);
        if byte == IAC {
            wire.push(IAC);
        }
    }
}

/// Appends a negotiation.
pub(super) fn put_negotiation(wire: &mut Vec<u8>, verb: Verb, option: u8) {
    wire.extend([IAC, verb as u8, option]);
}

/// Appends parameters of an option.
pub(super) fn put_subnegotiation(wire: &mut Vec<u8>, option: u8, parameters: &[u8]) {
    wire.extend([IAC, SB, option]);
    put_data(wire, parameters);
    wire.extend([IAC, SE]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> (Vec<u8>, Vec<Event>) {
        let mut wire = Vec::new();
        put_data(&mut wire, b"ab\xFFc");
        put_negotiation(&mut wire, Verb::Will, 44);
        put_negotiation(&mut wire, Verb::Dont, 1);
        put_subnegotiation(&mut wire, 44, &[1, 0, 255, 240, 255]);
        wire.extend([IAC, 241]);
        put_data(&mut wire, b"d");
        let events = vec![
            Event::Data(b"ab\xFFc".to_vec()),
            Event::Negotiate(Verb::Will, 44),
            Event::Negotiate(Verb::Dont, 1),
            Event::Subnegotiation(vec![44, 1, 0, 255, 240, 255]),
            Event::Data(b"d".to_vec()),
        ];
        (wire, events)
    }

    #[test]
    fn parses_what_is_written() {
        let (wire, events) = stream();
        assert_eq!(Parser::default().parse(&wire), events);
    }

    #[test]
    fn pieces_make_no_difference() {
        let (wire, events) = stream();
        for cut in 0..=wire.len() {
            let mut parser = Parser::default();
            let mut parsed = parser.parse(&wire[..cut]);
            for event in parser.parse(&wire[cut..]) {
                match (parsed.last_mut(), event) {
                    (Some(Event::Data(before)), Event::Data(more)) => before.extend(more),
                    (_, event) => parsed.push(event),
                }
            }
            assert_eq!(parsed, events, "cut at {cut}");
        }
    }

    #[test]
    fn malformed_commands_are_skipped() {
        let mut parser = Parser::default();
        let endless: Vec<u8> = [IAC, SB, 44].into_iter().chain([7; 100_000]).collect();
        assert_eq!(parser.parse(&endless), []);
        assert!(parser.parameters.len() < 300, "memory grows with the input");
        assert_eq!(parser.parse(&[IAC, SE]), [], "too long");
        assert_eq!(parser.parse(&[IAC, SB, IAC, SE]), [], "no option");
        assert_eq!(parser.parse(&[IAC, SB, 44, IAC, 9, b'x']), [Event::Data(b"x".to_vec())]);
    }
}
