//! `huacaya-train RECIPE [train | first [FILE] | export [FILE] | evaluate [FILE] | speed | ask QUESTION…]`: trains a model, or a
//! LoRA adapter beside one, as a recipe says.
//!
//! `train` (the default) goes on from the newest checkpoint, writes the model file at the end and asks it the held-out
//! questions. A file named `stop` in the work folder stops it after a checkpoint. `first` writes the model file with untrained
//! weights, `export` with those of the newest checkpoint; `evaluate` asks a model file the held-out questions. Of an adapter,
//! whose recipe names a `base`, there are `train`, `export [FOLDER]`, `evaluate [FOLDER]` and `ask`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use huacaya_engine::candle::{Ops, Plain};
use huacaya_engine::tokenizer::Tokenizer;
use huacaya_engine::{Adapter, Engine, LoadOptions, Model};
use huacaya_progress::unwatched;
use huacaya_train::checkpoint::Named;
use huacaya_train::evaluation::{self, Question, Report};
use huacaya_train::ops::Training;
use huacaya_train::{Error, Recipe, Result, Run, data, export, lora, run};
use huacaya_weights::Format;

/// Steps that `speed` times.
const SPEED_STEPS: usize = 10;
const DESCRIPTION: &str = "The small bilingual demonstration model that comes with Huacaya";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(recipe) = arguments.first() else {
        eprintln!(
            "usage: huacaya-train RECIPE [train | first [FILE] | export [FILE] | evaluate [FILE] | speed | ask QUESTION...]"
        );
        return ExitCode::from(2);
    };
    match perform(Path::new(recipe), arguments.get(1).map_or("train", String::as_str), &arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(path: &Path, command: &str, rest: &[String]) -> Result<()> {
    if lora::Recipe::is_at(path)? {
        return adapt(&lora::Recipe::read(path)?, command, rest);
    }
    let recipe = Recipe::read(path)?;
    let tokenizer_path = &recipe.files.tokenizer;
    let bytes = std::fs::read(tokenizer_path).map_err(|source| Error::Io { path: tokenizer_path.clone(), source })?;
    let tokenizer = Tokenizer::from_model_file(&bytes).map_err(huacaya_engine::Error::from)?;
    let config = recipe.config(tokenizer.vocabulary_size());
    let newest = || run::newest_weights(&recipe.files.work, &config).map(|(_, weights)| weights);
    let model = || rest.get(1).map_or(recipe.files.model.clone(), PathBuf::from);
    match command {
        "train" => {
            train(recipe.clone(), &tokenizer)?;
            write_model(&recipe, &tokenizer, &newest()?, &recipe.files.model)?;
            evaluate(&recipe.files.held_out, &load(&recipe.files.model)?, &[])
        }
        "first" => write_model(&recipe, &tokenizer, &run::first_weights(&config, recipe.seed)?, &model()),
        "export" => write_model(&recipe, &tokenizer, &newest()?, &model()),
        "evaluate" => evaluate(&recipe.files.held_out, &load(&model())?, &[]),
        "speed" => speed(&recipe, &tokenizer),
        "ask" => ask(&load(&recipe.files.model)?, &[], &rest[1..]),
        other => Err(Error::Recipe { what: format!("there is no command `{other}`") }),
    }
}

fn train(recipe: Recipe, tokenizer: &Tokenizer) -> Result<()> {
    let stop: PathBuf = recipe.files.work.join("stop");
    let mut run = Run::open(recipe, tokenizer)?;
    println!("{} parameters, at step {}", run.config().parameter_count(), run.state().step);
    run.train(&mut |_| if stop.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
}

fn write_model(recipe: &Recipe, tokenizer: &Tokenizer, weights: &Named, path: &Path) -> Result<()> {
    let config = recipe.config(tokenizer.vocabulary_size());
    let about = export::About { name: &recipe.name, description: DESCRIPTION };
    export::write(path, &about, &config, tokenizer, weights, Format::Q8_0)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Tokens a second with plain candle ops on one thread, and with our own on a thread for each shard.
fn speed(recipe: &Recipe, tokenizer: &Tokenizer) -> Result<()> {
    let data = &recipe.stages[0].data;
    let examples = Arc::new(data::read(data, tokenizer, recipe.model.context)?);
    let ways: [(&str, usize, Arc<dyn Ops>); 3] = [
        ("plain, one thread", 1, Arc::new(Plain)),
        ("own, one thread", 1, Arc::new(Training)),
        ("own, threads", recipe.batch.shards, Arc::new(Training)),
    ];
    for (name, shards, ops) in ways {
        let mut recipe = recipe.clone();
        (recipe.batch.shards, recipe.files.work) = (shards, recipe.files.work.join("speed"));
        let of_each_stage = vec![Arc::clone(&examples); recipe.stages.len()];
        let mut run = Run::new(recipe, tokenizer.vocabulary_size(), of_each_stage, ops)?;
        run.advance()?;
        let (began, mut tokens) = (Instant::now(), 0);
        for _ in 0..SPEED_STEPS {
            tokens += run.advance()?.tokens;
        }
        println!("{name}: {:.0} tokens/s", tokens as f64 / began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// As [`perform`], of an adapter.
fn adapt(recipe: &lora::Recipe, command: &str, rest: &[String]) -> Result<()> {
    let folder = rest.get(1).map_or(recipe.files.adapter.clone(), PathBuf::from);
    let beside = |folder: &Path| -> Result<_> {
        let (engine, model) = load(&recipe.base)?;
        let adapter = Arc::new(Adapter::load(folder, &model)?);
        Ok(((engine, model), [adapter]))
    };
    match command {
        "train" => {
            let mut run = lora::Run::open(recipe)?;
            let parameters: usize = run.weights().iter().map(|(_, tensor)| tensor.elem_count()).sum();
            println!("{parameters} parameters, at step {}", run.run().state().step);
            let stop = recipe.files.work.join("stop");
            run.run().train(&mut |_| if stop.exists() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })?;
            run.save(&recipe.files.adapter)?;
            println!("wrote {}", recipe.files.adapter.display());
            let (loaded, adapters) = beside(&recipe.files.adapter)?;
            evaluate(&recipe.files.held_out, &loaded, &adapters)
        }
        "export" => lora::Run::open(recipe)?.save(&folder),
        "evaluate" => {
            let (loaded, adapters) = beside(&folder)?;
            evaluate(&recipe.files.held_out, &loaded, &adapters)
        }
        "ask" => {
            let (loaded, adapters) = beside(&recipe.files.adapter)?;
            ask(&loaded, &adapters, &rest[1..])
        }
        other => Err(Error::Recipe { what: format!("of an adapter there is no command `{other}`") }),
    }
}

/// Asks a model the held-out questions.
fn evaluate(held_out: &Path, (engine, model): &Loaded, adapters: &[Arc<Adapter>]) -> Result<()> {
    let mut report = Report::default();
    for question in evaluation::read(held_out)? {
        let answer = evaluation::ask_beside(engine, model, adapters, &question)?;
        let right = question.right(&answer);
        report.add(&question, right);
        if !right {
            println!("wrong, {} {}: {} -> {answer}", question.category, question.language, question.question);
        }
    }
    println!("{report}");
    Ok(())
}

/// Prints the answer to each question, each asked alone.
fn ask((engine, model): &Loaded, adapters: &[Arc<Adapter>], questions: &[String]) -> Result<()> {
    for text in questions {
        let question = Question { question: text.clone(), ..Question::default() };
        println!("{text}\n  {}", evaluation::ask_beside(engine, model, adapters, &question)?);
    }
    Ok(())
}

type Loaded = (Engine, Arc<Model>);

fn load(model: &Path) -> Result<Loaded> {
    let model = Model::load(model, &LoadOptions::default(), &mut unwatched())?;
    Ok((Engine::start()?, Arc::new(model)))
}
