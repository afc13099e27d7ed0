//! The model that a command works with: found by path or by its name in the library, loaded with progress, stopped by Ctrl-C.

use std::{
    io::{IsTerminal, stderr},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use huacaya_app::{
    App, Places,
    computing::{Here, Kept},
    devices,
    engine::{AUTO, KvFormat, LoadOptions, Model, leave_graphics},
    loading,
    models::{FitChoice, Verdict},
    progress::Progress,
    rows::Parameters,
};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::{
    failure::{Failure, INTERRUPTED},
    library::Library,
};

/// What the tensor library reads its number of threads from, once, at its first use.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Where there is no bar, a line says how far it is, not more often than this.
const LINE_PERCENT: u64 = 5;
const LINE_TIME: Duration = Duration::from_secs(2);

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
    #[command(flatten)]
    pub compute: ComputeOptions,
    /// Load the model even where it needs more memory than is free
    #[arg(long)]
    pub anyway: bool,
    /// Say nothing on standard error but errors
    #[arg(long)]
    pub quiet: bool,
}

/// Where models run, and on how many threads.
#[derive(Args)]
pub struct ComputeOptions {
    /// Threads to compute with, instead of what is set or was measured in the library
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// What keys and values are kept in on a processor: a smaller format holds longer texts, at a price in accuracy
    #[arg(long, value_name = "FORMAT", value_parser = kv_formats())]
    pub kv: Option<KvFormat>,
    /// Where to compute: auto, cpu, gpu:0 (or a part of its name), cuda:0, metal
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub backend: Option<String>,
}

impl ComputeOptions {
    /// The same for models that the library loads, in this process alone.
    pub fn here(&self) -> Here {
        Here { device: self.backend.clone(), threads: self.threads.map(usize::from) }
    }
}

fn device(name: &str) -> Result<String, String> {
    if devices::is_device(name) {
        return Ok(name.to_string());
    }
    let known: Vec<String> = devices::all().into_iter().map(|device| device.id).collect();
    Err(format!("there are auto, {} and gpu:0", known.join(", ")))
}

/// A model in memory, and what the library sets for it.
pub struct Loaded {
    pub path: PathBuf,
    pub model: Arc<Model>,
    pub parameters: Parameters,
    pub stop: Stop,
}

/// Set by Ctrl-C, and by what service managers send (SIGTERM).
#[derive(Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// Nothing is under way that would have to end first.
    idle: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on. A second Ctrl-C or SIGTERM ends the program at once, and so does the first where nothing is
    /// under way.
    pub fn listen() -> Result<Stop, Failure> {
        let stop = Stop::default();
        let told = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                while signalled().await.is_ok() {
                    if told.asked.swap(true, Ordering::SeqCst) || told.idle.load(Ordering::SeqCst) {
                        leave_graphics();
                        std::process::exit(INTERRUPTED.into());
                    }
                }
            });
        });
        Ok(stop)
    }

    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for what another thread or a person does: a signal meanwhile ends the program.
    pub fn idle<T>(&self, wait: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.idle.store(true, Ordering::SeqCst);
        // Whoever was asked a moment before is not asked again.
        let done = if self.asked() { Err(Failure::Interrupted) } else { wait() };
        self.idle.store(false, Ordering::SeqCst);
        done
    }

    /// What was asked has been done: the next Ctrl-C is a first one again.
    pub fn done(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }
}

async fn signalled() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = term.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

