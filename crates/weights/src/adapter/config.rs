//! `adapter_config.json`: what decides how an adapter is merged. What would change the meaning and is not supported is
//! refused by its name; what only mattered to training is not looked at.

use serde_json::{Map, Value};

use super::Fault;

/// Those in use are 4 to 512.
const RANK_MAX: u64 = 1 << 14;
/// One for each module at most.
const NAMES_MAX: usize = 1 << 16;
/// Characters of a value that an error repeats.
const VALUE_SHOWN: usize = 80;
/// Settings that change what the tensors mean, unless they are empty, null or false.
const UNSUPPORTED: [&str; 16] = [
    "use_dora",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "loftq_config",
    "corda_config",
    "lora_ga_config",
    "enable_lora",
];
/// First values that leave the base as it is. Others (`pissa`, `olora`, …) take something from the base, which a merge
/// would have to know.
const FIRST_VALUES: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What an `adapter_config.json` says. Untrusted, but within its limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub rank: usize,
    pub alpha: f64,
    /// The scale is alpha / sqrt(rank), not alpha / rank.
    pub rslora: bool,
    /// The base's matrices are stored (in, out).
    pub fan_in_fan_out: bool,
    /// Modules that have pairs, by the ends of their names; empty where they are given by an expression.
    pub target_modules: Vec<String>,
    /// Modules that are replaced whole.
    pub modules_to_save: Vec<String>,
    /// What it was trained on, as its maker called it: a repository's name or a path.
    pub base_model_name: Option<String>,
    /// Whether only some layers have pairs.
    pub some_layers: bool,
    ranks: Vec<(Pattern, usize)>,
    alphas: Vec<(Pattern, f64)>,
}

/// A module's name or the end of one, in whole parts.
#[derive(Clone, Debug, PartialEq)]
struct Pattern {
    name: String,
    /// It is the whole name.
    whole: bool,
}

impl Config {
    /// Reads an `adapter_config.json`.
    pub fn read(config: &Value) -> Result<Config, Fault> {
        let Value::Object(fields) = config else { return Err(Fault::Config { detail: "it is no object".into() }) };
        match fields.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            other => return Err(Fault::PeftType { kind: short(other.unwrap_or("none")) }),
        }
        refuse_unsupported(fields)?;
        let rank = rank_of(fields.get("r").unwrap_or(&Value::Null), "r")?;
        let base_model_name =
            fields.get("base_model_name_or_path").and_then(Value::as_str).filter(|name| !name.is_empty());
        let set = |name: &str| fields.get(name).is_some_and(|value| !is_off(value));
        Ok(Config {
            rank,
            alpha: alpha(fields.get("lora_alpha").unwrap_or(&Value::Null), "lora_alpha")?,
            rslora: flag(fields, "use_rslora")?,
            fan_in_fan_out: flag(fields, "fan_in_fan_out")?,
            target_modules: names(fields, "target_modules")?,
            modules_to_save: names(fields, "modules_to_save")?,
            base_model_name: base_model_name.map(str::to_owned),
            some_layers: set("layers_to_transform") || set("exclude_modules"),
            ranks: patterns(fields, "rank_pattern", |value| rank_of(value, "rank_pattern"))?,
            alphas: patterns(fields, "alpha_pattern", |value| alpha(value, "alpha_pattern"))?,
        })
    }

    /// Rank and scale of the module with this name.
    pub fn of(&self, module: &str) -> (usize, f64) {
        let rank = self.ranks.iter().find(|(pattern, _)| pattern.fits(module)).map_or(self.rank, |&(_, rank)| rank);
        let alpha =
            self.alphas.iter().find(|(pattern, _)| pattern.fits(module)).map_or(self.alpha, |&(_, alpha)| alpha);
        let scale = if self.rslora { alpha / (rank as f64).sqrt() } else { alpha / rank as f64 };
        (rank, scale)
    }

    /// Whether the module with this name should have a pair, as far as the configuration says it by names.
    pub fn targets(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| ends_with_parts(module, target))
    }
}

impl Pattern {
    /// PEFT takes any regular expression; a name with dots is what is written in practice.
    fn read(text: &str) -> Option<Pattern> {
        let (text, begins) = text.strip_prefix('^').map_or((text, false), |text| (text, true));
        let name = text.strip_suffix('$').unwrap_or(text).replace("\\.", ".");
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        (!name.is_empty() && name.chars().all(plain)).then_some(Pattern { name, whole: begins })
    }

    fn fits(&self, module: &str) -> bool {
        if self.whole { module == self.name } else { ends_with_parts(module, &self.name) }
    }
}

/// Whether the name ends with these parts, whole ones.
fn ends_with_parts(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn refuse_unsupported(fields: &Map<String, Value>) -> Result<(), Fault> {
    let unsupported = |setting: &str, value: &Value| {
        Err(Fault::Unsupported { setting: setting.to_owned(), value: short(&value.to_string()) })
    };
    for setting in UNSUPPORTED {
        match fields.get(setting) {
            Some(value) if !is_off(value) => return unsupported(setting, value),
            _ => {}
        }
    }
    match fields.get("bias") {
        None | Some(Value::Null) => {}
        Some(Value::String(bias)) if bias == "none" => {}
        Some(value) => return unsupported("bias", value),
    }
    match fields.get("init_lora_weights") {
        None | Some(Value::Null | Value::Bool(_)) => Ok(()),
        Some(Value::String(name)) if FIRST_VALUES.contains(&name.as_str()) => Ok(()),
        Some(value) => unsupported("init_lora_weights", value),
    }
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn flag(fields: &Map<String, Value>, setting: &'static str) -> Result<bool, Fault> {
    match fields.get(setting) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(value) => Err(Fault::Value { setting, value: short(&value.to_string()) }),
    }
}

fn rank_of(value: &Value, setting: &'static str) -> Result<usize, Fault> {
    let rank = value.as_u64().filter(|rank| (1..=RANK_MAX).contains(rank));
    rank.map(|rank| rank as usize).ok_or_else(|| Fault::Value { setting, value: short(&value.to_string()) })
}

fn alpha(value: &Value, setting: &'static str) -> Result<f64, Fault> {
    let alpha = value.as_f64().filter(|alpha| alpha.is_finite());
    alpha.ok_or_else(|| Fault::Value { setting, value: short(&value.to_string()) })
}

/// A list of names; one that is an expression, or none, is no list.
fn names(fields: &Map<String, Value>, setting: &'static str) -> Result<Vec<String>, Fault> {
    let wrong = |value: &Value| Fault::Value { setting, value: short(&value.to_string()) };
    match fields.get(setting) {
        None | Some(Value::Null | Value::String(_)) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= NAMES_MAX => {
            values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value))).collect()
        }
        Some(value) => Err(wrong(value)),
    }
}

fn patterns<T>(
    fields: &Map<String, Value>,
    setting: &'static str,
    read: impl Fn(&Value) -> Result<T, Fault>,
) -> Result<Vec<(Pattern, T)>, Fault> {
    match fields.get(setting) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(entries)) if entries.len() <= NAMES_MAX => {
            let pattern = |text: &String| {
                let unsupported = || Fault::Unsupported { setting: setting.to_owned(), value: short(text) };
                Pattern::read(text).ok_or_else(unsupported)
            };
            entries.iter().map(|(text, value)| Ok((pattern(text)?, read(value)?))).collect()
        }
        Some(value) => Err(Fault::Value { setting, value: short(&value.to_string()) }),
    }
}

fn short(text: &str) -> String {
    text.chars().take(VALUE_SHOWN).collect()
}
