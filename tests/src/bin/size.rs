//! Measures what `ota-core` costs on the device: code size and worst-case stack.
//!
//! Builds the program in `ota-core/size` for `riscv32imc-unknown-none-elf`, then reads the linked ELF
//! file: the code is the sum of its sections; the stack is the deepest path through the call graph,
//! both taken from the machine code. Exits with 1 when a limit is exceeded, the stack has no
//! known bound, or code that panics was linked.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, str::FromStr};

use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use riscv_isa::{Instruction, Target, decode_le_bytes};

/// Most bytes that code and constants may take.
const CODE_LIMIT: u64 = 16 * 1024;
/// Most bytes of stack that the deepest call may take.
const STACK_LIMIT: u64 = 2 * 1024;

/// How firmware for a small chip is built: with the rounds of SHA-256 in a loop. The default unrolls
/// them, which takes 12 KiB.
const RUSTFLAGS: &str = "--cfg sha2_backend_soft=\"compact\"";

/// How many functions the report lists by size.
const LARGEST: usize = 12;

/// Registers of the RISC-V calling convention.
const ZERO: u32 = 0;
const RETURN_ADDRESS: u32 = 1;
const STACK_POINTER: u32 = 2;

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
    for function in &functions {
        *parts.entry(function.origin()).or_default() += function.code.len() as u64;
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
    for function in functions(file)? {
        graph.add(&function)?;
    }
    let entry = u32::try_from(file.entry())?;
    let path = graph.deepest(entry)?;
    let total: u64 = path.iter().map(|node| node.frame).sum();
    println!("stack of the deepest path: {total} bytes (limit {STACK_LIMIT})");
    for node in &path {
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
    let panics = graph.callers_of("core::panicking::").next().is_some();
    Ok(!panics && graph.indirect_calls.is_empty() && total < STACK_LIMIT)
}

/// The machine code of one function.
struct Function<'a> {
    name: String,
    address: u32,
    code: &'a [u8],
}

impl Function<'_> {
    /// The crate that the function comes from, as far as its name tells.
    fn origin(&self) -> String {
        let path = self.name.trim_start_matches(|c: char| !c.is_alphanumeric());
        match path.split_once("::") {
            Some((origin, _)) => origin.to_owned(),
            None => "compiler runtime and entry point".to_owned(),
        }
    }
}

/// All functions of the program, each address once.
fn functions<'a>(file: &Elf<'a>) -> Result<Vec<Function<'a>>, Box<dyn Error>> {
    let mut found = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(index) = symbol.section_index() else {
            continue;
        };
        let section = file.section_by_index(index)?;
        if let Some(code) = section.data_range(symbol.address(), symbol.size())? {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name()?));
            let address = u32::try_from(symbol.address())?;
            found.entry(address).or_insert(Function { name, address, code });
        }
    }
    Ok(found.into_values().collect())
}

/// One function as a node of the call graph.
struct Node {
    name: String,
    /// Bytes by which the function lowers the stack pointer, at most.
    frame: u64,
    callees: BTreeSet<u32>,
}

/// Who calls whom, read from the machine code.
#[derive(Default)]
struct CallGraph {
    nodes: BTreeMap<u32, Node>,
    indirect_calls: BTreeSet<String>,
    computed_jumps: BTreeSet<String>,
}

