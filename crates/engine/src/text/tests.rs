//! Streaming text: whatever the pieces, the same text, as early as it is certain.

use proptest::prelude::*;

use super::*;
use crate::template::Marks;
use crate::tokenizer::tests::{byte_level, real, small};

/// Cuts a text at places given as fractions.
fn cut<'t>(text: &'t [u8], places: &[usize]) -> Vec<&'t [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (text.len() + 1)).collect();
    places.sort_unstable();
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain([text.len()]);
    starts.zip(ends).map(|(start, end)| &text[start..end]).collect()
}

fn cut_text(text: &str, places: &[usize]) -> Vec<String> {
    let characters: Vec<String> = text.chars().map(String::from).collect();
    let index: Vec<u8> = (0..characters.len()).map(|_| 0).collect();
    let mut rest = characters.into_iter();
    cut(&index, places).iter().map(|piece| rest.by_ref().take(piece.len()).collect()).collect()
}

proptest! {
    #[test]
    fn bytes_in_any_pieces_are_the_text_that_they_are_at_once(bytes: Vec<u8>, places: [usize; 5]) {
        let (mut utf8, mut out) = (Utf8::default(), String::new());
        cut(&bytes, &places).iter().for_each(|piece| utf8.push(piece, &mut out));
        utf8.finish(&mut out);
        prop_assert_eq!(out, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_character_comes_with_its_last_byte(text in "[a。é😀한]{0,12}", place: usize) {
        let place = place % (text.len() + 1);
        let (mut utf8, mut out) = (Utf8::default(), String::new());
        utf8.push(&text.as_bytes()[..place], &mut out);
        let whole = (0..=place).rev().find(|&end| text.is_char_boundary(end)).unwrap();
        prop_assert_eq!(out, &text[..whole]);
    }

    #[test]
    fn stop_texts_cut_the_same_place_however_the_text_comes(
        text in "[ab。]{0,24}", stops in proptest::collection::vec("[ab。]{1,4}", 0..4), places: [usize; 6],
    ) {
        // The definition: the first end of a stop text, and of those that end there the longest.
        let stop_at = |head: &str| stops.iter().filter(|stop| head.ends_with(stop.as_str())).map(|stop| stop.len()).max();
        let heads = (0..=text.len()).filter_map(|end| text.get(..end));
        let expected = heads.filter_map(|head| Some(&head[..head.len() - stop_at(head)?])).next();
        let (mut stopping, mut out) = (Stops::new(stops.clone()), String::new());
        let mut taken = String::new();
        let mut stopped = false;
        for piece in cut_text(&text, &places) {
            stopped = stopping.push(&piece, &mut out);
            taken.push_str(&piece);
            if stopped {
                break;
            }
            let held = taken.strip_prefix(out.as_str()).unwrap();
            prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(held) && stop != held), "held {held}");
        }
        if !stopped {
            stopping.finish(&mut out);
        }
        prop_assert_eq!(stopped, expected.is_some());
        prop_assert_eq!(out, expected.unwrap_or(&text));
    }

    #[test]
    fn thoughts_and_answer_are_the_same_however_the_text_comes(
        text in "(<t>|</t>|[ \nab<]){0,12}", in_thought: bool, began: bool, places: [usize; 6],
    ) {
        let split = |pieces: &[String]| {
            let marks = Marks { open: "<t>".into(), close: "</t>".into() };
            let (mut thoughts, mut out) = (Thoughts::new(Some(&marks), in_thought, began), Vec::new());
            pieces.iter().for_each(|piece| thoughts.push(piece, &mut out));
            thoughts.finish(&mut out);
            join(&out)
        };
        prop_assert_eq!(split(&cut_text(&text, &places)), split(&[text]));
    }
}

/// Thought and answer, each as one text.
fn join(pieces: &[Piece]) -> (String, String) {
    let mut joined = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Thought(text) => joined.0.push_str(text),
            Piece::Answer(text) => joined.1.push_str(text),
        }
    }
    joined
}

fn think(text: &str, in_thought: bool) -> (String, String) {
    let marks = Marks { open: "<think>".into(), close: "</think>".into() };
    let (mut thoughts, mut out) = (Thoughts::new(Some(&marks), in_thought, false), Vec::new());
    thoughts.push(text, &mut out);
    thoughts.finish(&mut out);
    join(&out)
}

