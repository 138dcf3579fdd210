//! The CRC of every sequence number.

use ota_core::otadata::seq_crc;
use std::thread;
use std::time::Instant;

/// Reflected polynomial of CRC-32.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// Compares `seq_crc` with the bitwise definition for all 2^32 sequence numbers, and prints the result.
pub(crate) fn check() -> bool {
    let start = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from).next_power_of_two() as u64;
    let share = (1 << 32) / threads;
    let wrong = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| scope.spawn(move || first_wrong(worker * share, (worker + 1) * share)))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a worker ended")).min()
    });
    let seconds = start.elapsed().as_secs_f64();
    match wrong {
        None => println!("crc\t2^32 numbers tried\tproven\t{seconds:.1}"),
        Some(seq) => println!(
            "crc\t2^32 numbers tried\tFAILED\t{seconds:.1}\tseq {seq:#x}: the code says {:#010x}, the definition {:#010x}",
            seq_crc(seq),
            bitwise(seq),
        ),
    }
    wrong.is_none()
}

/// The least sequence number in the range whose CRC is wrong.
///
/// The definition is linear: flipping a bit of the input flips the same bits of the result whatever the rest
/// is. The numbers are counted up, which flips a run of low bits at a time, and so costs one XOR.
fn first_wrong(from: u64, to: u64) -> Option<u32> {
    let zero = bitwise(0);
    // What flipping the lowest `n + 1` bits flips.
    let runs: [u32; 32] = std::array::from_fn(|n| bitwise(u32::MAX >> (31 - n)) ^ zero);
    let mut crc = bitwise(from as u32);
    for seq in from..to {
        let seq = seq as u32;
        if seq_crc(seq) != crc {
            return Some(seq);
        }
        crc ^= runs[(seq.trailing_ones() as usize).min(31)];
    }
    None
}

/// The definition, bit by bit: the register starts at 0, as 0xFFFFFFFF is inverted on entry, and is inverted
/// on exit.
fn bitwise(seq: u32) -> u32 {
    let mut crc = seq;
    for _ in 0..32 {
        let carry = crc & 1;
        crc >>= 1;
        if carry == 1 {
            crc ^= POLYNOMIAL;
        }
    }
    !crc
}
