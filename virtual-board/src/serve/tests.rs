//! A board that a thread serves, and a client at its port.

use super::{Next, Served};
use crate::board::{Board, Config, Strap};
use crate::time::Ticks;
use sim::flash::{Memory, Part};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

fn board() -> Board {
    let part = &Part::ALL[0];
    let mut board = Board::new(Config::new(part, Memory::erased(part.capacity))).expect("a board");
    board.set_strap(Strap::Download);
    board
}

fn client(served: &Served) -> File {
    let client = OpenOptions::new().read(true).write(true).open(served.port()).expect("a port");
    // The board has noticed it when it has done something else.
    served.with(|_| ()).expect("served");
    client
}

fn read_until(client: &mut File, text: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(text.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("bytes");
        read.extend(byte);
    }
    String::from_utf8_lossy(&read).into_owned()
}

const WAITS: &str = "waiting for download\r\n";

#[test]
fn the_chip_speaks_from_the_first_byte_and_is_listened_to() {
    let served = Served::start(board(), |_, _, _| Next::Run).expect("served");
    let mut client = client(&served);
    served.with(Board::power_on).expect("served");
    let banner = read_until(&mut client, WAITS);
    assert!(banner.starts_with("ESP-ROM:esp32c3"), "{banner}");
    // The bytes are counted after they are passed on.
    served.with(|_| ()).expect("served");
    assert_eq!(served.sent(), banner.len() as u64);
    // A SYNC request of the serial loader, and the start of its answer.
    let mut sync = vec![0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20];
    sync.extend([0x55; 32]);
    sync.push(0xC0);
    let mut listener = client.try_clone().expect("a port");
    let (answered, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4];
        listener.read_exact(&mut bytes).expect("an answer");
        let _ = answered.send(bytes);
    });
    // The loader clears its queue once more before it listens, so all clients repeat this request.
    let answer = loop {
        client.write_all(&sync).expect("a port");
        match answer.recv_timeout(Duration::from_millis(500)) {
            Err(RecvTimeoutError::Timeout) => {}
            answer => break answer.expect("an answer"),
        }
    };
    assert_eq!(answer, [0xC0, 1, 8, 4]);
}

#[test]
fn a_watcher_sees_all_and_holds_the_board() {
    let (lines, seen) = mpsc::channel();
    let watch = move |_: &mut Board, _, output: &[u8]| {
        let holds = output.contains(&b'\n');
        // The test has ended.
        let _ = lines.send(output.to_vec());
        if holds { Next::Hold } else { Next::Run }
    };
    let served = Served::start(board(), watch).expect("served");
    let mut client = client(&served);
    served.with(Board::power_on).expect("served");
    let line = read_until(&mut client, "\n");
    while !served.is_held() {
        std::thread::yield_now();
    }
    let (now, sent) = (served.now(), served.sent());
    assert!(sent >= line.len() as u64);
    let told: Vec<u8> = seen.try_iter().flatten().collect();
    assert!(told.starts_with(line.as_bytes()));
    assert_eq!(told.len() as u64, sent);
    served.with(|_| ()).expect("served");
    assert_eq!((served.now(), served.sent()), (now, sent), "it does not stand still");
    served.release().expect("served");
    read_until(&mut client, "\n");
    served.with(|_| ()).expect("served");
    assert!(served.now() > now);
}

#[test]
fn simulated_time_does_not_wait_for_who_waits() {
    let served = Served::start(board(), |_, _, _| Next::Run).expect("served");
    let mut client = client(&served);
    served.with(Board::power_on).expect("served");
    let banner = read_until(&mut client, WAITS);
    served.with(|_| ()).expect("served");
    // Ten minutes: in real time the test would not end.
    let until = served.now() + 600 * Ticks::PER_SECOND;
    served.expedite(until, banner.len() as u64);
    while served.now() < until {
        std::thread::yield_now();
    }
}

#[test]
fn an_adapter_that_is_pulled_takes_its_port_away() {
    let served = Served::start(board(), |_, _, _| Next::Run).expect("served");
    let mut first = client(&served);
    let name = served.port();
    served.replug().expect("another port");
    assert_ne!(served.port(), name);
    assert_ne!(first.read(&mut [0]).ok(), Some(1));
    let mut second = client(&served);
    served.with(Board::power_on).expect("served");
    read_until(&mut second, WAITS);
}
