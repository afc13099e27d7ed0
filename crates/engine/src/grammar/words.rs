//! A vocabulary as grammars see it: the bytes that each token adds to an answer.

use std::collections::HashMap;
use std::sync::Arc;

use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Logger, ParserFactory, TokenParser};
use toktrie::{ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};

use crate::tokenizer::Tokenizer;

/// Before the name of a control token: no text has this byte.
const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
/// A longer token is never drawn: the trie cannot hold more than a thousand steps down.
const WORD_BYTES_MAX: usize = 1_000;
/// Of all words together: the trie cannot hold more nodes. The largest vocabularies have half of it.
const WORDS_BYTES_MAX: usize = 4_000_000;

/// The words of a vocabulary as a trie, and what is special about an answer's first token.
pub(crate) struct Words {
    factory: ParserFactory,
    /// How many tokens there are. What comes behind them in the trie are first words.
    pub count: usize,
    /// Tokens that begin with a blank, and the same word without it, where the template drops an answer's first blank.
    pub without_blank: HashMap<u32, u32>,
    /// Tokens that are a blank and nothing else.
    pub blanks: Vec<u32>,
}

impl Words {
    /// Once for a model: some tens of milliseconds.
    pub fn of(tokenizer: &Tokenizer) -> Result<Words, String> {
        let count = tokenizer.vocabulary_size();
        let mut words: Vec<Vec<u8>> = (0..count as u32).map(|id| word(tokenizer, id)).collect();
        let (mut without_blank, mut blanks) = (HashMap::new(), Vec::new());
        if tokenizer.is_sentencepiece() {
            for id in 0..count {
                match words[id].strip_prefix(b" ").map(<[u8]>::to_vec) {
                    Some(rest) if rest.is_empty() => blanks.push(id as u32),
                    Some(rest) => {
                        without_blank.insert(id as u32, words.len() as u32);
                        words.push(rest);
                    }
                    None => {}
                }
            }
        }
        Words::made(words, count, without_blank, blanks)
    }

    /// One word for each byte of text.
    pub fn of_bytes() -> Result<Words, String> {
        let words: Vec<Vec<u8>> = (0..MARK).map(|byte| vec![byte]).collect();
        let count = words.len();
        Words::made(words, count, HashMap::new(), Vec::new())
    }

    fn made(
        words: Vec<Vec<u8>>,
        count: usize,
        without_blank: HashMap<u32, u32>,
        blanks: Vec<u32>,
    ) -> Result<Words, String> {
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > WORDS_BYTES_MAX {
            return Err(format!("the model's vocabulary is too large for it: {bytes} bytes of words"));
        }
        // The tokens that end an answer are the template's matter: see `Course`.
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, INVALID_TOKEN), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::general_slices();
        let made = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices);
        let mut factory = made.map_err(|error| error.to_string())?;
        factory.quiet();
        Ok(Words { factory, count, without_blank, blanks })
    }

    pub fn parser(&self, grammar: TopLevelGrammar, limits: ParserLimits) -> Result<TokenParser, String> {
        let grammar = GrammarInit::Serialized(grammar);
        let can = InferenceCapabilities::default();
        let made = self.factory.create_parser_from_init_ext(grammar, Logger::new(0, 0), can, limits);
        made.map_err(|error| format!("{error:#}"))
    }

    /// Some tokens that have these bytes together; `None` where there are none.
    pub fn spell(&self, text: &str) -> Option<Vec<u32>> {
        let trie = self.factory.tok_env().tok_trie();
        let ids = trie.greedy_tokenize(text.as_bytes());
        (trie.decode(&ids) == text.as_bytes()).then_some(ids)
    }

    #[cfg(test)]
    pub fn word(&self, id: u32) -> &[u8] {
        self.factory.tok_env().tok_trie().token(id)
    }
}

/// What a token adds to an answer's text; a control token or chat mark is its name behind the mark, so that a Lark grammar
/// can ask for it and no text is taken for it. Empty: it is never drawn.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let word = match tokenizer.is_special(id) {
        true => [&[MARK], tokenizer.piece(id).unwrap_or_default().as_bytes()].concat(),
        false => tokenizer.bytes(id).to_vec(),
    };
    let is_broken = !tokenizer.is_special(id) && word.first() == Some(&MARK);
    if is_broken || word.len() > WORD_BYTES_MAX { Vec::new() } else { word }
}
