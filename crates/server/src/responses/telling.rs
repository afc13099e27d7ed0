//! A response on its way out: its items whole, or the events of a stream.

use huacaya_app::serving::{Piece, Reason, Usage};
use serde_json::{Value, json};

use crate::answering::{Step, Whole};

/// A response, as far as it has come.
pub(super) struct Telling {
    /// Behind the prefixes of all its items.
    id: String,
    created: u64,
    /// What it repeats of the request.
    echoed: Value,
    /// Items that are done.
    output: Vec<Value>,
    open: Option<Open>,
    events: u64,
}

/// An item that grows.
struct Open {
    kind: Kind,
    id: String,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thought,
    Message,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Thought => "rs",
            Kind::Message => "msg",
        }
    }

    /// What its events are called.
    fn event(self) -> &'static str {
        match self {
            Kind::Thought => "reasoning_text",
            Kind::Message => "output_text",
        }
    }

    fn part(self, text: &str) -> Value {
        match self {
            Kind::Thought => json!({"type": "reasoning_text", "text": text}),
            Kind::Message => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
        }
    }

    fn item(self, id: &str, status: &str, content: &[Value]) -> Value {
        match self {
            Kind::Thought => {
                json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content})
            }
            Kind::Message => {
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
        }
    }
}

impl Telling {
    pub(super) fn new(id: String, created: u64, echoed: Value) -> Telling {
        Telling { id, created, echoed, output: Vec::new(), open: None, events: 0 }
    }

    pub(super) fn whole(mut self, whole: Whole) -> Value {
        for (kind, text) in [(Kind::Thought, &whole.thought), (Kind::Message, &whole.text)] {
            // An answer without words is one, too.
            if !text.is_empty() || kind == Kind::Message && whole.calls.is_empty() {
                let id = self.item_id(kind.prefix());
                self.output.push(kind.item(&id, "completed", &[kind.part(text)]));
            }
        }
        for call in &whole.calls {
            let item = self.call(&call.id, &call.name, &call.arguments, "completed");
            self.output.push(item);
        }
        self.ended(whole.reason, &whole.usage)
    }

    /// The events of a step.
    pub(super) fn events(&mut self, step: Step) -> Vec<Value> {
        let mut events = Vec::new();
        match step {
            Step::Begin => {
                let response = self.response("in_progress");
                events.push(json!({"type": "response.created", "response": response}));
                events.push(json!({"type": "response.in_progress", "response": response}));
            }
            Step::Piece(Piece::Text { text, .. }) if !text.is_empty() => self.grow(Kind::Message, &text, &mut events),
            Step::Piece(Piece::Thought { text, .. }) if !text.is_empty() => {
                self.grow(Kind::Thought, &text, &mut events)
            }
            Step::Piece(Piece::Call { id, name, arguments, .. }) => self.tell_call(&id, &name, &arguments, &mut events),
            Step::Piece(Piece::Finished { reason, usage, .. }) => {
                let status = if reason == Reason::Length { "incomplete" } else { "completed" };
                if self.open.is_none() && self.output.is_empty() {
                    self.open(Kind::Message, &mut events);
                }
                self.close(status, &mut events);
                let response = self.ended(Some(reason), &usage);
                events.push(json!({"type": format!("response.{status}"), "response": response}));
            }
            Step::Failed(refusal) => {
                let error = &refusal.object()["error"];
                let mut response = self.response("failed");
                let code = error["code"].as_str().unwrap_or("server_error");
                response["error"] = json!({"code": code, "message": error["message"]});
                events.push(json!({"type": "response.failed", "response": response}));
            }
            Step::Piece(_) | Step::End(_) => {}
        }
        for event in &mut events {
            event["sequence_number"] = self.events.into();
            self.events += 1;
        }
        events
    }

    fn grow(&mut self, kind: Kind, text: &str, events: &mut Vec<Value>) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close("completed", events);
            self.open(kind, events);
        }
        let at = self.output.len();
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
            let mut event = placed(&format!("response.{}.delta", kind.event()), at, &open.id);
            event["delta"] = text.into();
            if kind == Kind::Message {
                event["logprobs"] = json!([]);
            }
            events.push(event);
        }
    }

    fn open(&mut self, kind: Kind, events: &mut Vec<Value>) {
        let (at, id) = (self.output.len(), self.item_id(kind.prefix()));
        let item = kind.item(&id, "in_progress", &[]);
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": item}));
        let mut part = placed("response.content_part.added", at, &id);
        part["part"] = kind.part("");
        events.push(part);
        self.open = Some(Open { kind, id, text: String::new() });
    }

    fn close(&mut self, status: &str, events: &mut Vec<Value>) {
        let Some(Open { kind, id, text }) = self.open.take() else { return };
        let (at, part) = (self.output.len(), kind.part(&text));
        let mut done = placed(&format!("response.{}.done", kind.event()), at, &id);
        done["text"] = text.into();
        if kind == Kind::Message {
            done["logprobs"] = json!([]);
        }
        let mut part_done = placed("response.content_part.done", at, &id);
        part_done["part"] = part.clone();
        let item = kind.item(&id, status, &[part]);
        events.extend([done, part_done]);
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        self.output.push(item);
    }

    fn tell_call(&mut self, id: &str, name: &str, arguments: &str, events: &mut Vec<Value>) {
        self.close("completed", events);
        let at = self.output.len();
        let item = self.call(id, name, arguments, "completed");
        let begun = self.call(id, name, "", "in_progress");
        let item_id = &item["id"];
        events.push(json!({"type": "response.output_item.added", "output_index": at, "item": begun}));
        let event = |kind: &str, key: &str| {
            json!({"type": format!("response.function_call_arguments.{kind}"), "item_id": item_id,
                "output_index": at, key: arguments})
        };
        let mut done = event("done", "arguments");
        done["name"] = name.into();
        events.extend([event("delta", "delta"), done]);
        events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        self.output.push(item);
    }

    fn call(&self, id: &str, name: &str, arguments: &str, status: &str) -> Value {
        let own = self.item_id("fc");
        json!({"id": own, "type": "function_call", "status": status, "call_id": id, "name": name, "arguments": arguments})
    }

    /// Of the item that comes next.
    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}{:02x}", self.id, self.output.len())
    }

    fn ended(&self, reason: Option<Reason>, used: &Usage) -> Value {
        let cut = reason == Some(Reason::Length);
        let mut response = self.response(if cut { "incomplete" } else { "completed" });
        if cut {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        response["usage"] = json!({
            "input_tokens": used.prompt,
            "input_tokens_details": {"cached_tokens": used.cached},
            "output_tokens": used.completion,
            "output_tokens_details": {"reasoning_tokens": used.thought},
            "total_tokens": used.prompt + used.completion,
        });
        response
    }

    fn response(&self, status: &str) -> Value {
        let mut response = json!({
            "id": format!("resp_{}", self.id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": null,
            "output": self.output,
            "usage": null,
        });
        for (name, value) in self.echoed.as_object().into_iter().flatten() {
            response[name] = value.clone();
        }
        response
    }
}

/// An event about the one part of an item.
fn placed(kind: &str, at: usize, id: &str) -> Value {
    json!({"type": kind, "item_id": id, "output_index": at, "content_index": 0})
}
