//! `clients PORT COMMAND [ARGUMENT]` sends one command of mcumgr-toolkit to the device behind a serial
//! port and prints the answer, one `key=value` line per fact. Fails with what the toolkit says.
//!
//! Commands: `echo TEXT`, `params`, `list`, `upload FILE`, `test HASH`, `confirm`, `erase SLOT`, `reset`.

use mcumgr_toolkit::MCUmgrClient;
use mcumgr_toolkit::commands::image::ImageState;
use std::error::Error;
use std::time::Duration;

/// How long the device may take for an answer: far more than it needs, on a loaded machine too.
const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [port, command @ ..] = arguments.as_slice() else { return Err("no port".into()) };
    let client = MCUmgrClient::new_from_serial(serialport::new(*port, 115_200).open()?);
    client.set_timeout(TIMEOUT)?;
    // A repeated request would hide that the first one had no answer.
    client.set_retries(0);
    match *command {
        ["echo", text] => println!("echo={}", client.os_echo(text)?),
        ["params"] => {
            let params = client.os_mcumgr_parameters()?;
            println!("buf_size={} buf_count={}", params.buf_size, params.buf_count);
        }
        ["list"] => print_images(&client.image_get_state()?),
        ["upload", file] => {
            let mut progress = |offset, _| {
                println!("offset={offset}");
                true
            };
            client.image_upload(std::fs::read(file)?, None, None, false, Some(&mut progress))?;
            println!("match=true");
        }
        ["test", hash] => print_images(&client.image_set_state(Some(&unhex(hash)?), false)?),
        ["confirm"] => print_images(&client.image_set_state(None, true)?),
        ["erase", slot] => client.image_erase(Some(slot.parse()?))?,
        ["reset"] => client.os_system_reset(false, None)?,
        _ => return Err("no such command".into()),
    }
    Ok(())
}

fn print_images(images: &[ImageState]) {
    for image in images {
        let hash: String = image.hash.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        println!(
            "slot={} version={} hash={hash} bootable={} pending={} confirmed={} active={} permanent={}",
            image.slot,
            image.version,
            image.bootable,
            image.pending,
            image.confirmed,
            image.active,
            image.permanent
        );
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let digits = |at: usize| text.get(at..at + 2).ok_or("a hash is an even number of hex digits");
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(digits(at)?, 16)?)).collect()
}
