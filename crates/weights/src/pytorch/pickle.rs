//! Runs a pickle that may only describe tensors. Nothing is called, imported or made but what stands in [`Global`].
//!
//! Values are small and point into tables (no value owns another), so that neither deep nesting nor sharing a value many
//! times can cost more than its instructions.

use std::collections::HashMap;

use super::Fault;
use super::opcode::{self, Opcode, Reader, Refusal};
use crate::safetensors::Dtype;

/// PyTorch's own writer sets items a thousand at a time, so some two thousand wait on the stack.
const STACK_MAX: usize = 1 << 16;
/// A tensor in a dictionary opens three.
const MARKS_MAX: usize = 64;
/// Values in tuples and dictionaries, and remembered ones, in all: a tensor takes some 40, and 26,000 tensors are more than
/// any shard has. A value takes up to 100 bytes.
const VALUES_MAX: usize = 1 << 20;
/// Characters of a name that an error repeats.
const NAME_SHOWN: usize = 80;

/// Whatever a pickle can speak of here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool,
    Float,
    Int(i64),
    /// Bytes of the pickle, checked to be UTF-8.
    Text {
        start: u32,
        length: u32,
    },
    /// Values of `items`.
    Tuple {
        start: u32,
        length: u32,
    },
    /// What is in it is not kept.
    List,
    /// One of `dictionaries`.
    Dictionary(u32),
    Global(Global),
    /// One of `storages`.
    Storage(u32),
    /// One of `tensors`.
    Tensor(u32),
}

/// The names that a pickle may mention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    /// `_rebuild_tensor_v2`: the storage says the type.
    Rebuild,
    /// `_rebuild_tensor_v3`: the type stands beside it.
    RebuildTyped,
    RebuildParameter,
    /// A storage class; without a type it counts bytes.
    Storage(Option<Dtype>),
    Type(Dtype),
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch", "Size") => Global::Size,
            ("torch._utils", "_rebuild_tensor_v2") => Global::Rebuild,
            ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTyped,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch" | "torch.storage", "UntypedStorage") => Global::Storage(None),
            ("torch", name) => match name.strip_suffix("Storage") {
                Some(class) => Global::Storage(Some(storage_type(class)?)),
                None => Global::Type(type_by_name(name)?),
            },
            _ => return None,
        })
    }
}

fn storage_type(class: &str) -> Option<Dtype> {
    Some(match class {
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Double" => Dtype::F64,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        "ComplexFloat" => Dtype::C64,
        _ => return None,
    })
}

fn type_by_name(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float64" => Dtype::F64,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        "complex64" => Dtype::C64,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "float8_e8m0fnu" => Dtype::F8_E8M0,
        _ => return None,
    })
}

/// A run of bytes in the archive, by its name there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    pub dtype: Option<Dtype>,
    pub key: Value,
    /// Values, or bytes where there is no type.
    pub length: i64,
}

/// A view on a storage. Nothing of it is checked yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    pub dtype: Dtype,
    pub storage: u32,
    pub offset: i64,
    pub shape: Value,
    pub strides: Value,
}

/// What a pickle came to.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    items: Vec<Value>,
    dictionaries: Vec<Vec<(Value, Value)>>,
    pub storages: Vec<Storage>,
    pub tensors: Vec<Tensor>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    /// Values put into tables so far.
    made: usize,
    at: usize,
}

/// Runs the pickle to its end: its tables, and the value it is.
pub(super) fn run(bytes: &[u8]) -> Result<(Machine<'_>, Value), Fault> {
    let mut machine = Machine {
        bytes,
        items: Vec::new(),
        dictionaries: Vec::new(),
        storages: Vec::new(),
        tensors: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        made: 0,
        at: 0,
    };
    let mut reader = Reader::new(bytes);
    loop {
        machine.at = reader.at;
        let opcode = reader.next().map_err(|refusal| machine.refused(&refusal))?;
        if opcode == Opcode::Stop {
            let value = machine.pop()?;
            return Ok((machine, value));
        }
        machine.step(opcode)?;
    }
}

