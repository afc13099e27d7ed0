//! The templates that come with the program, written token by token.

use super::turns::Turns;
use super::{Marks, Rendered, Role};
use crate::template::writer::Writer;
use crate::tokenizer::Tokenizer;

/// Names in the order of `BuiltIn`.
pub(super) const NAMES: [&str; 5] = ["alpaca-2", "chatml", "llama-3", "mistral", "alpaca"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuiltIn {
    /// Chinese-Alpaca-2 and Llama-2: `<s>[INST] <<SYS>>…`.
    Alpaca2,
    /// `<|im_start|>user`: Qwen and many others.
    ChatMl,
    /// `<|start_header_id|>user<|end_header_id|>`.
    Llama3,
    /// `[INST] … [/INST]`, where the marks may be control tokens.
    Mistral,
    /// Stanford Alpaca, as the first generation of the family writes it: `### Instruction:`.
    Alpaca,
}

/// Stanford Alpaca's opening words, where the person has no system prompt.
const ALPACA_SYSTEM: &str =
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.";

impl BuiltIn {
    pub fn from_name(name: &str) -> Option<BuiltIn> {
        let all = [BuiltIn::Alpaca2, BuiltIn::ChatMl, BuiltIn::Llama3, BuiltIn::Mistral, BuiltIn::Alpaca];
        NAMES.iter().position(|known| *known == name).map(|place| all[place])
    }

    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    pub fn render(self, turns: &Turns, marks: Option<&Marks>, tokenizer: &Tokenizer) -> Rendered {
        let mut writer = Writer::new(tokenizer);
        let mut stops = Vec::new();
        match self {
            BuiltIn::Alpaca2 => alpaca_2(&turns.clone().after_empty_user(), tokenizer, &mut writer),
            BuiltIn::ChatMl => chat_ml(turns, tokenizer, &mut writer, &mut stops),
            BuiltIn::Llama3 => llama_3(turns, tokenizer, &mut writer, &mut stops),
            BuiltIn::Mistral => mistral(&turns.clone().after_empty_user(), tokenizer, &mut writer),
            BuiltIn::Alpaca => {
                alpaca(&turns.clone().after_empty_user(), tokenizer, &mut writer);
                stops.push("### Instruction:".to_owned());
            }
        }
        let in_thought = begin(turns, marks, &mut writer);
        let reply_began = in_thought || !turns.begin.is_empty();
        let (tokens, text) = writer.finish();
        let drops_space = tokenizer.is_sentencepiece() && !reply_began;
        let marks = marks.cloned();
        Rendered { tokens, text, stops, drops_space, marks, in_thought, reply_began, ..Rendered::default() }
    }
}

/// Writes what the reply begins with. True when that is a thought still open.
fn begin(turns: &Turns, marks: Option<&Marks>, writer: &mut Writer) -> bool {
    let thought = marks.filter(|_| !turns.begin_thought.is_empty());
    if let Some(marks) = thought {
        writer.mark(&marks.open);
        writer.text(&format!("\n{}", turns.begin_thought));
        if !turns.begin.is_empty() {
            writer.text("\n");
            writer.mark(&marks.close);
            writer.text("\n\n");
        }
    }
    writer.text(&turns.begin);
    thought.is_some() && turns.begin.is_empty()
}

/// Source: ymcui/Chinese-LLaMA-Alpaca-2. Each turn begins with BOS and is one text with the reply's one blank; replies are stripped.
fn alpaca_2(turns: &Turns, tokenizer: &Tokenizer, writer: &mut Writer) {
    let mut system = Some(turns.system.as_str()).filter(|system| !system.is_empty());
    for turn in &turns.turns {
        match turn.role {
            // No tool gets here: `Template::render`.
            Role::User | Role::Tool => {
                writer.id(tokenizer.bos());
                writer.text("[INST] ");
                if let Some(system) = system.take() {
                    writer.text(&format!("<<SYS>>\n{system}\n<</SYS>>\n\n"));
                }
                writer.text(&format!("{} [/INST]", turn.text));
            }
            Role::Assistant => {
                writer.text(&format!(" {}", turn.text.trim()));
                writer.id(tokenizer.eos());
            }
        }
    }
    if !turns.begin.is_empty() {
        writer.text(" ");
    }
}

fn chat_ml(turns: &Turns, tokenizer: &Tokenizer, writer: &mut Writer, stops: &mut Vec<String>) {
    if tokenizer.adds_bos() {
        writer.id(tokenizer.bos());
    }
    let mut message = |role: &str, text: &str| {
        writer.mark("<|im_start|>");
        writer.text(&format!("{role}\n{text}"));
        if !writer.mark("<|im_end|>") && stops.is_empty() {
            stops.push("<|im_end|>".to_owned());
        }
        writer.text("\n");
    };
    if !turns.system.is_empty() {
        message("system", &turns.system);
    }
    for turn in &turns.turns {
        message(role(turn.role), &turn.text);
    }
    writer.mark("<|im_start|>");
    writer.text("assistant\n");
}

fn llama_3(turns: &Turns, tokenizer: &Tokenizer, writer: &mut Writer, stops: &mut Vec<String>) {
    writer.id(tokenizer.bos());
    fn header(writer: &mut Writer, role: &str) {
        writer.mark("<|start_header_id|>");
        writer.text(role);
        writer.mark("<|end_header_id|>");
        writer.text("\n\n");
    }
    let mut message = |role: &str, text: &str| {
        header(writer, role);
        writer.text(text.trim());
        if !writer.mark("<|eot_id|>") && stops.is_empty() {
            stops.push("<|eot_id|>".to_owned());
        }
    };
    if !turns.system.is_empty() {
        message("system", &turns.system);
    }
    for turn in &turns.turns {
        message(role(turn.role), &turn.text);
    }
    header(writer, "assistant");
}

/// The system prompt stands before the first question. Where `[INST]` is a control token, the text after it begins as every segment
/// does: with SentencePiece's own blank, or with none.
fn mistral(turns: &Turns, tokenizer: &Tokenizer, writer: &mut Writer) {
    let turns = turns.clone().system_in_first_user();
    let marked = tokenizer.find_mark("[INST]").is_some() && tokenizer.find_mark("[/INST]").is_some();
    let blank = if tokenizer.is_sentencepiece() && !(marked && tokenizer.prefixes_every_segment()) { " " } else { "" };
    writer.id(tokenizer.bos());
    for turn in &turns.turns {
        match turn.role {
            // No tool gets here: `Template::render`.
            Role::User | Role::Tool => {
                writer.mark("[INST]");
                writer.text(&format!("{blank}{}", turn.text));
                writer.text(if marked { "" } else { blank });
                writer.mark("[/INST]");
            }
            Role::Assistant => {
                writer.text(&format!("{blank}{}", turn.text.trim()));
                writer.id(tokenizer.eos());
            }
        }
    }
    if !turns.begin.is_empty() {
        writer.text(blank);
    }
}

/// Source: ymcui/Chinese-LLaMA-Alpaca, its inference and chat scripts.
fn alpaca(turns: &Turns, tokenizer: &Tokenizer, writer: &mut Writer) {
    writer.id(tokenizer.bos());
    writer.text(if turns.system.is_empty() { ALPACA_SYSTEM } else { &turns.system });
    for turn in &turns.turns {
        match turn.role {
            Role::User | Role::Tool => {
                writer.text(&format!("\n\n### Instruction:\n\n{}\n\n### Response:\n\n", turn.text))
            }
            Role::Assistant => writer.text(turn.text.trim()),
        }
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
