//! Arguments, output and exit status.

use super::program::{DOWNLOAD, run, run_in};
use std::process::Output;
use tempfile::TempDir;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The message of a run that must fail because of its arguments.
fn complaint(directory: &TempDir, arguments: &[&str]) -> String {
    let output = run_in(directory, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(stdout(&output), "", "it ran");
    message
}

#[test]
fn the_console_shows_what_the_rom_prints() {
    let output = run(&["--strap", "download", "--until", "download\r\n", "--for", "1s"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), (DOWNLOAD, Some(0)));
}

#[test]
fn a_text_that_does_not_come_in_time_is_status_1() {
    let output = run(&["--strap", "download", "--until", "Hello", "--for", "50ms"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), (DOWNLOAD, Some(1)));
    let output = run(&["--strap", "download", "--for", "50ms"]);
    assert_eq!((stdout(&output).as_str(), output.status.code()), (DOWNLOAD, Some(0)));
}

#[test]
fn the_same_arguments_give_the_same_run() {
    let arguments = ["--for", "2s", "--seed", "7", "--cut", "time=500ms", "--cut", "command=40"];
    let [first, second] = [run(&arguments), run(&arguments)];
    assert!(first.status.success());
    assert!(stdout(&first).contains("invalid header: 0xffffffff"), "{}", stdout(&first));
    assert_eq!(first, second);
}

#[test]
fn every_kind_of_cut_starts_the_board_again() {
    let boots = |cuts: &[&str]| {
        let mut arguments = vec!["--strap", "flash", "--for", "100ms"];
        arguments.extend(cuts.iter().flat_map(|cut| ["--cut", cut]));
        let output = run(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).matches("power lost at").count();
        (stdout(&output).matches("(POWERON)").count(), told)
    };
    assert_eq!(boots(&[]), (1, 0));
    assert_eq!(boots(&["time=50ms"]), (2, 1));
    assert_eq!(boots(&["command=1"]), (2, 1));
    assert_eq!(boots(&["console=invalid header"]), (2, 1));
    // The reset vector: power goes before anything is printed.
    assert_eq!(boots(&["pc=0x40000000"]), (1, 1));
    assert_eq!(boots(&["time=20ms", "console=invalid header", "time=80ms"]), (4, 3));
}

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("flash.bin");
    std::fs::write(&file, [0xE9; 1000]).unwrap();
    assert!(complaint(&directory, &[]).contains("flash.bin: has 1000 bytes, but a flash chip has"));
    std::fs::write(&file, b"\x7FELF").unwrap();
    assert!(complaint(&directory, &[]).contains("flash.bin: is an ELF file"));
    std::fs::remove_file(&file).unwrap();
    assert!(complaint(&directory, &["--part", "W25Q1"]).contains("W25Q32JV"));
    assert!(complaint(&directory, &["--cut", "operation=x"]).contains("'x' is no number"));
    assert!(complaint(&directory, &["--cut", "pc=main"]).contains("no symbol 'main'"));
    assert!(complaint(&directory, &["--for", "soon"]).contains("'soon' is no duration"));
    std::fs::write(directory.path().join("taken"), "").unwrap();
    assert!(complaint(&directory, &["--port", "taken"]).contains("taken: exists"));
    assert!(complaint(&directory, &["--elf", "taken"]).contains("taken: is no ELF file"));
    // An executable for Xtensa, the instruction set of the ESP32-S3.
    let mut elf = [&b"\x7FELF\x01\x01\x01"[..], &[0; 45]].concat();
    (elf[16], elf[18], elf[20], elf[40]) = (2, 94, 1, 52);
    std::fs::write(directory.path().join("s3.elf"), &elf).unwrap();
    let message = complaint(&directory, &["--elf", "s3.elf"]);
    assert!(message.contains("s3.elf: is for Xtensa"), "{message}");
    assert!(!file.exists(), "a refused run leaves a flash file behind");
}

#[test]
fn random_flash_contents_are_warned_of_and_do_no_harm() {
    let directory = TempDir::new().unwrap();
    let mut bytes = vec![0; 4 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    std::fs::write(directory.path().join("flash.bin"), &bytes).unwrap();
    let output = run_in(&directory, &["--for", "1s", "--trace", "flash", "--unimplemented"]);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains("there is no bootloader at offset 0"), "{messages}");
    assert!(stdout(&output).contains("invalid header"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(std::fs::read(directory.path().join("flash.bin")).unwrap(), bytes);
}
