//! A model file and a prompt in, tokens out: tokenizer, templates, decoder, sampling, sessions.
//!
//! Modules in reading order: what a model is (`config`, `rope`), how it computes (`native`, `graphics`, `candle`, `device`), text
//! (`tokenizer`, `template`, `sampling`, `grammar`, `text`), a loaded model (`model`, `memory`, `context`), answers (`engine`),
//! and what a model is worth (`measure`).
//!
//! The public face is seven things: [`Model`], [`Engine`] with [`Request`] and [`TokenStream`], [`Adapter`], [`Grammar`],
//! [`fit`], [`measure`], and [`candle::Decoder`] for training.

mod adapter;
mod answer;
mod backend;
pub mod candle;
pub mod config;
mod context;
mod device;
mod engine;
mod error;
mod grammar;
mod graphics;
pub mod measure;
mod memory;
mod model;
mod native;
mod reader;
pub mod rope;
pub mod sampling;
mod session;
mod source;
mod speculation;
mod stream;
pub mod template;
pub mod text;
pub mod tokenizer;
mod worker;

pub use adapter::Adapter;
pub use context::{Fitted, fit};
pub use device::{AUTO, Available, CPU, devices};
pub use engine::{Engine, Request, Score, Scores, embed};
pub use error::{Error, Result};
pub use grammar::{Fault as GrammarFault, Grammar};
pub use graphics::{
    GPU_VARIABLE, graphics_child, graphics_devices, leave_graphics, remember_graphics_in, try_graphics_again,
};
pub use huacaya_kernels::{InstructionSet, KERNELS_VARIABLE, Kernels, physical_cores};
pub use memory::Memory;
pub use model::{
    BACKEND_VARIABLE, Description, Extension, Kind, LoadOptions, Model, POSITIONS_LEAST, Way, candle_is_forced,
};
pub use native::{CHUNK, KvFormat};
pub use speculation::check_draft;
pub use stream::{Event, Finish, Stats, Stopper, TokenStream};
pub use text::STOP_BYTES_MAX;
