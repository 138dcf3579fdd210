//! What machine code for the ESP32-C3 says about itself: its functions, who calls whom, and how much
//! stack that takes. Read from linked ELF files, so nothing has to run.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::str::FromStr;

use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use riscv_isa::{Instruction, Target, decode_le_bytes};

/// Registers of the RISC-V calling convention.
const ZERO: u32 = 0;
const RETURN_ADDRESS: u32 = 1;
const STACK_POINTER: u32 = 2;

/// The machine code of one function.
pub struct Function<'a> {
    /// Its demangled name.
    pub name: String,
    /// Its code; the length is its size in bytes.
    pub code: &'a [u8],
    address: u32,
}

impl Function<'_> {
    /// The name without the punctuation of a trait implementation in front.
    pub fn path(&self) -> &str {
        self.name.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_')
    }

    /// The crate that the function comes from, as far as its name tells.
    pub fn origin(&self) -> &str {
        self.path().split_once("::").map_or("compiler runtime", |(origin, _)| origin)
    }
}

/// All functions of the program, each address once.
///
/// # Errors
/// When the ELF file is malformed.
pub fn functions<'a>(file: &ElfFile32<'a>) -> Result<Vec<Function<'a>>, Box<dyn Error>> {
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

/// One function as a node of the [`CallGraph`].
pub struct Node {
    /// Demangled name of the function.
    pub name: String,
    /// Bytes by which the function lowers the stack pointer, at most.
    pub frame: u64,
    callees: BTreeSet<u32>,
}

/// Who calls whom, read from the machine code.
#[derive(Default)]
pub struct CallGraph {
    /// Functions that call through a pointer: what is behind it is not in the graph.
    pub indirect_calls: BTreeSet<String>,
    /// Functions with a computed jump, taken for a switch inside the function.
    pub computed_jumps: BTreeSet<String>,
    nodes: BTreeMap<u32, Node>,
}

/// A chain of calls, and what its length leaves open.
#[derive(Default)]
pub struct Path<'a> {
    /// The functions, callers first.
    pub nodes: Vec<&'a Node>,
    /// Functions below the starts that call themselves, directly or not: counted once.
    pub recursive: BTreeSet<String>,
    /// Functions below the starts that call code outside the program: that code is not counted.
    pub outside: BTreeSet<String>,
}

impl Path<'_> {
    /// Bytes of stack that the functions take together.
    pub fn stack(&self) -> u64 {
        self.nodes.iter().map(|node| node.frame).sum()
    }
}

impl CallGraph {
    /// Decodes a function and adds it to the graph.
    ///
    /// # Errors
    /// When the function lowers the stack pointer by an amount that can't be read from the code.
    pub fn add(&mut self, function: &Function<'_>) -> Result<(), Box<dyn Error>> {
        let target = Target::from_str("RV32IMC").map_err(|_| "RV32IMC is not a target")?;
        let mut node = Node { name: function.name.clone(), frame: 0, callees: BTreeSet::new() };
        let end = function.address + u32::try_from(function.code.len())?;
        let inside = |address: u32| (function.address..end).contains(&address);
        // The register and value of an `auipc`: with the `jalr` after it, a far call.
        let mut upper = None;
        // The constant last loaded into each register.
        let mut constants = BTreeMap::new();
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
                Instruction::LUI { rd, imm } => {
                    constants.insert(rd, imm << 12);
                }
                // The compiler lowers the stack pointer by constants, in one or more steps.
                Instruction::ADDI { rd: STACK_POINTER, rs1: STACK_POINTER, imm } => {
                    node.frame += u64::from(imm.min(0).unsigned_abs());
                }
                // It raises it from the frame pointer at the end of functions that align it.
                Instruction::ADDI { rd: STACK_POINTER, .. } => {}
                Instruction::ANDI { rd: STACK_POINTER, imm, .. } => {
                    node.frame += u64::from(imm.unsigned_abs()) - 1;
                }
                Instruction::ADD { rd: STACK_POINTER, rs1, rs2 } => {
                    let by = if rs1 == STACK_POINTER { rs2 } else { rs1 };
                    let by = constants.get(&by).ok_or_else(|| variable(&node.name))?;
                    node.frame += u64::from(by.cast_signed().min(0).unsigned_abs());
                }
                Instruction::SUB { rd: STACK_POINTER, rs2, .. } => {
                    let by = constants.get(&rs2).ok_or_else(|| variable(&node.name))?;
                    node.frame += u64::from(*by);
                }
                Instruction::ADDI { rd, rs1, imm } => {
                    let base = if rs1 == ZERO { Some(&0) } else { constants.get(&rs1) };
                    let sum = base.map(|base: &u32| base.wrapping_add_signed(imm));
                    match sum {
                        Some(sum) => constants.insert(rd, sum),
                        None => constants.remove(&rd),
                    };
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
    pub fn callers_of(&self, callee_prefix: &'static str) -> impl Iterator<Item = &str> {
        let calls = move |address| {
            self.nodes.get(address).is_some_and(|callee| callee.name.starts_with(callee_prefix))
        };
        self.nodes
            .values()
            .filter(move |node| !node.name.starts_with(callee_prefix))
            .filter(move |node| node.callees.iter().any(calls))
            .map(|node| node.name.as_str())
    }

    /// The path that takes most stack among those from functions whose names start with `start`. A
    /// tail call counts as a call.
    pub fn deepest(&self, start: &str) -> Path<'_> {
        let mut search = Search::default();
        let mut worst = (0, None);
        for (&address, _) in self.nodes.iter().filter(|(_, node)| node.name.starts_with(start)) {
            worst = worst.max((self.visit(address, &mut search, &mut Vec::new()), Some(address)));
        }
        let mut nodes = Vec::new();
        let mut next = worst.1;
        while let Some(address) = next {
            nodes.push(&self.nodes[&address]);
            next = search.known[&address].1;
        }
        Path { nodes, recursive: search.recursive, outside: search.outside }
    }

    /// Returns the stack need of `address`, and notes it and the callee that causes it.
    fn visit(&self, address: u32, search: &mut Search, callers: &mut Vec<u32>) -> u64 {
        if let Some(&(depth, _)) = search.known.get(&address) {
            return depth;
        }
        let node = &self.nodes[&address];
        callers.push(address);
        let mut worst = (0, None);
        for &callee in &node.callees {
            if !self.nodes.contains_key(&callee) {
                search.outside.insert(node.name.clone());
            } else if callers.contains(&callee) {
                search.recursive.insert(node.name.clone());
            } else {
                let depth = self.visit(callee, search, callers);
                if worst.1.is_none() || depth > worst.0 {
                    worst = (depth, Some(callee));
                }
            }
        }
        callers.pop();
        search.known.insert(address, (node.frame + worst.0, worst.1));
        node.frame + worst.0
    }
}

/// What a search for the deepest path has found out.
#[derive(Default)]
struct Search {
    /// Stack need of each function, and the callee that causes it.
    known: BTreeMap<u32, (u64, Option<u32>)>,
    recursive: BTreeSet<String>,
    outside: BTreeSet<String>,
}

fn variable(name: &str) -> String {
    format!("{name}: lowers the stack pointer by an unknown amount")
}
