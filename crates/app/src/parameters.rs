//! The layers of parameters and their merge: program < model < person < persona < chat.

use std::hash::{BuildHasher, Hasher, RandomState};

use huacaya_engine::{Grammar, GrammarFault as Fault, STOP_BYTES_MAX, sampling::Sampling};
use huacaya_store::{AnswerFormat, Parameters};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    error::{Code, Error, Result},
};

/// The system prompt where neither chat, persona nor person says otherwise: the family's own, in both languages.
pub const SYSTEM_PROMPT: &str = "You are a helpful assistant. 你是一个乐于助人的助手。";

/// What holds where no layer says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Defaults {
    pub parameters: Parameters,
    pub system_prompt: String,
}

/// The program's own values: those of the original Chinese-Alpaca-2 tools, everything else switched off.
pub fn program() -> Parameters {
    Parameters {
        temperature: Some(0.2),
        top_k: Some(40),
        top_p: Some(0.9),
        min_p: Some(0.0),
        repetition_penalty: Some(1.1),
        penalty_window: Some(64),
        frequency_penalty: Some(0.0),
        presence_penalty: Some(0.0),
        dry_multiplier: Some(0.0),
        dry_base: Some(1.75),
        dry_allowed_length: Some(2),
        xtc_probability: Some(0.0),
        xtc_threshold: Some(0.1),
        logit_bias: Some(Vec::new()),
        seed: None,
        tokens_max: Some(512),
        stop: Some(Vec::new()),
        guidance: Some(1.0),
        negative_prompt: Some(String::new()),
        context: None,
        thinking: None,
        format: Some(AnswerFormat::Free),
    }
}

/// What the bundled demo model is best run with: it counts and makes lists, which a penalty on repetition would spoil.
pub fn demo() -> Parameters {
    Parameters { repetition_penalty: Some(1.0), tokens_max: Some(400), ..Parameters::default() }
}

/// The values of `over`, and where it has none those of `under`.
pub fn merge(under: Parameters, over: &Parameters) -> Parameters {
    macro_rules! layered {
        ($($field:ident),*) => { Parameters { $($field: over.$field.clone().or(under.$field)),* } };
    }
    layered!(
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        penalty_window,
        frequency_penalty,
        presence_penalty,
        dry_multiplier,
        dry_base,
        dry_allowed_length,
        xtc_probability,
        xtc_threshold,
        logit_bias,
        seed,
        tokens_max,
        stop,
        guidance,
        negative_prompt,
        context,
        thinking,
        format
    )
}

/// The most tokens that one answer may have: a whole book; beyond it a slip of the finger.
const TOKENS_MAX: f64 = 131_072.0;
/// The most that the engine takes, and far more than any model was made for.
const CONTEXT_MAX: f64 = 16_777_216.0;
/// The window of the penalties is looked through for every token.
const WINDOW_MAX: f64 = 8_192.0;
/// Each is looked for in every piece of text.
const STOPS_MAX: usize = 32;
/// A bias for each token of a large vocabulary would be a mistake.
const BIASES_MAX: usize = 1_024;

