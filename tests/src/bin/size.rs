//! Measures what `ota-core` costs on the device, and what `update-agent` adds: code size, variables and
//! worst-case stack.
//!
//! Builds the program in `ota-core/size` for `riscv32imc-unknown-none-elf`, without and with the agent,
//! then reads the linked ELF files: the code is the sum of its sections without the program's own
//! harness; the stack is the deepest path through the call graph below any operation, both taken from
//! the machine code. Exits with 1 when a limit is exceeded, the stack of `ota-core` has no known bound,
//! or code that panics was linked.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use cutpoint_tests::machine_code::{CallGraph, Function, functions};
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, SectionFlags, elf};

/// Most bytes that code and constants may take. The aim is 16 KiB; this keeps what was reached.
const CODE_LIMIT: u64 = 20 * 1024;
/// Most bytes of stack that the deepest call may take.
const STACK_LIMIT: u64 = 2 * 1024;

/// Most bytes of code and constants that the agent may add. The aim is 16 KiB; this keeps what was
/// reached.
const AGENT_CODE_LIMIT: u64 = 24 * 1024;
/// Most bytes of variables that the agent may have, its packet buffers included.
const AGENT_RAM_LIMIT: u64 = 4 * 1024;

/// How firmware for a small chip is built: with the rounds of SHA-256 in a loop. The default unrolls
/// them, which takes 12 KiB.
const RUSTFLAGS: &str = "--cfg sha2_backend_soft=\"compact\"";

/// Feature of the measured program that puts the agent on top.
const AGENT_FEATURE: &str = "agent";

/// Entry point of the measured program.
const ENTRY: &str = "_start";

/// The flash driver and the board that the measured program pretends to have.
const HARNESS: [&str; 2] = ["ota_core_size::harness::", "ota_core_size::agent::harness::"];

/// What feeds the agent.
const AGENT: &str = "ota_core_size::agent::run";

/// The operations that an application calls. What the optimiser moved out of the crate into its callers
/// is here.
const OPERATIONS: &str = "ota_core_size::operation::";

/// How many functions the report lists by size.
const LARGEST: usize = 12;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let core = build_program(None)?;
    let core = ElfFile32::parse(core.as_slice())?;
    let core_code = Code::read(&core)?;
    println!("ota-core: code and constants: {} bytes (limit {CODE_LIMIT})", core_code.size);
    core_code.print();
    println!();
    let stack_fits = report_stack(&core)?;

    let agent = build_program(Some(AGENT_FEATURE))?;
    let agent = ElfFile32::parse(agent.as_slice())?;
    let agent_code = Code::read(&agent)?;
    let agent_fits = report_agent(&core_code, &agent_code)?;

    let fits = core_code.size < CODE_LIMIT && stack_fits && agent_fits;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Links the program and returns the ELF file.
fn build_program(feature: Option<&str>) -> Result<Vec<u8>, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target/size");
    let status = Command::new(root.join("scripts/riscv"))
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(root.join("ota-core/size/Cargo.toml"))
        .args(feature.map(|feature| format!("--features={feature}")))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()?;
    if !status.success() {
        return Err(format!("could not build ota-core/size: {status}").into());
    }
    Ok(fs::read(target.join("riscv32imc-unknown-none-elf/release/ota-core-size"))?)
}

type Elf<'a> = ElfFile32<'a>;

/// What the program consists of, without its harness.
struct Code<'a> {
    /// Bytes of code and constants.
    size: u64,
    /// Bytes of variables.
    ram: u64,
    /// Bytes of code by crate, and of each section of constants.
    parts: BTreeMap<String, u64>,
    /// The functions, the largest first.
    functions: Vec<Function<'a>>,
}

impl<'a> Code<'a> {
    fn read(file: &Elf<'a>) -> Result<Self, Box<dyn Error>> {
        let (mut size, mut ram) = (0, 0);
        let mut parts = BTreeMap::<String, u64>::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            // Nothing on the device unwinds, so firmware leaves the unwind tables out.
            if !sh_flags.contains(elf::SHF_ALLOC) || section.name()? == ".eh_frame" {
                continue;
            }
            if sh_flags.contains(elf::SHF_WRITE) {
                ram += section.size();
                continue;
            }
            size += section.size();
            if !sh_flags.contains(elf::SHF_EXECINSTR) {
                *parts.entry(section.name()?.to_owned()).or_default() += section.size();
            }
        }
        let mut functions = functions(file)?;
        for function in functions.iter().filter(|function| is_harness(function)) {
            size -= function.code.len() as u64;
        }
        functions.retain(|function| !is_harness(function));
        for function in &functions {
            *parts.entry(origin(function)).or_default() += function.code.len() as u64;
        }
        functions.sort_by_key(|function| std::cmp::Reverse(function.code.len()));
        Ok(Self { size, ram, parts, functions })
    }

    /// Prints the parts and the largest functions.
    fn print(&self) {
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|&(_, size)| std::cmp::Reverse(size));
        for (name, size) in parts {
            println!("{size:>8}  {name}");
        }
        println!("largest functions:");
        for function in self.functions.iter().take(LARGEST) {
            println!("{:>8}  {}", function.code.len(), function.name);
        }
    }
}

/// Prints what the agent adds; true when that is within the limits and nothing in it panics.
fn report_agent(core: &Code<'_>, agent: &Code<'_>) -> Result<bool, Box<dyn Error>> {
    let (added, ram) = (agent.size.saturating_sub(core.size), agent.ram.saturating_sub(core.ram));
    println!("\nupdate-agent adds: code and constants: {added} bytes (limit {AGENT_CODE_LIMIT})");
    println!("update-agent adds: variables: {ram} bytes (limit {AGENT_RAM_LIMIT})");
    println!("both together:");
    agent.print();
    let mut graph = CallGraph::default();
    for function in &agent.functions {
        graph.add(function)?;
    }
    let path = graph.deepest(AGENT);
    println!("stack of the deepest path below the agent: {} bytes", path.stack());
    for node in &path.nodes {
        println!("{:>8}  {}", node.frame, node.name);
    }
    // Skipping a field that nobody asked for goes down into it, to a bounded depth.
    for name in &path.recursive {
        println!("note: recursion, counted once, in {name}");
    }
    let panics: Vec<_> = graph.callers_of("core::panicking::").collect();
    for name in &panics {
        println!("error: may panic: {name}");
    }
    Ok(panics.is_empty() && added < AGENT_CODE_LIMIT && ram < AGENT_RAM_LIMIT)
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
    if function.path() == AGENT {
        return "update_agent, inlined into its caller".to_owned();
    }
    if function.path().starts_with(OPERATIONS) {
        return "ota_core, inlined into its callers".to_owned();
    }
    function.origin().to_owned()
}

/// Whether the function is part of the measured program and not of what it measures.
fn is_harness(function: &Function<'_>) -> bool {
    let path = function.path();
    path == ENTRY || HARNESS.iter().any(|harness| path.starts_with(harness))
}