impl<'a> Machine<'a> {
    pub(super) fn text(&self, value: Value) -> Option<&'a str> {
        let Value::Text { start, length } = value else { return None };
        std::str::from_utf8(self.bytes.get(start as usize..)?.get(..length as usize)?).ok()
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        let Value::Tuple { start, length } = value else { return None };
        self.items.get(start as usize..)?.get(..length as usize)
    }

    pub(super) fn integers(&self, value: Value) -> Option<Vec<i64>> {
        let numbers = self.tuple(value)?.iter().map(|&value| if let Value::Int(n) = value { Some(n) } else { None });
        numbers.collect()
    }

    pub(super) fn dictionary(&self, value: Value) -> Option<&[(Value, Value)]> {
        let Value::Dictionary(place) = value else { return None };
        self.dictionaries.get(place as usize).map(Vec::as_slice)
    }

    fn step(&mut self, opcode: Opcode<'_>) -> Result<(), Fault> {
        match opcode {
            Opcode::Stop | Opcode::Nothing => Ok(()),
            Opcode::Mark if self.marks.len() == MARKS_MAX => Err(too_many("marks at once", MARKS_MAX)),
            Opcode::Mark => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            Opcode::None => self.push(Value::None),
            Opcode::Bool => self.push(Value::Bool),
            Opcode::Float => self.push(Value::Float),
            Opcode::Int(number) => self.push(Value::Int(number)),
            // A pickle is shorter than 2^32 bytes.
            Opcode::Text(start, text) => self.push(Value::Text { start: start as u32, length: text.len() as u32 }),
            Opcode::EmptyTuple => self.tuple_from(self.stack.len()),
            Opcode::EmptyList => self.push(Value::List),
            Opcode::EmptyDict => self.new_dictionary(),
            Opcode::Tuple => self.mark().and_then(|mark| self.tuple_from(mark)),
            Opcode::TupleOf(count) => {
                let from = self.stack.len().checked_sub(count).filter(|&from| from >= self.floor());
                self.tuple_from(from.ok_or_else(|| self.wrong("it takes what is not there"))?)
            }
            Opcode::Append => self.pop().and_then(|_| self.append()),
            Opcode::Appends => self.mark().and_then(|mark| {
                self.stack.truncate(mark);
                self.append()
            }),
            Opcode::SetItem => {
                let from = self.stack.len().checked_sub(2).filter(|&from| from >= self.floor());
                self.set_items(from.ok_or_else(|| self.wrong("it takes what is not there"))?)
            }
            Opcode::SetItems => self.mark().and_then(|mark| self.set_items(mark)),
            Opcode::Put(number) => self.remember(number),
            Opcode::Memoize => self.remember(self.memo.len() as u32),
            Opcode::Get(number) => {
                let value = self.memo.get(&number).copied();
                self.push(value.ok_or_else(|| self.wrong("it recalls what it never remembered"))?)
            }
            Opcode::Global(module, name) => self.global(module, name),
            Opcode::StackGlobal => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.text(module), self.text(name)) {
                    (Some(module), Some(name)) => self.global(module, name),
                    _ => Err(self.wrong("a name is no text")),
                }
            }
            Opcode::PersistentId => self.storage(),
            Opcode::Reduce => self.call(),
            Opcode::Build => self.build(),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        if self.stack.len() == STACK_MAX {
            return Err(too_many("values at once", STACK_MAX));
        }
        self.stack.push(value);
        Ok(())
    }

    /// Below this, values belong to what was begun before the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        if self.stack.len() <= self.floor() {
            return Err(self.wrong("it takes what is not there"));
        }
        self.stack.pop().ok_or_else(|| self.wrong("it takes what is not there"))
    }

    fn mark(&mut self) -> Result<usize, Fault> {
        self.marks.pop().ok_or_else(|| self.wrong("it ends what it never began"))
    }

    fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.made += more;
        if self.made > VALUES_MAX { Err(too_many("values", VALUES_MAX)) } else { Ok(()) }
    }

    fn tuple_from(&mut self, from: usize) -> Result<(), Fault> {
        self.count(self.stack.len() - from)?;
        let start = self.items.len() as u32;
        self.items.extend(self.stack.drain(from..));
        let length = self.items.len() as u32 - start;
        self.push(Value::Tuple { start, length })
    }

    fn new_dictionary(&mut self) -> Result<(), Fault> {
        self.count(1)?;
        self.dictionaries.push(Vec::new());
        self.push(Value::Dictionary(self.dictionaries.len() as u32 - 1))
    }

    fn append(&mut self) -> Result<(), Fault> {
        match self.stack.get(self.floor()..).and_then(<[Value]>::last) {
            Some(Value::List) => Ok(()),
            _ => Err(self.wrong("it appends to what is no list")),
        }
    }

    /// Keys and values from `from` on belong to the dictionary before them.
    fn set_items(&mut self, from: usize) -> Result<(), Fault> {
        let count = self.stack.len() - from;
        self.count(count)?;
        let under = from.checked_sub(1).filter(|&under| under >= self.floor()).map(|under| self.stack[under]);
        let Some(Value::Dictionary(place)) = under else {
            return Err(self.wrong("it sets items of what is no dictionary"));
        };
        if !count.is_multiple_of(2) {
            return Err(self.wrong("a key has no value"));
        }
        let values = self.stack.split_off(from);
        let items = values.as_chunks::<2>().0.iter().map(|&[key, value]| (key, value));
        self.dictionaries[place as usize].extend(items);
        Ok(())
    }

    fn remember(&mut self, number: u32) -> Result<(), Fault> {
        self.count(1)?;
        let value = self.stack.get(self.floor()..).and_then(<[Value]>::last).copied();
        let value = value.ok_or_else(|| self.wrong("it remembers what is not there"))?;
        self.memo.insert(number, value);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        let global = Global::find(module, name).ok_or_else(|| Fault::Global { name: shown(module, name) })?;
        self.push(Value::Global(global))
    }

    /// `("storage", class, key, place, length)`: PyTorch's only kind of value that lies outside the pickle.
    fn storage(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let (dtype, key, length) = match self.tuple(id) {
            Some(
                &[
                    kind,
                    Value::Global(Global::Storage(dtype)),
                    key @ Value::Text { .. },
                    Value::Text { .. },
                    Value::Int(length),
                ],
            ) if self.text(kind) == Some("storage") => (dtype, key, length),
            _ => return Err(self.call_fault("a storage")),
        };
        self.count(1)?;
        self.storages.push(Storage { dtype, key, length });
        self.push(Value::Storage(self.storages.len() as u32 - 1))
    }

    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Value::Global(global) = callee else { return Err(self.wrong("it calls what cannot be called")) };
        let Some(values) = self.tuple(arguments) else { return Err(self.wrong("it calls without arguments")) };
        match (global, values) {
            (Global::OrderedDict, []) => self.new_dictionary(),
            (Global::Size, &[shape @ Value::Tuple { .. }]) => self.push(shape),
            (Global::RebuildParameter, &[tensor @ Value::Tensor(_), ..]) => self.push(tensor),
            (
                Global::Rebuild,
                &[Value::Storage(storage), Value::Int(offset), shape, strides, Value::Bool, Value::Dictionary(_), ..],
            ) => match self.storages[storage as usize].dtype {
                Some(dtype) => self.tensor(Tensor { dtype, storage, offset, shape, strides }),
                None => Err(self.call_fault("_rebuild_tensor_v2")),
            },
            (
                Global::RebuildTyped,
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool,
                    Value::Dictionary(_),
                    Value::Global(Global::Type(dtype)),
                    ..,
                ],
            ) => self.tensor(Tensor { dtype, storage, offset, shape, strides }),
            (Global::OrderedDict, _) => Err(self.call_fault("OrderedDict")),
            (Global::Size, _) => Err(self.call_fault("torch.Size")),
            (Global::Rebuild, _) => Err(self.call_fault("_rebuild_tensor_v2")),
            (Global::RebuildTyped, _) => Err(self.call_fault("_rebuild_tensor_v3")),
            (Global::RebuildParameter, _) => Err(self.call_fault("_rebuild_parameter")),
            (Global::Storage(_) | Global::Type(_), _) => Err(self.call_fault("a type")),
        }
    }

    fn tensor(&mut self, tensor: Tensor) -> Result<(), Fault> {
        self.count(1)?;
        self.tensors.push(tensor);
        self.push(Value::Tensor(self.tensors.len() as u32 - 1))
    }

    /// A state dictionary carries notes on its modules' versions. Nothing else has a state, and this one is dropped.
    fn build(&mut self) -> Result<(), Fault> {
        let state = self.pop()?;
        let target = self.stack.get(self.floor()..).and_then(<[Value]>::last);
        match (target, state) {
            (Some(Value::Dictionary(_)), Value::Dictionary(_)) => Ok(()),
            _ => Err(self.call_fault("BUILD")),
        }
    }

    fn wrong(&self, what: &'static str) -> Fault {
        Fault::Pickle { what, at: self.at }
    }

    fn call_fault(&self, what: &str) -> Fault {
        Fault::Call { what: what.to_owned(), at: self.at }
    }

    fn refused(&self, refusal: &Refusal) -> Fault {
        match *refusal {
            Refusal::Ends => Fault::PickleEnds { at: self.at },
            Refusal::Unknown(byte) => Fault::Opcode { name: opcode::name(byte), at: self.at },
            Refusal::NotUtf8 => self.wrong("a text is not UTF-8"),
            Refusal::TooWide => self.wrong("a number has more than eight bytes"),
        }
    }
}

fn too_many(what: &'static str, limit: usize) -> Fault {
    Fault::TooMany { what, limit }
}

fn shown(module: &str, name: &str) -> String {
    format!("{module}.{name}").chars().take(NAME_SHOWN).collect()
}
