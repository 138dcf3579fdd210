//! Turns the build options into what the program can read, and hands the linker its script.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `FW_VERSION` | version in the application description, at most 31 bytes | the crate's |
//! | `FW_POLICY` | what the firmware does about its own confirmation, see `policy.rs` | `when-told` |
//! | `FW_FILL` | bytes behind the code that make the image longer | 0 |

use std::path::PathBuf;
use std::{env, fs};

const POLICIES: [&str; 5] = ["at-once", "when-told", "never", "crash", "hang"];

/// Size of a flash sector, in bytes.
const SECTOR: usize = 4096;

fn main() {
    let version = option("FW_VERSION", &env::var("CARGO_PKG_VERSION").expect("set by cargo"));
    assert!((1..32).contains(&version.len()), "FW_VERSION must have 1 to 31 bytes");
    println!("cargo:rustc-env=FW_VERSION={version}");

    let policy = option("FW_POLICY", "when-told");
    assert!(POLICIES.contains(&policy.as_str()), "FW_POLICY must be one of {POLICIES:?}");
    println!("cargo:rustc-env=FW_POLICY={policy}");

    println!("cargo:rustc-link-arg=-Tlinkall.x");
    let length = option("FW_FILL", "0").parse().expect("FW_FILL must be a number of bytes");
    if length > 0 {
        let folder = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
        fs::write(folder.join("fill.x"), fill(length)).expect("OUT_DIR is writable");
        println!("cargo:rustc-link-arg=-T{}/fill.x", folder.display());
    }
    println!("cargo:rerun-if-changed=build.rs");
}

fn option(name: &str, default: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Linker script that adds bytes behind the code, where the image ends. Each stretch as long as a flash
/// sector starts with its own number, so that no two sectors are alike.
fn fill(length: usize) -> String {
    let mut script = String::from("SECTIONS {\n  .fill : ALIGN(4) {\n");
    for start in (0..length).step_by(SECTOR) {
        let rest = SECTOR.min(length - start).saturating_sub(4);
        script += &format!("    LONG({}) . += {rest};\n", start / SECTOR);
    }
    script + "  } > ROTEXT =0xA5C35A3C\n} INSERT AFTER .text;\n"
}