impl ModelOptions {
    /// Finds and loads the model.
    pub fn load(&self) -> Result<Loaded, Failure> {
        self.with_threads()?;
        let stop = Stop::listen()?;
        let (path, parameters, set) = find(&self.model)?;
        let kept = self.kept()?;
        let options = LoadOptions {
            context: self.context.or(parameters.context.map(|tokens| tokens as usize)),
            template: self.template.clone().or(set),
            ..kept.options()
        };
        let options = self.fitting(&path, options)?;
        let mut meter = Meter::new("loading", self.quiet);
        let mut watch = |progress: Progress| {
            meter.show(progress);
            if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let model = Model::load(&path, &options, &mut watch);
        meter.clear();
        let mut model = model.map_err(|error| Failure::of_model(&path, error))?;
        kept.apply(&mut model).map_err(|error| Failure::of_model(&path, error))?;
        if let (Some(wanted), found) = (self.compute.kv, model.kv_format())
            && found != Some(wanted)
        {
            let found = found.map_or("f32 or f16 as another decoder does", KvFormat::name);
            let wanted = wanted.name();
            return Err(Failure::Said(format!(
                "{}: keys and values cannot be kept in {wanted} here, but in {found}\nhelp: leave --kv out",
                path.display()
            )));
        }
        let backend = self.compute.backend.as_ref().filter(|backend| *backend != AUTO);
        if let (Some(backend), Some(reason)) = (backend, model.fell_back()) {
            return Err(Failure::Said(format!("{backend} cannot be used: {reason}\nhelp: leave --backend out")));
        }
        let model = Arc::new(model);
        kept.share(&model);
        Ok(Loaded { path, model, parameters, stop })
    }

    /// Options whose context fits into the free memory; where none was asked for, the longest that does.
    fn fitting(&self, path: &Path, options: LoadOptions) -> Result<LoadOptions, Failure> {
        let fit = loading::room(path, &options).map_err(|error| Failure::of_model(path, error))?;
        if fit.verdict != Verdict::TooLarge || self.anyway {
            return Ok(options);
        }
        if let (None, Some(choice)) = (options.context, fit.choices.iter().find(|choice| choice.kv.is_none())) {
            if !self.quiet {
                eprintln!("memory is short: a context of {} tokens instead of {}", choice.context, fit.context);
            }
            return Ok(LoadOptions { context: Some(choice.context as usize), ..options });
        }
        let way = |choice: &FitChoice| match &choice.kv {
            Some(kv) => format!("--context {} --kv {kv}", choice.context),
            None => format!("--context {}", choice.context),
        };
        let ways = match fit.choices.first() {
            Some(choice) => format!("{} would fit; or close other programs, or --anyway", way(choice)),
            None => "close other programs, take a smaller model, or --anyway".to_string(),
        };
        let (needed, free) = (HumanBytes(fit.total), HumanBytes(fit.free));
        let path = path.display();
        Err(Failure::NoRoom(format!("{path} needs {needed} of memory, {free} are free\nhelp: {ways}")))
    }

    /// Loads another model for the same device, whose prompts are rendered by the first.
    pub fn load_beside(&self, name: &str, stop: &Stop) -> Result<Arc<Model>, Failure> {
        let (path, ..) = find(name)?;
        let kept = self.kept()?;
        let mut watch = |_| if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let mut model =
            Model::load(&path, &kept.options(), &mut watch).map_err(|error| Failure::of_model(&path, error))?;
        kept.apply(&mut model).map_err(|error| Failure::of_model(&path, error))?;
        let model = Arc::new(model);
        kept.share(&model);
        Ok(model)
    }

    /// What the library says about computing, under what the command line says.
    fn kept(&self) -> Result<Kept, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let places = Places::find()?;
        Ok(runtime.block_on(Kept::of(&places)).under(self.compute.here(), self.compute.kv))
    }

    /// Starts this program again with the number of threads in its environment, where it is not there yet.
    fn with_threads(&self) -> Result<(), Failure> {
        let Some(threads) = self.compute.threads else { return Ok(()) };
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

fn kv_formats() -> impl TypedValueParser<Value = KvFormat> {
    // The names are those that it knows.
    PossibleValuesParser::new(KvFormat::ALL.map(KvFormat::name))
        .map(|name| KvFormat::from_name(&name).unwrap_or_default())
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
    let found = found.map_err(|error| match Failure::from(error) {
        Failure::NotThere(words) => Failure::NotThere(format!("{name}: {words}")),
        failure => failure,
    })?;
    Ok((found.path, found.parameters, found.template))
}

/// Where a model lies: at a path, or in the library under a name, in which an adapter may have one, too.
pub fn place(name: &Path) -> Result<PathBuf, Failure> {
    if name.exists() {
        return Ok(name.to_path_buf());
    }
    let Some(text) = name.to_str() else {
        return Err(Failure::NotThere(format!("{}: there is no such file", name.display())));
    };
    Library::with(true, async |library| Ok(PathBuf::from(library.model(text).await?.path)))
}

/// How far something is: a bar on a terminal, now and then a line elsewhere, both on standard error.
pub struct Meter {
    what: &'static str,
    quiet: bool,
    bar: Option<ProgressBar>,
    percent: u64,
    told: Instant,
}

impl Meter {
    pub fn new(what: &'static str, quiet: bool) -> Meter {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %  {eta}");
            // The template is the program's own: a wrong one is shown as the library's usual bar.
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what)
        });
        Meter { what, quiet, bar, percent: 0, told: Instant::now() }
    }

    pub fn show(&mut self, Progress { done, total }: Progress) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or_default();
        match &self.bar {
            _ if self.quiet || total == 0 => {}
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            None if percent >= self.percent + LINE_PERCENT && self.told.elapsed() >= LINE_TIME => {
                (self.percent, self.told) = (percent, Instant::now());
                eprintln!("{} {percent} %", self.what);
            }
            None => {}
        }
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
