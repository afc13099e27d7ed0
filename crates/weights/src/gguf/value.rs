//! A metadata value: what a GGUF key holds.

/// The type of a value, as numbered in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// Values of one type. Arrays of arrays are not supported, as in llama.cpp.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl ValueKind {
    /// The kind with this number in a file.
    pub fn from_number(number: u32) -> Option<ValueKind> {
        use ValueKind::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64].into_iter().nth(number as usize)
    }

    /// The name in the GGUF specification.
    pub fn name(self) -> &'static str {
        match self {
            ValueKind::U8 => "UINT8",
            ValueKind::I8 => "INT8",
            ValueKind::U16 => "UINT16",
            ValueKind::I16 => "INT16",
            ValueKind::U32 => "UINT32",
            ValueKind::I32 => "INT32",
            ValueKind::F32 => "FLOAT32",
            ValueKind::Bool => "BOOL",
            ValueKind::String => "STRING",
            ValueKind::Array => "ARRAY",
            ValueKind::U64 => "UINT64",
            ValueKind::I64 => "INT64",
            ValueKind::F64 => "FLOAT64",
        }
    }
}

impl Value {
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::U8(_) => ValueKind::U8,
            Value::I8(_) => ValueKind::I8,
            Value::U16(_) => ValueKind::U16,
            Value::I16(_) => ValueKind::I16,
            Value::U32(_) => ValueKind::U32,
            Value::I32(_) => ValueKind::I32,
            Value::F32(_) => ValueKind::F32,
            Value::Bool(_) => ValueKind::Bool,
            Value::String(_) => ValueKind::String,
            Value::Array(_) => ValueKind::Array,
            Value::U64(_) => ValueKind::U64,
            Value::I64(_) => ValueKind::I64,
            Value::F64(_) => ValueKind::F64,
        }
    }

    /// Any integer.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            _ => return None,
        })
    }

    /// Type and value in a few words, for an error.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::String(_) => "a text".to_owned(),
            Value::Array(array) => format!("{} values of type {}", array.len(), array.kind().name()),
            Value::F32(value) => format!("the FLOAT32 {value}"),
            Value::F64(value) => format!("the FLOAT64 {value}"),
            Value::Bool(value) => format!("the BOOL {value}"),
            other => format!("the {} {}", other.kind().name(), other.as_integer().unwrap_or_default()),
        }
    }
}

impl Array {
    pub fn kind(&self) -> ValueKind {
        match self {
            Array::U8(_) => ValueKind::U8,
            Array::I8(_) => ValueKind::I8,
            Array::U16(_) => ValueKind::U16,
            Array::I16(_) => ValueKind::I16,
            Array::U32(_) => ValueKind::U32,
            Array::I32(_) => ValueKind::I32,
            Array::F32(_) => ValueKind::F32,
            Array::Bool(_) => ValueKind::Bool,
            Array::String(_) => ValueKind::String,
            Array::U64(_) => ValueKind::U64,
            Array::I64(_) => ValueKind::I64,
            Array::F64(_) => ValueKind::F64,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Array::U8(values) => values.len(),
            Array::I8(values) => values.len(),
            Array::U16(values) => values.len(),
            Array::I16(values) => values.len(),
            Array::U32(values) => values.len(),
            Array::I32(values) => values.len(),
            Array::F32(values) => values.len(),
            Array::Bool(values) => values.len(),
            Array::String(values) => values.len(),
            Array::U64(values) => values.len(),
            Array::I64(values) => values.len(),
            Array::F64(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Any integers.
    pub fn as_integers(&self) -> Option<Vec<i128>> {
        fn widen<T: Copy + Into<i128>>(values: &[T]) -> Vec<i128> {
            values.iter().map(|&value| value.into()).collect()
        }
        Some(match self {
            Array::U8(values) => widen(values),
            Array::I8(values) => widen(values),
            Array::U16(values) => widen(values),
            Array::I16(values) => widen(values),
            Array::U32(values) => widen(values),
            Array::I32(values) => widen(values),
            Array::U64(values) => widen(values),
            Array::I64(values) => widen(values),
            _ => return None,
        })
    }
}