/// Refuses values that are out of range; NaN is in no range.
pub fn check(layer: &Parameters) -> Result<()> {
    let fraction = |value: Option<f32>| value.map(f64::from);
    let count = |value: Option<u32>| value.map(f64::from);
    let ranges = [
        ("temperature", fraction(layer.temperature), 0.0, 10.0),
        ("top_k", count(layer.top_k), 0.0, 1_000_000.0),
        ("top_p", fraction(layer.top_p), 0.0, 1.0),
        ("min_p", fraction(layer.min_p), 0.0, 1.0),
        ("repetition_penalty", fraction(layer.repetition_penalty), 0.1, 10.0),
        ("penalty_window", count(layer.penalty_window), 0.0, WINDOW_MAX),
        ("frequency_penalty", fraction(layer.frequency_penalty), -10.0, 10.0),
        ("presence_penalty", fraction(layer.presence_penalty), -10.0, 10.0),
        ("dry_multiplier", fraction(layer.dry_multiplier), 0.0, 100.0),
        ("dry_base", fraction(layer.dry_base), 1.0, 10.0),
        ("dry_allowed_length", count(layer.dry_allowed_length), 1.0, 1_000.0),
        ("xtc_probability", fraction(layer.xtc_probability), 0.0, 1.0),
        ("xtc_threshold", fraction(layer.xtc_threshold), 0.0, 1.0),
        ("tokens_max", count(layer.tokens_max), 1.0, TOKENS_MAX),
        ("guidance", fraction(layer.guidance), 0.0, 100.0),
        ("context", count(layer.context), 64.0, CONTEXT_MAX),
        ("stop", layer.stop.as_ref().map(|stops| stops.len() as f64), 0.0, STOPS_MAX as f64),
        ("logit_bias", layer.logit_bias.as_ref().map(|biases| biases.len() as f64), 0.0, BIASES_MAX as f64),
    ];
    for (name, value, least, most) in ranges {
        if let Some(value) = value {
            within(name, value, least, most)?;
        }
    }
    if let Some(stop) = layer.stop.iter().flatten().find(|stop| stop.len() > STOP_BYTES_MAX) {
        let detail = format!("a text of stop has {} bytes; {STOP_BYTES_MAX} are the most", stop.len());
        let error = Error::new(Code::ParameterInvalid, detail).with("parameter", "stop").with("value", stop.len());
        return Err(error.with("least", 1).with("most", STOP_BYTES_MAX));
    }
    for (_, bias) in layer.logit_bias.iter().flatten() {
        within("logit_bias", f64::from(*bias), -1_000.0, 1_000.0)?;
    }
    layer.format.as_ref().map_or(Ok(()), check_format)
}

/// Refuses a form that no answer can be held to, with the place of the fault where there is one. What only a model's own
/// vocabulary can tell shows when it answers.
pub fn check_format(format: &AnswerFormat) -> Result<()> {
    let Some(grammar) = grammar(format)? else { return Ok(()) };
    grammar.check().map_err(|Fault { place, reason }| fault(place, &reason))
}

/// What the engine holds the answer to; nothing where any text will do.
pub fn grammar(format: &AnswerFormat) -> Result<Option<Grammar>> {
    Ok(match format {
        AnswerFormat::Free => None,
        AnswerFormat::JsonObject => Some(Grammar::JsonObject),
        AnswerFormat::JsonSchema(source) => {
            let schema = serde_json::from_str(source);
            let schema = schema.map_err(|error| {
                // Its own words end with the place.
                let words = error.to_string();
                let reason = words.split(" at line ").next().unwrap_or_default();
                fault(Some((error.line(), error.column())), reason)
            })?;
            Some(Grammar::JsonSchema(schema))
        }
        AnswerFormat::Lark(source) => Some(Grammar::Lark(source.clone())),
        AnswerFormat::Regex(source) => Some(Grammar::Regex(source.clone())),
    })
}

/// Lines and columns from 1.
fn fault(place: Option<(usize, usize)>, reason: &str) -> Error {
    match place {
        None => {
            let detail = format!("the format of the answer cannot be used: {reason}");
            Error::new(Code::FormatInvalid, detail).with("reason", reason)
        }
        Some((line, column)) => {
            let detail = format!("the format of the answer, line {line}, column {column}: {reason}");
            let error = Error::new(Code::FormatFault, detail).with("line", line).with("column", column);
            error.with("reason", reason)
        }
    }
}

fn within(name: &'static str, value: f64, least: f64, most: f64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let detail = format!("{name} is {value}; {least} to {most} is allowed");
    let error = Error::new(Code::ParameterInvalid, detail).with("parameter", name).with("value", value);
    Err(error.with("least", least).with("most", most))
}

/// Draws a seed where none is set, so that it can be kept.
pub fn draw_seed(parameters: &mut Parameters) {
    parameters.seed.get_or_insert_with(|| RandomState::new().build_hasher().finish() as u32);
}

