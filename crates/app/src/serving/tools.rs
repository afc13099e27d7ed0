//! Tools that a program offers, and the calls of them that it tells of.

use huacaya_engine::{Grammar, Model};
use serde_json::{Map, Value};

use super::{Asking, calls::Reader};
use crate::error::{Code, Error, Result};

/// OpenAI's own limit.
const TOOLS_MAX: usize = 128;
/// Of all tools together. A prompt holds them, and few contexts hold so much.
const TOOLS_BYTES_MAX: usize = 256 << 10;
/// OpenAI's own limit, in letters.
pub(super) const NAME_MAX: usize = 64;
/// Of what is passed on to a template: switches and small lists.
const VALUES_BYTES_MAX: usize = 16 << 10;

/// Whether an answer calls tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    Never,
    /// One of them at least.
    Required,
    /// This one.
    Named(String),
}

/// Tools of a request, checked.
pub(super) struct Offer {
    /// What the template gets; none: nothing is offered.
    pub(super) tools: Vec<Value>,
    /// Of these one has to be called.
    held: Vec<Value>,
    several: bool,
}

impl Offer {
    pub(super) fn of(asking: &Asking) -> Result<Offer> {
        check_values(&asking.template)?;
        check(&asking.tools)?;
        let tools = match asking.tool_choice {
            ToolChoice::Never => Vec::new(),
            _ => asking.tools.clone(),
        };
        let held = match &asking.tool_choice {
            ToolChoice::Auto | ToolChoice::Never => Vec::new(),
            ToolChoice::Required if tools.is_empty() => {
                return Err(invalid("a call is required, but no tool is offered"));
            }
            ToolChoice::Required => tools.clone(),
            ToolChoice::Named(name) => {
                let named = tools.iter().find(|tool| name_of(tool) == Some(name.as_str()));
                vec![named.ok_or_else(|| invalid(format!("the tool `{name}` is not among those offered")))?.clone()]
            }
        };
        if asking.format.is_some() && !tools.is_empty() {
            return Err(invalid("an answer cannot keep to a format and call tools as well; ask for one of the two"));
        }
        Ok(Offer { tools, held, several: asking.several_calls })
    }

    /// What the answer keeps to, where it has to call.
    pub(super) fn grammar(&self, model: &Model) -> Option<Grammar> {
        if self.held.is_empty() { None } else { model.call_grammar(&self.held, self.several) }
    }

    /// Reads one answer; `None`: there is nothing to be called.
    pub(super) fn reader(&self, model: &Model) -> Option<Reader> {
        let form = model.template().calls().filter(|_| !self.tools.is_empty())?;
        let names = self.tools.iter().filter_map(name_of).map(str::to_string).collect();
        Some(Reader::new(form, names, self.several))
    }
}

pub(super) fn invalid(reason: impl Into<String>) -> Error {
    let reason = reason.into();
    Error::new(Code::ToolsInvalid, format!("the tools of the request: {reason}")).with("reason", reason)
}

fn name_of(tool: &Value) -> Option<&str> {
    tool["function"]["name"].as_str()
}

fn check(tools: &[Value]) -> Result<()> {
    if tools.len() > TOOLS_MAX {
        return Err(invalid(format!("there are {}; {TOOLS_MAX} are the most", tools.len())));
    }
    let bytes: usize = tools.iter().map(|tool| tool.to_string().len()).sum();
    if bytes > TOOLS_BYTES_MAX {
        return Err(invalid(format!("they have {bytes} bytes; {TOOLS_BYTES_MAX} are the most")));
    }
    for (at, tool) in tools.iter().enumerate() {
        if tool["type"] != "function" {
            return Err(invalid(format!("tool {at} is not of the type `function`")));
        }
        let Some(name) = name_of(tool) else { return Err(invalid(format!("tool {at} has no name"))) };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
            let reason = format!("the name of tool {at} is not 1 to {NAME_MAX} ASCII letters, digits, `_`, `-`, `.`");
            return Err(invalid(reason));
        }
        if tools[..at].iter().any(|other| name_of(other) == Some(name)) {
            return Err(invalid(format!("two are called `{name}`")));
        }
        if !matches!(tool["function"]["parameters"], Value::Null | Value::Object(_)) {
            return Err(invalid(format!("the parameters of `{name}` are no JSON schema")));
        }
    }
    Ok(())
}

