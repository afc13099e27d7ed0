//! What of a conversation is shown to a model whose context is too short for all of it.

use crate::template::{Chat, Prompt, Rendered, Role};
use crate::{Error, Model, Result};

/// A prompt that leaves room for the reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub prompt: Prompt,
    pub rendered: Rendered,
    /// The first turn of the conversation that the model sees, as an index into `Chat::turns`.
    pub first: usize,
    /// How many turns of the person were left out.
    pub dropped_turns: usize,
    /// Tokens of the prompt.
    pub tokens: usize,
}

/// Drops the oldest whole turns until prompt and `reserve` fit the model's context. The system prompt and the last turn
/// are always kept: where they do not fit, [`Error::PromptTooLong`] says by how much.
pub fn fit(model: &Model, chat: &Chat, reserve: usize) -> Result<Fitted> {
    fit_within(chat, model.context(), reserve, |prompt| model.render(prompt))
}

fn fit_within(
    chat: &Chat,
    context: usize,
    reserve: usize,
    render: impl Fn(&Prompt) -> Result<Rendered>,
) -> Result<Fitted> {
    // A turn is what the person said with all that was answered: the prompt begins with the person's words.
    let mut starts: Vec<usize> =
        chat.turns.iter().enumerate().filter(|(_, turn)| turn.role == Role::User).map(|(i, _)| i).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let attempt = |start: usize| -> Result<Fitted> {
        let first = starts[start];
        let prompt = Prompt::Chat(Chat { turns: chat.turns[first..].to_vec(), ..chat.clone() });
        let rendered = render(&prompt)?;
        let tokens = rendered.tokens.len();
        let dropped = &chat.turns[..first];
        let dropped_turns = dropped.iter().filter(|turn| turn.role == Role::User).count();
        Ok(Fitted { prompt, rendered, first, dropped_turns, tokens })
    };
    let over = |fitted: &Fitted| (fitted.tokens + reserve).saturating_sub(context);
    let whole = attempt(0)?;
    if over(&whole) == 0 {
        return Ok(whole);
    }
    let mut best = attempt(starts.len() - 1)?;
    if over(&best) > 0 {
        return Err(Error::PromptTooLong { over: over(&best), context });
    }
    // Fewer turns, fewer tokens: the boundary lies between one that is too long and one that fits.
    let (mut too_long, mut fits) = (0, starts.len() - 1);
    while fits - too_long > 1 {
        let middle = too_long + (fits - too_long) / 2;
        let tried = attempt(middle)?;
        if over(&tried) == 0 {
            (fits, best) = (middle, tried);
        } else {
            too_long = middle;
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Turn;

    /// A token for each character, and one for each turn.
    fn render(prompt: &Prompt) -> Result<Rendered> {
        let Prompt::Chat(chat) = prompt else { panic!() };
        let length = chat.system.len() + chat.turns.iter().map(|turn| turn.text.len() + 1).sum::<usize>();
        Ok(Rendered { tokens: vec![0; length], ..Rendered::default() })
    }

    fn chat(texts: &[&str]) -> Chat {
        let turn = |(i, text): (usize, &&str)| Turn {
            role: if i.is_multiple_of(2) { Role::User } else { Role::Assistant },
            text: text.to_string(),
            ..Turn::default()
        };
        Chat { system: "sys".to_string(), turns: texts.iter().enumerate().map(turn).collect(), ..Chat::default() }
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let fitted = fit_within(&chat(&["aaaa", "bbbb", "cc"]), 26, 10, render).unwrap();
        assert_eq!((fitted.first, fitted.dropped_turns, fitted.tokens), (0, 0, 16));
    }

    #[test]
    fn the_oldest_whole_turns_go_first_and_no_more_than_needed() {
        let chat = chat(&["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gg"]);
        // 3 + 6 * 5 + 3 = 36 in all, 10 for each turn.
        for (context, first, dropped, tokens) in
            [(46, 0, 0, 36), (45, 2, 1, 26), (36, 2, 1, 26), (35, 4, 2, 16), (16, 6, 3, 6)]
        {
            let fitted = fit_within(&chat, context, 10, render).unwrap();
            assert_eq!((fitted.first, fitted.dropped_turns, fitted.tokens), (first, dropped, tokens), "{context}");
            let Prompt::Chat(kept) = fitted.prompt else { panic!() };
            assert_eq!((kept.system.as_str(), &kept.turns[..]), ("sys", &chat.turns[first..]));
        }
    }

    #[test]
    fn a_last_turn_that_does_not_fit_says_by_how_much() {
        let error = fit_within(&chat(&["aaaa", "bbbb", "gggggggggg"]), 20, 10, render).unwrap_err();
        assert!(matches!(error, Error::PromptTooLong { over: 4, context: 20 }), "{error}");
    }
}
