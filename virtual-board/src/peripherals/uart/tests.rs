use super::*;

/// A SYNC request of the serial loader, framed (esptool documentation, "Serial Protocol").
fn sync() -> Vec<u8> {
    let mut frame = vec![0xC0, 0x00, 0x08, 0x24, 0, 0, 0, 0, 0, 0x07, 0x07, 0x12, 0x20];
    frame.extend([0x55; 32]);
    frame.push(0xC0);
    frame
}

/// A UART as the ROM sets it up: 115200 from the crystal.
fn uart(pacing: Pacing) -> Uart {
    let mut uart = Uart::new(0, pacing);
    for (offset, value) in
        [(CLK_CONF, 0x0340_0000), (CLK_CONF, 0x0370_0000), (CLKDIV, 0x0030_015B), (CONF1, 0xC001)]
    {
        write(&mut uart, offset, value, Ticks(0));
    }
    uart
}

fn read(uart: &mut Uart, offset: u32, now: Ticks) -> u32 {
    uart.advance(now);
    uart.read(offset, now).expect("known register")
}

fn write(uart: &mut Uart, offset: u32, value: u32, now: Ticks) {
    uart.advance(now);
    uart.write(offset, value, now).expect("known register");
}

/// Runs the UART until nothing is due.
fn run(uart: &mut Uart) -> Ticks {
    let mut now = Ticks(0);
    while let Some(event) = uart.next_event() {
        assert!(event > now || now == Ticks(0), "time stands still at {now:?}");
        now = event;
        uart.advance(now);
    }
    now
}

fn drain(uart: &mut Uart, now: Ticks) -> Vec<u8> {
    let mut bytes = Vec::new();
    while read(uart, STATUS, now) & 0x3FF != 0 {
        bytes.push(read(uart, FIFO, now) as u8);
    }
    bytes
}

const FRAME: u64 = 10 * Ticks::PER_SECOND / 115_200;

#[test]
fn the_rom_finds_the_rate_of_a_sync() {
    for (pacing, divider) in [
        (Pacing::Turbo, 5552),
        (Pacing::Baud(115_200), 5552),
        (Pacing::Baud(230_400), 8 * (172 + 172) + 16),
    ] {
        let mut uart = uart(pacing);
        write(&mut uart, 0x18, 0x104, Ticks(0));
        let config = read(&mut uart, CONF0, Ticks(0));
        write(&mut uart, CONF0, config | CONF0_AUTOBAUD, Ticks(0));
        assert_eq!(read(&mut uart, RXD_CNT, Ticks(0)), 0);
        assert_eq!(read(&mut uart, LOWPULSE, Ticks(0)), 0xFFF);

        uart.receive(&sync(), Ticks(0));
        let now = run(&mut uart);
        assert!(read(&mut uart, RXD_CNT, now) >= 128);
        let pulses = read(&mut uart, LOWPULSE, now) + read(&mut uart, HIGHPULSE, now);
        assert_eq!(8 * pulses + 16, divider, "{pacing:?}");
        if pacing != Pacing::Baud(230_400) {
            assert_eq!(drain(&mut uart, now), sync());
        }

        write(&mut uart, CONF0, config, now);
        uart.receive(&sync(), now);
        let edges = read(&mut uart, RXD_CNT, now);
        let now = run(&mut uart);
        assert_eq!(read(&mut uart, RXD_CNT, now), edges, "counted while off");
        write(&mut uart, CONF0, config | CONF0_AUTOBAUD, now);
        assert_eq!(read(&mut uart, RXD_CNT, now), 0);
    }
}

#[test]
fn a_received_byte_interrupts_until_it_is_read() {
    let mut uart = uart(Pacing::Turbo);
    uart.receive(b"ab", Ticks(0));
    let now = run(&mut uart);
    assert_eq!(read(&mut uart, INT_RAW, now) & RX_FULL, RX_FULL);
    assert_eq!((read(&mut uart, INT_ST, now), uart.interrupts()), (0, 0));
    write(&mut uart, INT_ENA, RX_FULL, now);
    assert_eq!((read(&mut uart, INT_ST, now), uart.interrupts()), (RX_FULL, 1 << 21));

    write(&mut uart, INT_CLR, RX_FULL, now);
    assert_eq!(read(&mut uart, INT_ST, now), RX_FULL, "the bytes are still there");
    assert_eq!(drain(&mut uart, now), b"ab");
    write(&mut uart, INT_CLR, RX_FULL, now);
    assert_eq!((read(&mut uart, INT_ST, now), uart.interrupts()), (0, 0));

    let mut second = Uart::new(1, Pacing::Turbo);
    second.write(INT_ENA, TX_EMPTY, now).expect("known");
    assert_eq!(second.interrupts(), 1 << 22);
}

