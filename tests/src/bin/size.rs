//! Measures what `ota-core` costs on the device: code size and worst-case stack.
//!
//! Builds the program in `ota-core/size` for `riscv32imc-unknown-none-elf`, then reads the linked ELF
//! file: the code is the sum of its sections without the program's own harness; the stack is the
//! deepest path through the call graph below any operation, both taken from the machine code. Exits
//! with 1 when a limit is exceeded, the stack has no known bound, or code that panics was linked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cutpoint_tests::machine_code::{CallGraph, Function, functions};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, SectionFlags, elf};

/// Most bytes that code and constants may take. The aim is 16 KiB; this keeps what was reached.
const CODE_LIMIT: u64 = 20 * 1024;
/// Most bytes of stack that the deepest call may take.
const STACK_LIMIT: u64 = 2 * 1024;

/// How firmware for a small chip is built: with the rounds of SHA-256 in a loop. The default unrolls
/// them, which takes 12 KiB.
const RUSTFLAGS: &str = "--cfg sha2_backend_soft=\"compact\"";

/// Entry point of the measured program.
const ENTRY: &str = "_start";

/// The flash driver that the measured program pretends to have.
const DRIVER: &str = "ota_core_size::harness::";

/// The operations that an application calls. What the optimiser moved out of the crate into its callers
/// is here.
const OPERATIONS: &str = "ota_core_size::operation::";

/// How many functions the report lists by size.
const LARGEST: usize = 12;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let bytes = fs::read(build_program()?)?;
    let file = ElfFile32::parse(bytes.as_slice())?;
    let code_fits = report_code(&file)?;
    println!();
    let stack_fits = report_stack(&file)?;
    Ok(if code_fits && stack_fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Links the program and returns the path of the ELF file.
fn build_program() -> Result<PathBuf, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target/size");
    let status = Command::new(root.join("scripts/riscv"))
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(root.join("ota-core/size/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()?;
    if !status.success() {
        return Err(format!("could not build ota-core/size: {status}").into());
    }
    Ok(target.join("riscv32imc-unknown-none-elf/release/ota-core-size"))
}

type Elf<'a> = ElfFile32<'a>;

/// Prints what fills the code and constant sections, by crate; true when it is within the limit.
fn report_code(file: &Elf<'_>) -> Result<bool, Box<dyn Error>> {
    let mut total = 0;
    let mut parts = BTreeMap::<String, u64>::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        // Nothing on the device unwinds, so firmware leaves the unwind tables out.
        if !sh_flags.contains(elf::SHF_ALLOC) || section.name()? == ".eh_frame" {
            continue;
        }
        total += section.size();
        if !sh_flags.contains(elf::SHF_EXECINSTR) {
            *parts.entry(section.name()?.to_owned()).or_default() += section.size();
        }
    }
    let mut functions = functions(file)?;
    for function in functions.iter().filter(|function| is_harness(function)) {
        total -= function.code.len() as u64;
    }
    functions.retain(|function| !is_harness(function));
    for function in &functions {
        *parts.entry(origin(function)).or_default() += function.code.len() as u64;
    }
    println!("code and constants: {total} bytes (limit {CODE_LIMIT})");
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
    for (name, size) in parts {
        println!("{size:>8}  {name}");
    }
    println!("largest functions:");
    functions.sort_by_key(|function| std::cmp::Reverse(function.code.len()));
    for function in functions.iter().take(LARGEST) {
        println!("{:>8}  {}", function.code.len(), function.name);
    }
    Ok(total < CODE_LIMIT)
}

/// Prints the deepest path of calls; true when it is known and within the limit.
fn report_stack(file: &Elf<'_>) -> Result<bool, Box<dyn Error>> {
    let mut graph = CallGraph::default();
    for function in functions(file)?.into_iter().filter(|function| function.name != ENTRY) {
        graph.add(&function)?;
    }
    let path = graph.deepest(OPERATIONS);
    let total = path.stack();
    println!("stack of the deepest path: {total} bytes (limit {STACK_LIMIT})");
    for node in &path.nodes {
        println!("{:>8}  {}", node.frame, node.name);
    }
    for name in graph.callers_of("core::panicking::") {
        println!("error: may panic: {name}");
    }
    for name in &graph.computed_jumps {
        println!("note: computed jump, taken for a switch inside {name}");
    }
    for name in &graph.indirect_calls {
        println!("error: indirect call, stack unknown, in {name}");
    }
    for name in path.recursive.iter().chain(&path.outside) {
        println!("error: recursion or unknown callee, stack unknown, in {name}");
    }
    let known = path.recursive.is_empty() && path.outside.is_empty();
    let panics = graph.callers_of("core::panicking::").next().is_some();
    Ok(!panics && known && graph.indirect_calls.is_empty() && total < STACK_LIMIT)
}

/// What the report calls the origin of a function.
fn origin(function: &Function<'_>) -> String {
    if function.path().starts_with(OPERATIONS) {
        return "ota_core, inlined into its callers".to_owned();
    }
    function.origin().to_owned()
}

/// Whether the function is part of the measured program and not of what it measures.
fn is_harness(function: &Function<'_>) -> bool {
    function.path() == ENTRY || function.path().starts_with(DRIVER)
}
