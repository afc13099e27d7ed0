//! Keys and values of all sequences, in blocks that sequences with a common beginning share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::attention::ATTENTION_BLOCK;
use crate::rows::kv_words;
use crate::weights::Shape;
use crate::{Buffer, Error, Gpu, Recorder, Result};

/// Blocks to begin with: a short talk. More come by doubling.
const BLOCKS_FIRST: usize = 16;

/// One sequence.
#[derive(Clone, Debug, Default)]
struct Sequence {
    blocks: Vec<u32>,
    length: usize,
}

/// The blocks of all layers.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Keys and values of each layer: (block, position, kv head, head).
    layers: Vec<[Buffer; 2]>,
    /// How many sequences have each block.
    users: Vec<u32>,
    /// Where a block waits while it is copied: a buffer cannot be copied to itself.
    between: Buffer,
    block_bytes: u64,
    sequences: HashMap<u64, Sequence>,
}

impl Cache {
    pub fn new(gpu: &Gpu, shape: &Shape) -> Result<Cache> {
        let block_bytes = (ATTENTION_BLOCK * shape.kv_heads * kv_words(shape.head_size, shape.kv) * 4) as u64;
        let blocks = BLOCKS_FIRST.min((gpu.limits.binding_bytes_max / block_bytes) as usize);
        let layers = (0..shape.layers).map(|_| buffers(gpu, blocks, block_bytes)).collect::<Result<_>>()?;
        let between = gpu.buffer("a block on its way", block_bytes)?;
        Ok(Cache { layers, users: vec![0; blocks], between, block_bytes, sequences: HashMap::new() })
    }

    pub fn layer(&self, layer: usize) -> &[Buffer; 2] {
        &self.layers[layer]
    }

    /// Bytes that all layers hold.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().flatten().map(|buffer| buffer.bytes).sum()
    }

    pub fn create(&mut self, id: u64) {
        self.sequences.insert(id, Sequence::default());
    }

    /// The first `length` positions of a sequence under another number; whether there is such a sequence.
    pub fn fork(&mut self, from: u64, to: u64, length: usize) -> bool {
        let Some(sequence) = self.sequences.get(&from) else { return false };
        let length = length.min(sequence.length);
        let blocks = sequence.blocks[..length.div_ceil(ATTENTION_BLOCK)].to_vec();
        blocks.iter().for_each(|block| self.users[*block as usize] += 1);
        self.sequences.insert(to, Sequence { blocks, length });
        true
    }

    pub fn truncate(&mut self, id: u64, length: usize) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.length = sequence.length.min(length);
        let kept = sequence.length.div_ceil(ATTENTION_BLOCK).min(sequence.blocks.len());
        for block in sequence.blocks.drain(kept..) {
            self.users[block as usize] -= 1;
        }
    }

    pub fn release(&mut self, id: u64) {
        if let Entry::Occupied(sequence) = self.sequences.entry(id) {
            sequence.remove().blocks.into_iter().for_each(|block| self.users[block as usize] -= 1);
        }
    }

    pub fn length(&self, id: u64) -> Option<usize> {
        self.sequences.get(&id).map(|sequence| sequence.length)
    }

    pub fn set_length(&mut self, id: u64, length: usize) {
        if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.length = length;
        }
    }

    pub fn blocks(&self, id: u64) -> &[u32] {
        self.sequences.get(&id).map_or(&[], |sequence| &sequence.blocks)
    }

    /// Makes room for the positions up to `end`, the ones from `first` on in blocks that no other sequence has.
    pub fn reserve(&mut self, recorder: &mut Recorder<'_>, id: u64, first: usize, end: usize) -> Result<()> {
        for number in first / ATTENTION_BLOCK..end.div_ceil(ATTENTION_BLOCK) {
            let held = self.blocks(id).get(number).copied();
            if held.is_some_and(|block| self.users[block as usize] == 1) {
                continue;
            }
            let fresh = self.take(recorder)?;
            if let Some(shared) = held {
                self.copy(recorder, shared, fresh);
                self.users[shared as usize] -= 1;
            }
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            match sequence.blocks.get_mut(number) {
                Some(block) => *block = fresh,
                None => sequence.blocks.push(fresh),
            }
        }
        Ok(())
    }

    /// A block that nobody has.
    fn take(&mut self, recorder: &mut Recorder<'_>) -> Result<u32> {
        let free = self.users.iter().position(|users| *users == 0);
        let block = match free {
            Some(block) => block,
            None => {
                let block = self.users.len();
                self.grow(recorder)?;
                block
            }
        };
        self.users[block] = 1;
        Ok(block as u32)
    }

    fn grow(&mut self, recorder: &mut Recorder<'_>) -> Result<()> {
        let gpu = recorder.gpu();
        let most = (gpu.limits.binding_bytes_max / self.block_bytes) as usize;
        let (before, blocks) = (self.users.len(), (self.users.len() * 2).min(most));
        if blocks == before {
            return Err(Error::OutOfMemory { what: "keys and values".to_owned(), bytes: self.block_bytes });
        }
        let fresh =
            (0..self.layers.len()).map(|_| buffers(gpu, blocks, self.block_bytes)).collect::<Result<Vec<_>>>()?;
        for (old, new) in self.layers.iter().flatten().zip(fresh.iter().flatten()) {
            recorder.copy((old, 0), (new, 0), before as u64 * self.block_bytes);
        }
        // What was copied from goes when the commands are done: wgpu holds it until then.
        self.layers = fresh;
        self.users.resize(blocks, 0);
        Ok(())
    }

    fn copy(&self, recorder: &mut Recorder<'_>, from: u32, to: u32) {
        let place = |block: u32| u64::from(block) * self.block_bytes;
        for buffer in self.layers.iter().flatten() {
            recorder.copy((buffer, place(from)), (&self.between, 0), self.block_bytes);
            recorder.copy((&self.between, 0), (buffer, place(to)), self.block_bytes);
        }
    }
}

fn buffers(gpu: &Gpu, blocks: usize, block_bytes: u64) -> Result<[Buffer; 2]> {
    let bytes = blocks as u64 * block_bytes;
    Ok([gpu.buffer("keys", bytes)?, gpu.buffer("values", bytes)?])
}