#[test]
fn the_threshold_decides_when_the_receiver_is_full() {
    let mut uart = uart(Pacing::Turbo);
    write(&mut uart, CONF1, 0xC003, Ticks(0));
    uart.receive(b"abc", Ticks(0));
    for expected in [0, 0, RX_FULL] {
        let now = uart.next_event().expect("a byte is on its way");
        assert_eq!(read(&mut uart, INT_RAW, now) & RX_FULL, expected);
    }
}

#[test]
fn turbo_bytes_come_faster_to_software_that_polls() {
    for (enabled, cycles) in [(0, 64), (TX_EMPTY, 64), (RX_FULL, 256), (RX_TIMEOUT, 256)] {
        let mut uart = uart(Pacing::Turbo);
        uart.set_cpu_cycle(3);
        write(&mut uart, INT_ENA, enabled, Ticks(0));
        uart.receive(b"a", Ticks(1000));
        assert_eq!(uart.next_event(), Some(Ticks(1000 + 3 * cycles)), "{enabled:#x}");
    }
}

#[test]
fn turbo_bytes_come_every_256_cycles_and_wait_for_room() {
    let mut uart = uart(Pacing::Turbo);
    uart.set_cpu_cycle(3);
    write(&mut uart, INT_ENA, RX_FULL, Ticks(0));
    let start = Ticks(1000);
    uart.receive(&[1; 300], start);
    uart.advance(start + 767);
    assert_eq!(uart.status() & 0x3FF, 0);
    uart.advance(start + 768);
    assert_eq!(uart.status() & 0x3FF, 1);
    let late = start + 1_000_000;
    uart.advance(late);
    assert_eq!((uart.status() & 0x3FF, uart.next_event()), (128, None));

    // Room does not bring the next byte at once: software needs its time for each.
    read(&mut uart, FIFO, late);
    assert_eq!(read(&mut uart, STATUS, late) & 0x3FF, 127);
    assert_eq!(uart.next_event(), Some(late + 768));
    let mut bytes = 1;
    let mut now = late;
    while bytes < 300 {
        bytes += drain(&mut uart, now).len();
        now = uart.next_event().unwrap_or(now);
    }
    assert_eq!((bytes, read(&mut uart, INT_RAW, now) & RX_OVERFLOW), (300, 0));
}

#[test]
fn an_honoured_line_takes_its_time_and_overflows() {
    let mut uart = uart(Pacing::Baud(115_200));
    uart.receive(&[7; 130], Ticks(0));
    assert_eq!(uart.next_event(), Some(Ticks(FRAME)));
    uart.advance(Ticks(128 * FRAME));
    assert_eq!((uart.status() & 0x3FF, uart.raw & RX_OVERFLOW), (128, 0));
    uart.advance(Ticks(129 * FRAME));
    assert_eq!((uart.status() & 0x3FF, uart.raw & RX_OVERFLOW), (128, RX_OVERFLOW));
    assert_eq!(run(&mut uart), Ticks(130 * FRAME));
}

#[test]
fn a_wrong_rate_damages_what_arrives_and_what_leaves() {
    let hello = b"Hello, world!";
    for (host, understood) in [(115_200, true), (112_000, true), (57_600, false), (921_600, false)]
    {
        let mut uart = uart(Pacing::Baud(host));
        uart.receive(hello, Ticks(0));
        let now = run(&mut uart);
        assert_eq!(drain(&mut uart, now) == hello, understood, "to the chip at {host}");

        for &byte in hello {
            write(&mut uart, FIFO, byte.into(), now);
        }
        run(&mut uart);
        assert_eq!(uart.take_output() == hello, understood, "to the host at {host}");
    }
    let mut uart = uart(Pacing::Baud(9600));
    uart.receive(&[0], Ticks(0));
    let now = run(&mut uart);
    assert_eq!(read(&mut uart, INT_RAW, now) & FRAME_ERROR, FRAME_ERROR);
    assert_eq!(drain(&mut uart, now), [0]);
    write(&mut uart, CONF0, CONF0_DISCARD_DAMAGED, now);
    uart.receive(&[0], now);
    let now = run(&mut uart);
    assert_eq!(drain(&mut uart, now), b"");
}