#[test]
fn a_thought_at_the_beginning_is_told_from_the_answer() {
    let found = |thought: &str, answer: &str| (thought.to_owned(), answer.to_owned());
    assert_eq!(think("<think>\n嗯，\n想想\n</think>\n\n好。\n", false), found("嗯，\n想想", "好。\n"));
    assert_eq!(think("嗯\n</think>\n\n好。", true), found("嗯", "好。"), "the prompt opened it");
    assert_eq!(think("<think>嗯</think>好", true), found("嗯", "好"), "the model opens it again");
    assert_eq!(think("\n <think>\n\n</think>\n\n好", false), found("", "好"), "an empty thought");
    assert_eq!(
        think("好。<think> 是标记</think>", false),
        found("", "好。<think> 是标记</think>"),
        "an answer about marks"
    );
    assert_eq!(think("<think>未完", false), found("未完", ""));
    assert_eq!(think("a</think>b</think>c", true), found("a", "b</think>c"));
    assert_eq!(think("<thin", false), found("", "<thin"));
}

#[test]
fn text_is_held_back_only_while_it_may_be_a_stop_text() {
    let (mut stops, mut out) = (Stops::new(["###".to_owned(), "用户：".to_owned()]), String::new());
    let mut steps = Vec::new();
    for piece in ["a", "#", "b", "##", "用", "户", "说", "用户", "：", "x"] {
        let stopped = stops.push(piece, &mut out);
        steps.push((out.clone(), stopped));
    }
    let texts: Vec<&str> = steps.iter().map(|(text, _)| text.as_str()).collect();
    let all = "a#b##用户说";
    assert_eq!(texts, ["a", "a", "a#b", "a#b", "a#b##", "a#b##", all, all, all, all]);
    assert_eq!(steps.iter().position(|(_, stopped)| *stopped), Some(8));
}

/// All pieces of a reply given as tokens, each with the token that gave it.
fn stream(tokenizer: &Tokenizer, rendered: &Rendered, stops: &[&str], ids: &[u32]) -> (Vec<(usize, Piece)>, bool) {
    let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
    let mut reply = Reply::new(rendered, &stops);
    let mut all = Vec::new();
    for (number, &id) in ids.iter().enumerate() {
        let mut out = Vec::new();
        let stopped = reply.push(id, tokenizer, &mut out);
        all.extend(out.into_iter().map(|piece| (number, piece)));
        if stopped {
            return (all, true);
        }
    }
    let mut out = Vec::new();
    reply.finish(&mut out);
    all.extend(out.into_iter().map(|piece| (ids.len(), piece)));
    (all, false)
}

#[test]
fn a_reply_comes_without_lag_and_without_the_blank_of_its_template() {
    let rendered = Rendered { drops_space: true, ..Rendered::default() };
    for tokenizer in [small("family.model")].iter().chain(&real()) {
        let ids = tokenizer.encode("你好，龘！ Yes.");
        let (pieces, _) = stream(tokenizer, &rendered, &[], &ids);
        let text: String =
            pieces.iter().map(|(_, piece)| if let Piece::Answer(text) = piece { &text[..] } else { "" }).collect();
        assert_eq!(text, "你好，龘！ Yes.");
        assert_eq!(pieces.last().unwrap().0, ids.len() - 1, "the full stop came with its own token");
        let rare = tokenizer.encode("龘").len() - 1;
        assert_eq!(rare, 3, "a character of three byte tokens");
        assert_eq!(pieces.len(), ids.len() - rare + 1 - usize::from(tokenizer.bytes(ids[0]) == b" "));
        let kept = Rendered::default();
        let (pieces, _) = stream(tokenizer, &kept, &[], &tokenizer.encode("x"));
        assert_eq!(join(&[pieces[0].1.clone()]).1, " x", "a page goes on with its blank");
    }
}

#[test]
fn thoughts_of_a_reply_are_found_where_the_marks_are_tokens() {
    let tokenizer = byte_level();
    let marks = Some(Marks { open: "<think>".into(), close: "</think>".into() });
    let rendered = Rendered { marks, stops: vec!["停".into()], ..Rendered::default() };
    let mut ids = vec![tokenizer.find("<think>").unwrap()];
    ids.extend(tokenizer.encode("\n想想\n"));
    ids.push(tokenizer.find("</think>").unwrap());
    ids.extend(tokenizer.encode("\n\n好的。停止"));
    let (pieces, stopped) = stream(&tokenizer, &rendered, &[], &ids);
    let pieces: Vec<Piece> = pieces.into_iter().map(|(_, piece)| piece).collect();
    assert_eq!(join(&pieces), ("想想".to_owned(), "好的。".to_owned()));
    assert!(stopped);
}
