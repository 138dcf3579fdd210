//! Reports what the firmware takes: flash, RAM and stack, read from the ELF file that `just fw` made.
//!
//! The stack is the deepest path of direct calls below `main`. Calls through pointers (formatting) and
//! into the mask ROM are not in it and are named, so it is a lower bound; what the linker left for the
//! stack is the upper one.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cutpoint_tests::machine_code::{CallGraph, functions};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection};

/// Where the path of calls starts.
const MAIN: &str = "main";

/// What the sections of esp-hal's linker script hold.
const SECTIONS: [(&str, &[&str]); 5] = [
    ("code in flash", &[".text"]),
    ("constants in flash", &[".flash.appdesc", ".rodata"]),
    ("code in RAM", &[".trap", ".rwtext"]),
    ("variables", &[".data", ".bss", ".noinit"]),
    ("room for the stack", &[".stack"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fw/v1.0.0.elf");
    let path = env::args_os().nth(1).map_or(made, PathBuf::from);
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = ElfFile32::parse(bytes.as_slice())?;

    for (what, names) in SECTIONS {
        let sections = names.iter().filter_map(|name| file.section_by_name(name));
        println!("{:>8}  {what}", sections.map(|section| section.size()).sum::<u64>());
    }

    let mut graph = CallGraph::default();
    let mut parts = BTreeMap::<String, usize>::new();
    for function in functions(&file)? {
        graph.add(&function)?;
        *parts.entry(function.origin().to_owned()).or_default() += function.code.len();
    }
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
    println!("\ncode by crate:");
    for (origin, size) in parts {
        println!("{size:>8}  {origin}");
    }

    let path = graph.deepest(MAIN);
    println!("\nstack of the deepest path of direct calls: {} bytes", path.stack());
    for node in &path.nodes {
        println!("{:>8}  {}", node.frame, node.name);
    }
    println!(
        "not in it: calls through pointers in {} functions, recursion in {}, calls into the mask ROM \
         in {}",
        graph.indirect_calls.len(),
        path.recursive.len(),
        path.outside.len()
    );
    Ok(())
}