fn check_values(values: &Map<String, Value>) -> Result<()> {
    let bytes: usize = values.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
    if bytes > VALUES_BYTES_MAX {
        let detail = format!("the values for the template have {bytes} bytes; {VALUES_BYTES_MAX} are the most");
        return Err(Error::new(Code::TextTooLong, detail).with("length", bytes).with("most", VALUES_BYTES_MAX));
    }
    Ok(())
}

/// Calls that an assistant made, as templates want them: the arguments as an object.
pub(super) fn told(calls: &[Value]) -> Result<Vec<Value>> {
    let one = |call: &Value| {
        let Some(name) = name_of(call) else { return Err(invalid("a call of the messages names no tool")) };
        let arguments = match &call["function"]["arguments"] {
            // What is no JSON is shown to the model as it was.
            Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| {
                if text.trim().is_empty() { Value::Object(Map::new()) } else { Value::String(text.clone()) }
            }),
            Value::Null => Value::Object(Map::new()),
            other => other.clone(),
        };
        let id = call["id"].as_str().unwrap_or_default();
        let function = serde_json::json!({"name": name, "arguments": arguments});
        Ok(serde_json::json!({"id": id, "type": "function", "function": function}))
    };
    calls.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}})
    }

    #[test]
    fn tools_that_cannot_be_called_are_refused_with_the_reason() {
        for (tools, reason) in [
            (vec![json!("weather")], "type"),
            (vec![json!({"type": "function"})], "no name"),
            (vec![tool("天气")], "ASCII"),
            (vec![tool(&"x".repeat(65))], "64"),
            (vec![tool("a"), tool("a")], "two"),
            (vec![json!({"type": "function", "function": {"name": "a", "parameters": 1}})], "schema"),
            ((0..129).map(|i| tool(&format!("t{i}"))).collect(), "129"),
        ] {
            let error = Offer::of(&Asking { tools, ..Asking::default() }).err().unwrap();
            assert!(error.code == Code::ToolsInvalid && error.detail.contains(reason), "{error}");
        }
        let named = Asking { tool_choice: ToolChoice::Named("b".into()), tools: vec![tool("a")], ..Asking::default() };
        assert!(Offer::of(&named).err().unwrap().detail.contains("`b`"));
        let required = Asking { tool_choice: ToolChoice::Required, ..Asking::default() };
        assert_eq!(Offer::of(&required).err().unwrap().code, Code::ToolsInvalid);
        let never = Asking { tool_choice: ToolChoice::Never, tools: vec![tool("a")], ..Asking::default() };
        assert!(Offer::of(&never).unwrap().tools.is_empty());
        let template = Map::from_iter([("x".to_string(), Value::String("y".repeat(20_000)))]);
        let values = Asking { template, ..Asking::default() };
        assert_eq!(Offer::of(&values).err().unwrap().code, Code::TextTooLong);
    }

    #[test]
    fn arguments_come_to_the_template_as_objects() {
        let call = |arguments: Value| json!([{"id": "1", "function": {"name": "a", "arguments": arguments}}]);
        for (given, arguments) in [
            (json!("{\"x\": 1}"), json!({"x": 1})),
            (json!({"x": 1}), json!({"x": 1})),
            (json!(""), json!({})),
            (json!("oh"), json!("oh")),
        ] {
            let told = told(call(given).as_array().unwrap()).unwrap();
            assert_eq!(
                told,
                [json!({"id": "1", "type": "function", "function": {"name": "a", "arguments": arguments}})]
            );
        }
        assert!(told(&[json!({"id": "1"})]).is_err());
    }
}
