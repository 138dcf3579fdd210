//! The server over real sockets, with a client that the test writes byte by byte.

use super::client::{COM_PORT, ECHO, WIRE};
use super::*;
use crate::connect::telnet::{self, Event, Parser, Verb};
use rustix::event::{Timespec, poll};
use std::io::Read;
use std::net::TcpStream;

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;

fn connect() -> (Rfc2217, TcpStream) {
    let mut server = Rfc2217::listen("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(server.address().unwrap()).unwrap();
    while server.client.is_none() {
        step(&mut server);
    }
    (server, client)
}

fn step(server: &mut Rfc2217) -> Vec<Request> {
    let mut fds: Vec<_> = server.poll_fds().collect();
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "nothing happened");
    drop(fds);
    server.service().unwrap()
}

/// What the server asks of the board for these bytes. A full stop behind them marks the end.
fn requests(server: &mut Rfc2217, client: &mut TcpStream, bytes: &[u8]) -> Vec<Request> {
    client.write_all(bytes).unwrap();
    client.write_all(b".").unwrap();
    let mut requests = Vec::new();
    loop {
        requests.extend(step(server));
        match requests.last_mut() {
            Some(Request::Send(data)) if data == b"." => {
                requests.pop();
                return requests;
            }
            Some(Request::Send(data)) if data.ends_with(b".") => {
                data.pop();
                return requests;
            }
            _ => {}
        }
    }
}

fn com_port(command: u8, value: &[u8]) -> Vec<u8> {
    [&[IAC, SB, COM_PORT, command], value, &[IAC, SE]].concat()
}

/// What the server sent, up to the text "end" that it is made to send here.
fn answers(server: &mut Rfc2217, client: &mut TcpStream) -> Vec<Event> {
    server.send(b"end");
    let mut wire = Vec::new();
    while !wire.ends_with(b"end") {
        let mut bytes = [0; 4096];
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "the server hung up");
        wire.extend(&bytes[..count]);
    }
    wire.truncate(wire.len() - b"end".len());
    Parser::default().parse(&wire)
}

#[test]
fn negotiates_once() {
    let (mut server, mut client) = connect();
    let greeting = answers(&mut server, &mut client);
    assert!(greeting.contains(&Event::Negotiate(Verb::Will, COM_PORT)));
    assert!(greeting.contains(&Event::Negotiate(Verb::Do, COM_PORT)));
    let asked = [IAC, 253, COM_PORT, IAC, 251, COM_PORT, IAC, 253, 99, IAC, 251, 31, IAC, 254, 1];
    requests(&mut server, &mut client, &asked);
    let answers = answers(&mut server, &mut client);
    let refused = [(Verb::Wont, 99), (Verb::Dont, 31), (Verb::Wont, ECHO)];
    assert_eq!(answers, refused.map(|(verb, option)| Event::Negotiate(verb, option)));
}

#[test]
fn obeys_and_answers_commands() {
    let (mut server, mut client) = connect();
    answers(&mut server, &mut client);
    let baud = 921_600_u32.to_be_bytes();
    let commands: &[(u8, &[u8], &[u8])] = &[
        (1, &baud, &baud),
        (1, &[0; 4], &baud),
        (2, &[8], &[8]),
        (3, &[1], &[1]),
        (4, &[1], &[1]),
        (5, &[11], &[11]),
        (5, &[8], &[8]),
        (5, &[10], &[11]),
        (5, &[12], &[12]),
        (5, &[7], &[8]),
        (12, &[3], &[3]),
    ];
    let sent: Vec<u8> =
        commands.iter().flat_map(|(code, value, _)| com_port(*code, value)).collect();
    let requests = requests(&mut server, &mut client, &sent);
    let expected: Vec<_> = commands
        .iter()
        .map(|(code, _, answer)| Event::Subnegotiation([&[COM_PORT, code + 100], *answer].concat()))
        .collect();
    assert_eq!(answers(&mut server, &mut client), expected);
    let [
        Request::Baud(921_600),
        Request::Lines(hold),
        Request::Lines(held),
        Request::Lines(go),
        Request::PurgeSent,
    ] = &*requests
    else {
        panic!("{requests:?}")
    };
    assert!(hold.in_reset() && held.in_reset() && !go.in_reset() && go.download());
}

#[test]
fn data_passes_unchanged() {
    let (mut server, mut client) = connect();
    answers(&mut server, &mut client);
    let all: Vec<u8> = (0..=255).collect();
    let mut wire = Vec::new();
    telnet::put_data(&mut wire, &all);
    let received: Vec<u8> = requests(&mut server, &mut client, &wire)
        .into_iter()
        .flat_map(|request| match request {
            Request::Send(data) => data,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(received, all);
    server.send(&all);
    let sent: Vec<_> = answers(&mut server, &mut client);
    assert_eq!(sent, [Event::Data(all)]);
}

#[test]
fn a_second_client_is_told_and_the_first_goes_on() {
    let (mut server, mut first) = connect();
    let mut second = TcpStream::connect(server.address().unwrap()).unwrap();
    step(&mut server);
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    assert!(text.contains("in use"), "{text}");
    let hello = Request::Send(b"hello".to_vec());
    assert_eq!(requests(&mut server, &mut first, b"hello"), [hello]);
}

#[test]
fn when_a_client_goes_its_lines_go_off_and_the_next_can_come() {
    let (mut server, mut client) = connect();
    requests(&mut server, &mut client, &com_port(5, &[11]));
    drop(client);
    let mut seen = Vec::new();
    while server.client.is_some() {
        seen.extend(step(&mut server));
    }
    assert_eq!(seen, [Request::Lines(Lines::default()), Request::Baud(DEFAULT_BAUD)]);
    let mut next = TcpStream::connect(server.address().unwrap()).unwrap();
    while server.client.is_none() {
        step(&mut server);
    }
    assert_eq!(requests(&mut server, &mut next, b""), []);
}

/// Bytes of all kinds, mostly commands, end no connection and ask for no memory.
#[test]
fn survives_garbage() {
    let (mut server, mut client) = connect();
    let mut state = 1_u32;
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..1000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let byte = (state >> 24) as u8;
                if byte < 100 {
                    [IAC, SB, SE, COM_PORT, 5, 253][usize::from(byte) % 6]
                } else {
                    byte
                }
            })
            .collect();
        client.write_all(&bytes).unwrap();
        step(&mut server);
        client.set_nonblocking(true).unwrap();
        while client.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        client.set_nonblocking(false).unwrap();
    }
    // Whatever state the garbage left, this ends it.
    let end = [[IAC, SE], [IAC, SE]].concat();
    client.write_all(&end).unwrap();
    requests(&mut server, &mut client, &com_port(1, &[0; 4]));
    assert!(server.client.is_some());
}

/// A client that sends commands and never reads the answers is not read any more.
#[test]
fn answers_that_nobody_reads_are_bounded() {
    let (mut server, mut client) = connect();
    client.set_nonblocking(true).unwrap();
    let commands = com_port(5, &[7]).repeat(1000);
    let mut stuck = 0;
    while stuck < 3 {
        if client.write(&commands).is_err() {
            stuck += 1;
        }
        server.service().unwrap();
        assert!(server.client.as_ref().unwrap().wire.len() < 2 * WIRE + 64 * 1024);
    }
}