impl CallGraph {
    /// Decodes a function and adds it to the graph.
    fn add(&mut self, function: &Function<'_>) -> Result<(), Box<dyn Error>> {
        let target = Target::from_str("RV32IMC").map_err(|_| "RV32IMC is not a target")?;
        let mut node = Node { name: function.name.clone(), frame: 0, callees: BTreeSet::new() };
        let end = function.address + u32::try_from(function.code.len())?;
        let inside = |address: u32| (function.address..end).contains(&address);
        // The register and value of an `auipc`: with the `jalr` after it, a far call.
        let mut upper = None;
        let mut pc = function.address;
        let mut rest = function.code;
        while let Some((instruction, length)) = decode_le_bytes(rest, &target) {
            let far = upper.take();
            match instruction {
                Instruction::AUIPC { rd, imm } => upper = Some((rd, pc.wrapping_add(imm << 12))),
                Instruction::JAL { rd, offset } => {
                    let callee = pc.wrapping_add_signed(offset);
                    if rd != ZERO || !inside(callee) {
                        node.callees.insert(callee);
                    }
                }
                Instruction::BEQ { offset, .. }
                | Instruction::BNE { offset, .. }
                | Instruction::BLT { offset, .. }
                | Instruction::BGE { offset, .. }
                | Instruction::BLTU { offset, .. }
                | Instruction::BGEU { offset, .. } => {
                    let callee = pc.wrapping_add_signed(offset);
                    if !inside(callee) {
                        node.callees.insert(callee);
                    }
                }
                Instruction::JALR { rd: ZERO, rs1: RETURN_ADDRESS, .. } => {}
                Instruction::JALR { rd, rs1, offset } => match far {
                    Some((register, value)) if register == rs1 => {
                        node.callees.insert(value.wrapping_add_signed(offset));
                    }
                    _ if rd == ZERO => {
                        self.computed_jumps.insert(node.name.clone());
                    }
                    _ => {
                        self.indirect_calls.insert(node.name.clone());
                    }
                },
                // The compiler lowers the stack pointer by constants, in one or two steps.
                Instruction::ADDI { rd: STACK_POINTER, rs1: STACK_POINTER, imm } => {
                    node.frame += u64::from(imm.min(0).unsigned_abs());
                }
                // Anything else means a frame above 2 KiB, or of variable size.
                Instruction::ADDI { rd: STACK_POINTER, .. }
                | Instruction::ADD { rd: STACK_POINTER, .. }
                | Instruction::SUB { rd: STACK_POINTER, .. }
                | Instruction::ANDI { rd: STACK_POINTER, .. } => {
                    return Err(format!("{}: frame above {STACK_LIMIT} bytes", node.name).into());
                }
                _ => {}
            }
            pc += length as u32;
            rest = &rest[length..];
        }
        self.nodes.insert(function.address, node);
        Ok(())
    }

    /// Names of the functions outside `callee_prefix` that call into it.
    fn callers_of(&self, callee_prefix: &'static str) -> impl Iterator<Item = &str> {
        let calls = move |address| {
            self.nodes.get(address).is_some_and(|callee| callee.name.starts_with(callee_prefix))
        };
        self.nodes
            .values()
            .filter(move |node| !node.name.starts_with(callee_prefix))
            .filter(move |node| node.callees.iter().any(calls))
            .map(|node| node.name.as_str())
    }

    /// The path from `entry` that takes most stack. A tail call counts as a call.
    fn deepest(&self, entry: u32) -> Result<Vec<&Node>, Box<dyn Error>> {
        let mut known = BTreeMap::new();
        self.visit(entry, &mut known, &mut Vec::new())?;
        let mut path = Vec::new();
        let mut next = Some(entry);
        while let Some(address) = next {
            path.push(&self.nodes[&address]);
            next = known[&address].1;
        }
        Ok(path)
    }

    /// Fills `known` with the stack need of `address` and the callee that causes it.
    fn visit(
        &self,
        address: u32,
        known: &mut BTreeMap<u32, (u64, Option<u32>)>,
        callers: &mut Vec<u32>,
    ) -> Result<u64, Box<dyn Error>> {
        if let Some(&(depth, _)) = known.get(&address) {
            return Ok(depth);
        }
        let node =
            self.nodes.get(&address).ok_or_else(|| format!("no function at {address:#x}"))?;
        if callers.contains(&address) {
            return Err(format!("{}: recursion, stack unbounded", node.name).into());
        }
        callers.push(address);
        let mut worst = (0, None);
        for &callee in &node.callees {
            let depth = self.visit(callee, known, callers)?;
            if worst.1.is_none() || depth > worst.0 {
                worst = (depth, Some(callee));
            }
        }
        callers.pop();
        known.insert(address, (node.frame + worst.0, worst.1));
        Ok(node.frame + worst.0)
    }
}
