//! Hands the linker esp-hal's script, and `byo` the image that it carries.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rustc-link-arg-bins=-Tlinkall.x");
    println!("cargo:rerun-if-changed=build.rs");
    // Without one, an empty file.
    println!("cargo:rerun-if-env-changed=BYO_NEXT");
    if env::var_os("BYO_NEXT").is_none() {
        let none = Path::new(&env::var("OUT_DIR")?).join("none");
        fs::write(&none, [])?;
        println!("cargo:rustc-env=BYO_NEXT={}", none.display());
    }
    Ok(())
}
