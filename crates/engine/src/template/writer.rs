//! Writes a prompt as tokens and as text at once.

use crate::tokenizer::Tokenizer;

/// Text runs on until a control token comes: only then is it encoded, so that words are not cut where a template's parts meet.
pub(super) struct Writer<'t> {
    tokenizer: &'t Tokenizer,
    tokens: Vec<u32>,
    shown: String,
    pending: String,
}

impl<'t> Writer<'t> {
    pub fn new(tokenizer: &'t Tokenizer) -> Writer<'t> {
        Writer { tokenizer, tokens: Vec::new(), shown: String::new(), pending: String::new() }
    }

    /// Text, whatever it says.
    pub fn text(&mut self, text: &str) {
        self.pending.push_str(text);
        self.shown.push_str(text);
    }

    /// A control token by id; nothing where the model has none.
    pub fn id(&mut self, id: Option<u32>) {
        if let Some(id) = id {
            self.flush();
            self.tokens.push(id);
            self.shown.push_str(self.tokenizer.piece(id).unwrap_or_default());
        }
    }

    /// A control token by name; its letters where the vocabulary has none of this name. True when it was a token.
    pub fn mark(&mut self, name: &str) -> bool {
        let id = self.tokenizer.find_mark(name);
        match id {
            Some(_) => self.id(id),
            None => self.text(name),
        }
        id.is_some()
    }

    fn flush(&mut self) {
        let first = self.tokens.iter().all(|&id| Some(id) == self.tokenizer.bos()) && self.tokens.len() <= 1;
        self.tokenizer.encode_segment(&self.pending, first, &mut self.tokens);
        self.pending.clear();
    }

    /// Tokens and text.
    pub fn finish(mut self) -> (Vec<u32>, String) {
        self.flush();
        (self.tokens, self.shown)
    }
}
