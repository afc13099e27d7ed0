//! Compiles a template and rewrites its instructions, so that whatever makes a text or a list passes the meter.

use std::collections::BTreeMap;

use minijinja::Error;
use minijinja::machinery::{CodeGenerator, Instruction, Instructions, parse};
use minijinja::value::Value;

use super::{WHITE_SPACE, words};

/// Names of the metered operations: none that a template could write.
pub(super) const ADD: &str = "+";
pub(super) const MULTIPLY: &str = "*";
pub(super) const CONCATENATE: &str = "~";
/// Takes a new value into account; makes a list of what would be worked out later.
pub(super) const CHARGE: &str = "$";
/// The same for what may nest lists deeper than they were.
pub(super) const CHARGE_DEEP: &str = "$$";
/// The same for what a namespace will keep: no namespaces, which would make a ring.
pub(super) const KEEP: &str = "=";
/// Looks at the clock.
pub(super) const TICK: &str = "@";

/// No slot for the filter: it is looked up by name each time.
const UNCACHED: u8 = u8::MAX;

type Compiled<'s> = (Instructions<'s>, BTreeMap<&'s str, Instructions<'s>>);

/// Compiles, metered.
pub(super) fn compile(source: &str) -> Result<Compiled<'_>, Error> {
    words::check(source)?;
    let name = "chat template";
    let tree = parse(source, name, Default::default(), WHITE_SPACE)?;
    let mut generator = CodeGenerator::new(name, source);
    generator.compile_stmt(&tree);
    let (instructions, blocks) = generator.finish();
    let blocks = blocks.iter().map(|(block, instructions)| (*block, metered(instructions, name, source)));
    Ok((metered(&instructions, name, source), blocks.collect()))
}

fn metered<'s>(plain: &Instructions<'s>, name: &'s str, source: &'s str) -> Instructions<'s> {
    let count = plain.len() as u32;
    let all = (0..count).filter_map(|index| plain.get(index));
    // Where each instruction begins after the rewriting; one more for jumps past the end.
    let mut starts = Vec::with_capacity(count as usize + 1);
    let mut next = 0u32;
    for instruction in all.clone() {
        starts.push(next);
        next += rewritten(instruction).len() as u32;
    }
    starts.push(next);
    let mut metered = Instructions::new(name, source);
    for (index, instruction) in all.enumerate() {
        let line = plain.get_line(index as u32).unwrap_or(0) as u16;
        for mut instruction in rewritten(instruction) {
            if let Instruction::Iterate(target)
            | Instruction::Jump(target)
            | Instruction::JumpIfFalse(target)
            | Instruction::JumpIfFalseOrPop(target)
            | Instruction::JumpIfTrueOrPop(target)
            | Instruction::BuildMacro(_, target, _) = &mut instruction
            {
                *target = starts.get(*target as usize).copied().unwrap_or(next);
            }
            metered.add_with_line(instruction, line);
        }
    }
    metered
}

/// What an instruction becomes.
fn rewritten<'s>(instruction: &Instruction<'s>) -> Vec<Instruction<'s>> {
    let call = |name, arguments| Instruction::ApplyFilter(name, Some(arguments), UNCACHED);
    let tick = || [Instruction::LoadConst(Value::UNDEFINED), call(TICK, 1), Instruction::DiscardTop];
    match instruction {
        Instruction::EmitRaw(text) => vec![Instruction::LoadConst(Value::from(*text)), Instruction::Emit],
        Instruction::Add => vec![call(ADD, 2)],
        Instruction::Mul => vec![call(MULTIPLY, 2)],
        Instruction::StringConcat => vec![call(CONCATENATE, 2)],
        // The namespace is on top, the value below it.
        Instruction::SetAttr(_) => vec![Instruction::Swap, call(KEEP, 1), Instruction::Swap, instruction.clone()],
        Instruction::BuildList(_) | Instruction::BuildMap(_) | Instruction::CallFunction(..) => {
            vec![instruction.clone(), call(CHARGE_DEEP, 1)]
        }
        Instruction::Slice
        | Instruction::EndCapture
        | Instruction::ApplyFilter(..)
        | Instruction::CallMethod(..)
        | Instruction::CallObject(_) => vec![instruction.clone(), call(CHARGE, 1)],
        Instruction::Iterate(_)
        | Instruction::PerformTest(..)
        | Instruction::Eq
        | Instruction::Ne
        | Instruction::Gt
        | Instruction::Gte
        | Instruction::Lt
        | Instruction::Lte
        | Instruction::In
        | Instruction::CompareAndPreserve(_) => tick().into_iter().chain([instruction.clone()]).collect(),
        other => vec![other.clone()],
    }
}