#[test]
fn rates_follow_clock_and_divider() {
    let mut uart = uart(Pacing::Turbo);
    assert_eq!(uart.rate(), 115_211);
    // APB, as esp-hal and ESP-IDF use it: 80 MHz as long as the CPU is not slower.
    write(&mut uart, CLK_CONF, 0x0350_0000, Ticks(0));
    uart.set_cpu_cycle(3);
    assert_eq!(uart.rate(), 230_423);
    uart.set_cpu_cycle(12);
    assert_eq!(uart.rate(), 115_211);
    write(&mut uart, CLK_CONF, 0x0370_1000, Ticks(0));
    assert_eq!(uart.rate(), 57_605);
    write(&mut uart, CLKDIV, 0, Ticks(0));
    assert_eq!(uart.rate(), 20_000_000);
}

#[test]
fn bytes_that_wait_too_long_time_out_once() {
    let mut uart = uart(Pacing::Baud(115_200));
    // 20 bit times; interrupt at 100 bytes.
    write(&mut uart, MEM_CONF, 20 << 16 | 0x12, Ticks(0));
    write(&mut uart, CONF1, CONF1_RX_TIMEOUT | 100, Ticks(0));
    write(&mut uart, INT_ENA, RX_TIMEOUT | RX_FULL, Ticks(0));
    uart.receive(b"abc", Ticks(0));
    uart.advance(Ticks(3 * FRAME));
    assert_eq!(uart.interrupts(), 0, "a byte followed in time");
    let due = uart.next_event().expect("a timeout");
    assert!(due.0.abs_diff(5 * FRAME) < 100, "{due:?}");
    uart.advance(due);
    assert_eq!((read(&mut uart, INT_ST, due), uart.interrupts()), (RX_TIMEOUT, 1 << 21));

    write(&mut uart, INT_CLR, RX_TIMEOUT, due);
    assert_eq!((uart.interrupts(), uart.next_event()), (0, None));
    assert_eq!(drain(&mut uart, due), b"abc");

    // Software that reads in time sees no timeout.
    uart.receive(b"d", due);
    let now = uart.next_event().expect("the byte");
    assert_eq!(drain(&mut uart, now), b"d");
    assert_eq!(uart.next_event(), None);
}

#[test]
fn a_timeout_between_two_bytes_is_not_missed() {
    let mut uart = uart(Pacing::Baud(115_200));
    write(&mut uart, MEM_CONF, 5 << 16 | 0x12, Ticks(0));
    write(&mut uart, CONF1, CONF1_RX_TIMEOUT | 100, Ticks(0));
    uart.receive(b"ab", Ticks(0));
    uart.advance(Ticks(2 * FRAME));
    assert_eq!(uart.raw & RX_TIMEOUT, RX_TIMEOUT);
}

#[test]
fn turbo_output_leaves_at_once() {
    let mut uart = uart(Pacing::Turbo);
    for &byte in b"rst:0x1" {
        write(&mut uart, FIFO, byte.into(), Ticks(0));
        assert_eq!(read(&mut uart, STATUS, Ticks(0)) >> 16 & 0x3FF, 0);
        assert_eq!(read(&mut uart, FSM_STATUS, Ticks(0)), 0);
    }
    assert_eq!(read(&mut uart, INT_RAW, Ticks(0)), TX_EMPTY | TX_DONE);
    assert_eq!(uart.take_output(), b"rst:0x1");
    assert_eq!(uart.take_output(), b"");
}

