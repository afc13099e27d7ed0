//! The command-line face: a model file and a text in, tokens out, without any window.
//!
//! Results go to standard output, everything else to standard error. What the exit statuses mean stands in `failure`.

mod batch;
mod bench;
mod chat;
mod chats;
mod convert;
mod doctor;
mod drawing;
mod failure;
mod generate;
mod library;
mod logits;
mod measure;
mod model;
mod models;
mod screen;
mod serve;
mod shells;
mod text;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Runs language models of the Llama family on this computer.
#[derive(Parser)]
#[command(name = "huacaya-cli", version, propagate_version = true, after_help = failure::STATUSES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Talks with a model on the terminal; the conversation is kept, and the window shows it.
    Chat(chat::Options),
    /// Answers a prompt, or continues a text with --raw.
    Generate(generate::Options),
    /// Answers many prompts of a file, several at a time, and goes on where it was stopped.
    Batch(batch::Options),
    /// Reads text from standard input and prints one array of token ids for each line, without a start token.
    Tokenize(text::TokenizeOptions),
    /// Reads [{"role", "content"}, …] from standard input and prints the prompt that the model would get.
    Template(text::TemplateOptions),
    /// Writes the logits after each token of a text: f32, little-endian, (tokens, vocabulary).
    Logits(logits::Options),
    /// The models of the library: list, search, pull, import, rm, inspect, verify.
    Models(models::Options),
    /// The chats of the library: list, export, import, search.
    Chats(chats::Options),
    /// Answers programs on this computer in the language of the OpenAI API, until Ctrl-C.
    Serve(serve::Options),
    /// Says what this computer offers, where things lie, and what would be recommended.
    Doctor(doctor::Options),
    /// Prints a script that completes commands in a shell.
    Completions(shells::CompletionsOptions),
    /// Writes manual pages.
    Man(shells::ManOptions),
    /// Writes a model as a GGUF file of any format, with LoRA adapters merged on the way.
    #[command(visible_alias = "quantize")]
    Convert(convert::ConvertOptions),
    /// Merges LoRA adapters into a base model: a new Hugging Face folder.
    Merge(convert::MergeOptions),
    /// Measures how fast a model loads, reads and writes on this computer.
    Bench(bench::BenchOptions),
    /// Says how surprised a model is by a text, as llama.cpp's llama-perplexity does.
    Perplexity(measure::PerplexityOptions),
    /// Gathers an importance matrix from a text, for quantizing with it.
    #[command(visible_alias = "imatrix")]
    Importance(measure::ImportanceOptions),
}

fn main() -> ExitCode {
    if huacaya_app::engine::graphics_child() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Chat(options) => chat::run(&options),
        Command::Batch(options) => batch::run(&options),
        Command::Generate(options) => generate::run(&options),
        Command::Tokenize(options) => text::tokenize(&options),
        Command::Template(options) => text::template(&options),
        Command::Logits(options) => logits::run(&options),
        Command::Models(options) => models::run(&options),
        Command::Chats(options) => chats::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Completions(options) => shells::completions(&options),
        Command::Man(options) => shells::man(&options),
        Command::Convert(options) => convert::run(&options),
        Command::Merge(options) => convert::run_merge(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Perplexity(options) => measure::perplexity(options),
        Command::Importance(options) => measure::importance(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Unread) {
                eprintln!("{failure}");
            }
            failure.status()
        }
    }
}
