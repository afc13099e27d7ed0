//! The model that a command works with: found by path or by its name in the library, loaded with progress, stopped by Ctrl-C.

use std::{
    io::{IsTerminal, Write, stderr},
    ops::ControlFlow,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use huacaya_app::{
    App, Error, Places,
    engine::{LoadOptions, Model},
    progress::Progress,
    rows::Parameters,
};

use crate::failure::Failure;

/// What the tensor library reads its number of threads from, once, at its first use.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Which model, where and how it runs.
#[derive(Args)]
pub struct ModelOptions {
    /// A GGUF file, a Hugging Face folder, or the name of a model in the library
    #[arg(long, value_name = "MODEL")]
    pub model: String,
    /// A template's name instead of the one found: alpaca-2, chatml, llama-3, mistral, alpaca, none
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// Context length in tokens, instead of what the model was made for
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<usize>,
    /// Threads to compute with
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where to compute: cpu, gpu:0 (or a part of its name), cuda:0, metal
    #[arg(long, value_name = "DEVICE")]
    pub backend: Option<String>,
    /// Say nothing on standard error but errors
    #[arg(long)]
    pub quiet: bool,
}

/// A model in memory, and what the library sets for it.
pub struct Loaded {
    pub path: PathBuf,
    pub model: Arc<Model>,
    pub parameters: Parameters,
    pub stop: Stop,
}

/// Set by Ctrl-C.
#[derive(Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens from now on. A second Ctrl-C ends the program at once.
    pub fn listen() -> Result<Stop, Failure> {
        let stop = Stop(Arc::new(AtomicBool::new(false)));
        let flag = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    if flag.0.swap(true, Ordering::Relaxed) {
                        std::process::exit(130);
                    }
                }
            });
        });
        Ok(stop)
    }

    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ModelOptions {
    /// Finds and loads the model.
    pub fn load(&self) -> Result<Loaded, Failure> {
        self.with_threads()?;
        let stop = Stop::listen()?;
        let (path, parameters, set) = find(&self.model)?;
        let options = LoadOptions {
            context: self.context.or(parameters.context.map(|tokens| tokens as usize)),
            device: self.backend.clone(),
            template: self.template.clone().or(set),
            ..LoadOptions::default()
        };
        let mut meter = Meter::new("loading", self.quiet);
        let mut watch = |progress: Progress| {
            meter.show(progress);
            if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let model = Model::load(&path, &options, &mut watch).map_err(|error| Failure::of_model(&path, error))?;
        meter.clear();
        if let (Some(backend), Some(reason)) = (&self.backend, model.fell_back()) {
            return Err(Failure::Said(format!("{backend} cannot be used: {reason}\nhelp: leave --backend out")));
        }
        Ok(Loaded { path, model: Arc::new(model), parameters, stop })
    }

    /// Loads another model for the same device, whose prompts are rendered by the first.
    pub fn load_beside(&self, name: &str, stop: &Stop) -> Result<Arc<Model>, Failure> {
        let (path, ..) = find(name)?;
        let options = LoadOptions { device: self.backend.clone(), ..LoadOptions::default() };
        let mut watch = |_| if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let model = Model::load(&path, &options, &mut watch).map_err(|error| Failure::of_model(&path, error))?;
        Ok(Arc::new(model))
    }

    /// Starts this program again with the number of threads in its environment, where it is not there yet.
    fn with_threads(&self) -> Result<(), Failure> {
        let Some(threads) = self.threads else { return Ok(()) };
        let wanted = threads.to_string();
        if std::env::var(THREADS).is_ok_and(|set| set == wanted) {
            return Ok(());
        }
        let mut again = Command::new(std::env::current_exe()?);
        again.args(std::env::args_os().skip(1)).env(THREADS, wanted);
        #[cfg(unix)]
        return Err(std::os::unix::process::CommandExt::exec(&mut again).into());
        #[cfg(not(unix))]
        std::process::exit(again.status()?.code().unwrap_or(1));
    }
}

/// A path that is there, or else a name in the library, with what is set for it there.
fn find(name: &str) -> Result<(PathBuf, Parameters, Option<String>), Failure> {
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok((path, Parameters::default(), None));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let found = runtime.block_on(async {
        let app = App::open(Places::find()?).await?;
        let found = app.find_model(name).await;
        app.shut_down().await;
        found
    });
    let found = found.map_err(|error: Error| Failure::Said(format!("{name}: {}", error.detail)))?;
    Ok((found.path, found.parameters, found.template))
}

/// A line on a terminal that says how far something is.
pub struct Meter {
    what: &'static str,
    shown: bool,
    percent: u64,
}

impl Meter {
    pub fn new(what: &'static str, quiet: bool) -> Meter {
        Meter { what, shown: !quiet && stderr().is_terminal(), percent: u64::MAX }
    }

    pub fn show(&mut self, Progress { done, total }: Progress) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or_default();
        if self.shown && percent != self.percent {
            self.percent = percent;
            // A terminal that cannot show progress is no reason to fail.
            let _ = write!(stderr(), "\r{} {percent} %", self.what);
        }
    }

    pub fn clear(&self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