/// How the engine draws, from values that are all filled.
pub fn sampling(filled: &Parameters) -> Sampling {
    let rest = Sampling::default();
    Sampling {
        temperature: filled.temperature.unwrap_or(rest.temperature),
        top_k: filled.top_k.unwrap_or(rest.top_k),
        top_p: filled.top_p.unwrap_or(rest.top_p),
        min_p: filled.min_p.unwrap_or(rest.min_p),
        repetition_penalty: filled.repetition_penalty.unwrap_or(rest.repetition_penalty),
        penalty_window: filled.penalty_window.unwrap_or(rest.penalty_window),
        frequency_penalty: filled.frequency_penalty.unwrap_or(rest.frequency_penalty),
        presence_penalty: filled.presence_penalty.unwrap_or(rest.presence_penalty),
        dry_multiplier: filled.dry_multiplier.unwrap_or(rest.dry_multiplier),
        dry_base: filled.dry_base.unwrap_or(rest.dry_base),
        dry_allowed_length: filled.dry_allowed_length.unwrap_or(rest.dry_allowed_length),
        xtc_probability: filled.xtc_probability.unwrap_or(rest.xtc_probability),
        xtc_threshold: filled.xtc_threshold.unwrap_or(rest.xtc_threshold),
        logit_bias: filled.logit_bias.clone().unwrap_or_default(),
        seed: filled.seed.map_or(rest.seed, u64::from),
        guidance: filled.guidance.unwrap_or(rest.guidance),
    }
}

impl App {
    /// Whether answers can be held to this form.
    pub(crate) async fn check_format(&self, format: AnswerFormat) -> Result<()> {
        crate::blocking(move || check_format(&format)).await
    }

    pub(crate) async fn defaults(&self) -> Result<Defaults> {
        Ok(Defaults { parameters: program(), system_prompt: SYSTEM_PROMPT.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_hides_only_what_it_says() {
        let over = Parameters { temperature: Some(0.9), stop: Some(vec!["。".into()]), ..Parameters::default() };
        let merged = merge(program(), &over);
        assert_eq!((merged.temperature, merged.top_k), (Some(0.9), Some(40)));
        assert_eq!(merged.stop, Some(vec!["。".to_string()]));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (layer, name) in [
            (Parameters { temperature: Some(-0.1), ..Parameters::default() }, "temperature"),
            (Parameters { top_p: Some(f32::NAN), ..Parameters::default() }, "top_p"),
            (Parameters { tokens_max: Some(0), ..Parameters::default() }, "tokens_max"),
            (Parameters { stop: Some(vec!["x".repeat(1_025)]), ..Parameters::default() }, "stop"),
            (Parameters { logit_bias: Some(vec![(1, f32::INFINITY)]), ..Parameters::default() }, "logit_bias"),
        ] {
            let error = check(&layer).unwrap_err();
            assert_eq!((error.code, error.values["parameter"].as_str()), (Code::ParameterInvalid, name));
        }
        check(&Parameters { stop: Some(vec!["x".repeat(1_024)]), ..program() }).unwrap();
    }

    #[test]
    fn a_format_that_cannot_be_is_refused_with_the_place_of_its_fault() {
        let place = |format| {
            let error = check(&Parameters { format: Some(format), ..Parameters::default() }).unwrap_err();
            let of = |name: &str| error.values.get(name).and_then(|value| value.parse::<u32>().ok());
            (error.code, of("line").zip(of("column")))
        };
        let at = |line, column| (Code::FormatFault, Some((line, column)));
        // Counted by hand: the places where each of them stops making sense.
        assert_eq!(place(AnswerFormat::JsonSchema("{\n  \"type\": objekt\n}".into())), at(2, 11));
        assert_eq!(place(AnswerFormat::Lark("start: a\na: ) \"x\"".into())), at(2, 4));
        assert_eq!(place(AnswerFormat::Regex("ab(c".into())), at(1, 3));
        assert_eq!(place(AnswerFormat::JsonSchema("[1]".into())), (Code::FormatInvalid, None));
        check(&Parameters { format: Some(AnswerFormat::Regex("[0-9]{3}".into())), ..Parameters::default() }).unwrap();
    }
}
