//! Firmware with two tasks on Embassy's executor and timers, on top of `esp-rtos`.
//!
//! One task prints the time at which it woke every 100 ms, the other how often it woke every 250 ms.
#![no_std]
#![no_main]

use embassy_executor::Spawner;
use embassy_time::{Duration, Instant, Ticker, Timer};
use esp_backtrace as _;
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;

esp_bootloader_esp_idf::esp_app_desc!(
    "1.0.0",
    "foreign-embassy",
    "00:00:00",
    "Jan  1 2026",
    "esp-hal",
    esp_bootloader_esp_idf::MMU_PAGE_SIZE,
    0,
    u16::MAX,
    0
);

#[embassy_executor::task]
async fn clock() {
    let mut ticker = Ticker::every(Duration::from_millis(100));
    loop {
        ticker.next().await;
        println!("clock {}", Instant::now().as_micros());
    }
}

#[esp_hal::main]
async fn main(spawner: Spawner) {
    let peripherals = esp_hal::init(esp_hal::Config::default());
    let timg0 = TimerGroup::new(peripherals.TIMG0);
    esp_rtos::start(timg0.timer0, peripherals.FROM_CPU_INTR0);
    println!("started");

    spawner.spawn(clock().unwrap());

    let mut count = 0;
    loop {
        Timer::after(Duration::from_millis(250)).await;
        count += 1;
        println!("counter {count}");
    }
}
