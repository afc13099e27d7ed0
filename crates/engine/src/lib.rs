//! A model file and a prompt in, tokens out: tokenizer, templates, decoder, sampling, sessions.
