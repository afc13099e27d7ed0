//! What requests for text share: how tokens are drawn, how many, and in what form the answer goes back.

use std::collections::BTreeMap;

use huacaya_app::{rows::Parameters, serving::Format};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::{openapi, refusal::Refusal};

/// The fields of OpenAI's requests for text that do not say what to answer. An absent one leaves the model's own value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Drawing {
    pub model: Option<String>,
    #[schemars(range(min = 0.0, max = 10.0))]
    pub temperature: Option<f32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f32>,
    #[schemars(range(max = 1_000_000))]
    pub top_k: Option<u32>,
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f32>,
    #[schemars(range(min = -10.0, max = 10.0))]
    pub frequency_penalty: Option<f32>,
    #[schemars(range(min = -10.0, max = 10.0))]
    pub presence_penalty: Option<f32>,
    #[serde(alias = "repeat_penalty")]
    #[schemars(range(min = 0.1, max = 10.0))]
    pub repetition_penalty: Option<f32>,
    /// By token id.
    #[schemars(extend("propertyNames" = {"pattern": "^[0-9]{1,9}$"}), extend("additionalProperties" = openapi::bias()))]
    pub logit_bias: Option<BTreeMap<String, f32>>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
    /// 0 only where `echo` asks for the prompt's own tokens.
    #[schemars(range(max = 131_072))]
    pub max_tokens: Option<u32>,
    #[schemars(range(min = 1, max = 131_072))]
    pub max_completion_tokens: Option<u32>,
    #[schemars(range(min = 1, max = 8))]
    pub n: Option<u32>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub response_format: Option<ResponseFormat>,
    /// Says who asks; there is nobody here to tell.
    #[serde(rename = "user")]
    pub _user: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// What the answer keeps to. "lark" and "regex" are of this server alone.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["text", "json_object", "json_schema", "lark", "regex"]))]
    kind: String,
    json_schema: Option<NamedSchema>,
    /// Beside "json_object", as llama.cpp's server takes it.
    schema: Option<Value>,
    grammar: Option<String>,
    pattern: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct NamedSchema {
    schema: Option<Value>,
    /// Labels of the schema, for who reads the request.
    #[serde(rename = "name")]
    _name: Option<String>,
    #[serde(rename = "description")]
    _description: Option<String>,
    /// The schema always holds.
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(#[schemars(length(max = 32))] Vec<String>),
}

impl OneOrMany {
    pub fn all(self) -> Vec<String> {
        match self {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        }
    }
}

impl Drawing {
    pub fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub fn tells_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// The layer of parameters that the request lays over the model's.
    pub fn parameters(&self) -> Result<Parameters, Refusal> {
        Ok(Parameters {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            repetition_penalty: self.repetition_penalty,
            logit_bias: self.logit_bias.as_ref().map(bias).transpose()?,
            seed: self.seed.map(fold),
            stop: self.stop.clone().map(OneOrMany::all),
            tokens_max: self.max_completion_tokens.or(self.max_tokens),
            ..Parameters::default()
        })
    }

    /// The form that the answer is held to.
    pub fn format(&self) -> Result<Option<Format>, Refusal> {
        let Some(wanted) = &self.response_format else { return Ok(None) };
        let missing = |name: &str| {
            let words = format!("`response_format` of type `{}` needs `{name}`", wanted.kind);
            Refusal::bad(words).field("response_format").coded("missing_required_parameter")
        };
        Ok(match wanted.kind.as_str() {
            "text" => None,
            "json_object" => Some(wanted.schema.clone().map_or(Format::JsonObject, Format::JsonSchema)),
            "json_schema" => {
                let schema = wanted.json_schema.as_ref().and_then(|given| given.schema.as_ref());
                let schema = schema.or(wanted.schema.as_ref());
                Some(Format::JsonSchema(schema.ok_or_else(|| missing("json_schema.schema"))?.clone()))
            }
            "lark" => Some(Format::Lark(wanted.grammar.clone().ok_or_else(|| missing("grammar"))?)),
            "regex" => Some(Format::Regex(wanted.pattern.clone().ok_or_else(|| missing("pattern"))?)),
            other => {
                let why = format!("`{other}` is not text, json_object, json_schema, lark or regex");
                return Err(Refusal::unsupported("response_format", &why));
            }
        })
    }
}

/// Numbers that fit stay as they are; of longer ones both halves count.
pub fn fold(seed: i64) -> u32 {
    let bits = seed.cast_unsigned();
    (bits ^ (bits >> 32)) as u32
}

fn bias(given: &BTreeMap<String, f32>) -> Result<Vec<(u32, f32)>, Refusal> {
    let one = |(id, bias): (&String, &f32)| {
        let id = id.parse().map_err(|_| Refusal::bad(format!("`{id}` is no token's number")).field("logit_bias"))?;
        Ok((id, *bias))
    };
    given.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_that_fits_stays_as_it_is() {
        assert_eq!([fold(0), fold(42), fold(4_294_967_295)], [0, 42, 4_294_967_295]);
        assert_ne!(fold(1 << 40), fold(1 << 41));
    }
}
