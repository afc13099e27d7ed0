//! The instructions of a pickle that a state dictionary is made of. Every other one is refused, by its name.
//!
//! Source: `pickletools.py` of CPython. PyTorch writes protocol 2; 3 to 5 spell the same in a few other ways.

/// One instruction with what stands behind it in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Opcode<'a> {
    Stop,
    /// Protocol, frame and the like: nothing to be done.
    Nothing,
    Mark,
    None,
    Bool,
    Float,
    Int(i64),
    /// Where a text begins in the pickle, and the text.
    Text(usize, &'a str),
    EmptyTuple,
    EmptyList,
    EmptyDict,
    /// Of all down to the mark.
    Tuple,
    TupleOf(usize),
    Append,
    Appends,
    SetItem,
    SetItems,
    Put(u32),
    /// At the next free number.
    Memoize,
    Get(u32),
    /// Module and name.
    Global(&'a str, &'a str),
    StackGlobal,
    PersistentId,
    Reduce,
    Build,
}

/// Why there is no next instruction.
#[derive(Debug)]
pub(super) enum Refusal {
    Ends,
    Unknown(u8),
    NotUtf8,
    TooWide,
}

/// The bytes of a pickle, and how far they are read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// The next instruction.
    pub(super) fn next(&mut self) -> Result<Opcode<'a>, Refusal> {
        Ok(match self.take(1)?[0] {
            b'.' => Opcode::Stop,
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => Opcode::Mark,
            b'N' => Opcode::None,
            0x88 | 0x89 => Opcode::Bool,
            b'G' => self.take(8).map(|_| Opcode::Float)?,
            b'J' => Opcode::Int(i64::from(self.number(4)? as u32 as i32)),
            b'K' => Opcode::Int(self.number(1)? as i64),
            b'M' => Opcode::Int(self.number(2)? as i64),
            0x8a => self.long()?,
            b'X' => self.text(4)?,
            0x8c => self.text(1)?,
            0x8d => self.text(8)?,
            b')' => Opcode::EmptyTuple,
            b']' => Opcode::EmptyList,
            b'}' => Opcode::EmptyDict,
            b't' => Opcode::Tuple,
            0x85 => Opcode::TupleOf(1),
            0x86 => Opcode::TupleOf(2),
            0x87 => Opcode::TupleOf(3),
            b'a' => Opcode::Append,
            b'e' => Opcode::Appends,
            b's' => Opcode::SetItem,
            b'u' => Opcode::SetItems,
            b'q' => Opcode::Put(self.number(1)? as u32),
            b'r' => Opcode::Put(self.number(4)? as u32),
            0x94 => Opcode::Memoize,
            b'h' => Opcode::Get(self.number(1)? as u32),
            b'j' => Opcode::Get(self.number(4)? as u32),
            b'c' => Opcode::Global(self.line()?, self.line()?),
            0x93 => Opcode::StackGlobal,
            b'Q' => Opcode::PersistentId,
            b'R' => Opcode::Reduce,
            b'b' => Opcode::Build,
            other => return Err(Refusal::Unknown(other)),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let end = self.at.checked_add(length).ok_or(Refusal::Ends)?;
        let taken = self.bytes.get(self.at..end).ok_or(Refusal::Ends)?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<Opcode<'a>, Refusal> {
        self.take(length).map(|_| Opcode::Nothing)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, Refusal> {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(self.take(bytes)?);
        Ok(u64::from_le_bytes(number))
    }

    /// A signed number of any length: more than eight bytes have no meaning here.
    fn long(&mut self) -> Result<Opcode<'a>, Refusal> {
        let length = self.number(1)? as usize;
        let bytes = self.take(length)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut number = [if negative { 0xff } else { 0 }; 8];
        number.get_mut(..length).ok_or(Refusal::TooWide)?.copy_from_slice(bytes);
        Ok(Opcode::Int(i64::from_le_bytes(number)))
    }

    fn text(&mut self, bytes: usize) -> Result<Opcode<'a>, Refusal> {
        let length = usize::try_from(self.number(bytes)?).map_err(|_| Refusal::Ends)?;
        let start = self.at;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Refusal::NotUtf8)?;
        Ok(Opcode::Text(start, text))
    }

    fn line(&mut self) -> Result<&'a str, Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(Refusal::Ends)?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| Refusal::NotUtf8)
    }
}

/// What Python calls an instruction that is not in the list above.
pub(super) fn name(byte: u8) -> String {
    let name = match byte {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'B' => "BINBYTES",
        b'C' => "SHORT_BINBYTES",
        b'F' => "FLOAT",
        b'I' => "INT",
        b'L' => "LONG",
        b'P' => "PERSID",
        b'S' => "STRING",
        b'T' => "BINSTRING",
        b'U' => "SHORT_BINSTRING",
        b'V' => "UNICODE",
        b'd' => "DICT",
        b'g' => "GET",
        b'i' => "INST",
        b'l' => "LIST",
        b'o' => "OBJ",
        b'p' => "PUT",
        0x81 => "NEWOBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x8b => "LONG4",
        0x8e => "BINBYTES8",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x92 => "NEWOBJ_EX",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => return format!("{byte:#04x}"),
    };
    name.to_owned()
}
