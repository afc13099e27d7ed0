//! Programs started one after the other, handed over in one submission, and what they left brought back.

use std::sync::mpsc;

use wgpu::BufferUsages;

use crate::device::PATIENCE;
use crate::program::{IMMEDIATE_BYTES, Program};
use crate::{Buffer, Error, Gpu, Result};

/// What a step asked of the card and the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub dispatches: u64,
    pub submissions: u64,
    /// Bytes brought back.
    pub bytes_back: u64,
    /// Bytes sent for steps, weights aside.
    pub bytes_sent: u64,
    /// Bytes of weights that the programs were given to read.
    pub bytes_of_weights: u64,
}

/// A submission in the making.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    encoder: wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
    pub counts: Counts,
}

impl<'a> Recorder<'a> {
    pub fn new(gpu: &'a Gpu) -> Recorder<'a> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let pass = begin(&mut encoder);
        Recorder { gpu, encoder, pass: Some(pass), counts: Counts::default() }
    }

    pub fn gpu(&self) -> &'a Gpu {
        self.gpu
    }

    /// Starts a program on `groups` workgroups. `None` among the buffers is what the call does not need.
    pub fn start(
        &mut self,
        program: &Program,
        buffers: &[Option<&Buffer>],
        immediates: &[u32],
        groups: [u32; 3],
    ) -> Result<()> {
        let (found, wanted) = (buffers.len() as u64, program.accesses().len() as u64);
        if found != wanted {
            return Err(Error::Shape { what: "the buffers of a program", found, wanted });
        }
        if let Some(&most) = groups.iter().find(|&&count| count > self.gpu.limits.groups_max) {
            let (found, wanted) = (u64::from(most), u64::from(self.gpu.limits.groups_max));
            return Err(Error::Shape { what: "the workgroups of a program", found, wanted });
        }
        if groups.contains(&0) {
            return Ok(());
        }
        let compiled = self.gpu.compiled(program)?;
        let buffers: Vec<&Buffer> = buffers.iter().map(|buffer| buffer.unwrap_or(&self.gpu.nothing)).collect();
        let bound = self.gpu.bound(program, &compiled, &buffers);
        let mut words = [0u8; IMMEDIATE_BYTES as usize];
        for (to, word) in words.chunks_exact_mut(4).zip(immediates) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let pass = self.pass.get_or_insert_with(|| begin(&mut self.encoder));
        pass.set_pipeline(&compiled.pipeline);
        pass.set_bind_group(0, &bound, &[]);
        pass.set_immediates(0, &words);
        pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        self.counts.dispatches += 1;
        Ok(())
    }

    /// Copies bytes from a place in one buffer to a place in another.
    pub fn copy(&mut self, from: (&Buffer, u64), to: (&Buffer, u64), bytes: u64) {
        self.pass = None;
        self.encoder.copy_buffer_to_buffer(&from.0.raw, from.1, &to.0.raw, to.1, bytes);
    }

    /// Hands over what there is so far, without waiting for it.
    pub fn flush(&mut self) {
        self.pass = None;
        let fresh = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        self.gpu.queue.submit([std::mem::replace(&mut self.encoder, fresh).finish()]);
        self.counts.submissions += 1;
    }

    /// Hands all over, waits, and brings back the first words of a buffer where that is wanted.
    pub fn finish(&mut self, wanted: Option<(&Buffer, usize)>) -> Result<Vec<u32>> {
        self.pass = None;
        let gpu = self.gpu;
        gpu.check()?;
        let fresh = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("step") });
        let mut encoder = std::mem::replace(&mut self.encoder, fresh);
        let staging = match wanted {
            None => None,
            Some((buffer, count)) => {
                let size = count as u64 * 4;
                if size > buffer.bytes {
                    return Err(Error::Shape { what: "the bytes to read", found: size, wanted: buffer.bytes });
                }
                let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("results"),
                    size: size.max(4),
                    usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(&buffer.raw, 0, &staging, 0, size);
                self.counts.bytes_back += size;
                Some(staging)
            }
        };
        gpu.queue.submit([encoder.finish()]);
        self.counts.submissions += 1;
        let Some(staging) = staging else {
            gpu.wait()?;
            return Ok(Vec::new());
        };
        let (tell, told) = mpsc::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |mapped| {
            // Nobody waits for it any more where the other end is gone.
            let _ = tell.send(mapped);
        });
        gpu.wait()?;
        let lost = |reason: String| Error::Lost { reason };
        // Another thread that waits for the same card may be the one that tells.
        let mapped = told.recv_timeout(PATIENCE).map_err(|error| lost(error.to_string()))?;
        mapped.map_err(|error| lost(error.to_string()))?;
        let view = staging.slice(..).get_mapped_range().map_err(|error| lost(error.to_string()))?;
        let count = wanted.map_or(0, |(_, count)| count);
        Ok(view.as_chunks().0.iter().take(count).map(|word| u32::from_le_bytes(*word)).collect())
    }
}

fn begin(encoder: &mut wgpu::CommandEncoder) -> wgpu::ComputePass<'static> {
    let wanted = wgpu::ComputePassDescriptor { label: Some("step"), timestamp_writes: None };
    encoder.begin_compute_pass(&wanted).forget_lifetime()
}