#[test]
fn honoured_output_passes_through_the_fifo() {
    let mut uart = uart(Pacing::Baud(115_200));
    write(&mut uart, CONF1, 2 << 9 | 1, Ticks(0));
    for byte in b"abcd" {
        write(&mut uart, FIFO, u32::from(*byte), Ticks(0));
    }
    write(&mut uart, INT_CLR, TX_EMPTY, Ticks(0));
    assert_eq!(read(&mut uart, STATUS, Ticks(0)) >> 16 & 0x3FF, 3);
    assert_ne!(read(&mut uart, FSM_STATUS, Ticks(0)) & 0xF0, 0);
    assert_eq!(read(&mut uart, INT_RAW, Ticks(0)), 0);

    // "a" has left, "b" is leaving, two are waiting.
    let now = uart.next_event().expect("a byte leaves");
    assert!(now.0.abs_diff(FRAME) < 100, "{now:?}");
    uart.advance(now);
    assert_eq!((uart.take_output(), uart.raw), (b"a".to_vec(), 0));
    let now = uart.next_event().expect("a byte leaves");
    uart.advance(now);
    assert_eq!((uart.take_output(), uart.raw), (b"b".to_vec(), TX_EMPTY));
    let now = run(&mut uart);
    assert_eq!((uart.take_output(), uart.raw), (b"cd".to_vec(), TX_EMPTY | TX_DONE));
    assert!(now.0.abs_diff(4 * FRAME) < 400, "{now:?}");
    assert_eq!(read(&mut uart, FSM_STATUS, now), 0);

    // One more than the transmitter takes: the FIFO and the byte that is leaving.
    for _ in 0..FIFO_BYTES + 2 {
        write(&mut uart, FIFO, 0x41, now);
    }
    assert_eq!(read(&mut uart, STATUS, now) >> 16 & 0x3FF, 128);
    uart.set_pacing(Pacing::Turbo);
    assert_eq!(uart.take_output().len(), FIFO_BYTES + 1);
    assert_eq!((uart.next_event(), uart.status() >> 16 & 0x3FF), (None, 0));
}

#[test]
fn fifo_resets_empty_the_fifos() {
    let mut uart = uart(Pacing::Baud(115_200));
    uart.receive(b"abc", Ticks(0));
    let now = run(&mut uart);
    for byte in 0..5 {
        write(&mut uart, FIFO, byte, now);
    }
    let config = read(&mut uart, CONF0, now);
    write(&mut uart, CONF0, config | CONF0_RX_RESET, now);
    assert_eq!(read(&mut uart, STATUS, now) & 0x03FF_03FF, 4 << 16);
    write(&mut uart, CONF0, config | CONF0_TX_RESET, now);
    assert_eq!(read(&mut uart, STATUS, now) & 0x03FF_03FF, 0);
    assert_eq!((read(&mut uart, FSM_STATUS, now), uart.next_event()), (0, None));
}

#[test]
fn register_updates_finish_at_once() {
    let mut uart = uart(Pacing::Turbo);
    write(&mut uart, ID, ID_UPDATE | 0x500, Ticks(0));
    assert_eq!(read(&mut uart, ID, Ticks(0)), 0x500);
    assert_eq!(uart.read(0x84, Ticks(0)), None);
}

#[test]
fn polls_count_until_a_byte_passes() {
    let mut uart = uart(Pacing::Turbo);
    for _ in 0..5 {
        read(&mut uart, STATUS, Ticks(0));
        read(&mut uart, RXD_CNT, Ticks(0));
    }
    assert_eq!(uart.idle_polls(), 10);
    write(&mut uart, FIFO, 0x41, Ticks(0));
    assert_eq!(uart.idle_polls(), 0);
    read(&mut uart, STATUS, Ticks(0));
    assert_eq!(uart.idle_polls(), 1);
    uart.receive(b"a", Ticks(0));
    assert_eq!(uart.idle_polls(), 0, "a byte is on its way");
    let now = run(&mut uart);
    read(&mut uart, STATUS, now);
    assert_eq!(uart.idle_polls(), 0, "a byte waits");
    drain(&mut uart, now);
    assert_eq!(uart.idle_polls(), 1);
}

#[test]
fn a_reset_spares_what_is_outside_the_chip() {
    let mut uart = uart(Pacing::Baud(115_200));
    uart.receive(b"abc", Ticks(0));
    uart.advance(Ticks(FRAME));
    write(&mut uart, FIFO, 0x41, Ticks(FRAME));
    write(&mut uart, INT_ENA, u32::MAX, Ticks(FRAME));
    uart.advance(Ticks(2 * FRAME + FRAME / 2));
    let output = uart.output.clone();

    let mut other = uart.clone();
    other.reset(ResetCause::SoftwareCpu, Ticks(2 * FRAME + FRAME / 2));
    assert_eq!(other.received, *b"ab");

    uart.reset(ResetCause::TimerGroup0, Ticks(2 * FRAME + FRAME / 2));
    assert_eq!((uart.received.len(), uart.interrupts()), (0, 0));
    assert_eq!(uart.registers.get(CONF1), 0xC060);
    assert_eq!(uart.take_output(), output);
    assert_eq!(uart.next_event(), Some(Ticks(3 * FRAME)), "the third byte is on its way");
}
