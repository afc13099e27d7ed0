//! Answers that keep to a form, by the demo model: it was never taught any of it, so nothing but the grammar makes them so.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use std::path::Path;
use std::sync::Arc;

use huacaya_engine::sampling::Sampling;
use huacaya_engine::template::{Chat, Prompt, Role, Turn};
use huacaya_engine::{Engine, Error, Event, Finish, Grammar, LoadOptions, Model, Request, Stats};
use huacaya_progress::unwatched;
use serde_json::{Value, json};

fn demo(options: &LoadOptions) -> Arc<Model> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf");
    Arc::new(Model::load(&path, options, &mut unwatched()).unwrap())
}

fn request(model: &Arc<Model>, question: &str, grammar: Grammar, sampling: Sampling) -> Request {
    let turn = Turn { role: Role::User, text: question.to_string(), ..Turn::default() };
    Request {
        model: model.clone(),
        adapters: Vec::new(),
        prompt: Prompt::Chat(Chat { turns: vec![turn], ..Chat::default() }),
        negative: None,
        sampling,
        grammar: Some(grammar),
        stop: Vec::new(),
        logprobs: 0,
        echo: false,
        tokens_max: 400,
        speculate: true,
        draft: None,
    }
}

fn at(temperature: f32, seed: u64) -> Sampling {
    Sampling { temperature, seed, ..Sampling::default() }
}

#[derive(Debug, PartialEq)]
struct Heard {
    text: String,
    ids: Vec<u32>,
    why: Finish,
}

fn hear(stream: impl Iterator<Item = huacaya_engine::Result<Event>>) -> (Heard, Stats) {
    let (mut text, mut ids) = (String::new(), Vec::new());
    for event in stream {
        match event.unwrap() {
            Event::Token { id, text: more, .. } => {
                ids.push(id);
                text += &more;
            }
            Event::Text { text: more, .. } => text += &more,
            Event::Finished { why, stats } => return (Heard { text, ids, why }, stats),
            Event::Reading { .. } | Event::Prompt { .. } => {}
        }
    }
    panic!("an answer without an end");
}

fn ask(engine: &Engine, request: Request) -> Heard {
    hear(engine.generate(request)).0
}

/// Greedy, and drawn with some seeds.
fn samplings() -> Vec<Sampling> {
    (0..6).map(|seed| at(if seed == 0 { 0.0 } else { 1.0 }, seed)).collect()
}

/// Every text has an end, or the small model would go on for ever in some.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 12},
            "kind": {"enum": ["alpaca", "llama", "羊驼"]},
            "age": {"type": "integer", "minimum": 1, "maximum": 30},
            "tame": {"type": "boolean"},
            "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}, "minItems": 1, "maxItems": 3}
        },
        "required": ["name", "kind", "age", "tame", "friends"],
        "additionalProperties": false,
        "$defs": {"friend": {"type": "object", "properties": {"id": {"type": "integer", "minimum": 0, "maximum": 999}},
            "required": ["id"], "additionalProperties": false}}
    })
}

/// What the schema says, in our own words.
fn assert_fits(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let fields = value.as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["name", "kind", "age", "tame", "friends"], "{text}");
    assert!((1..=12).contains(&fields["name"].as_str().unwrap().chars().count()), "{text}");
    assert!(["alpaca", "llama", "羊驼"].contains(&fields["kind"].as_str().unwrap()), "{text}");
    assert!((1..=30).contains(&fields["age"].as_i64().unwrap()), "{text}");
    assert!(fields["tame"].is_boolean(), "{text}");
    let friends = fields["friends"].as_array().unwrap();
    assert!((1..=3).contains(&friends.len()), "{text}");
    for friend in friends {
        assert!(friend.as_object().unwrap().len() == 1, "{text}");
        assert!((0..=999).contains(&friend["id"].as_i64().unwrap()), "{text}");
    }
}

#[test]
fn answers_fit_the_schema_at_every_temperature_and_end_with_it() {
    for options in [LoadOptions::default(), LoadOptions { candle: true, ..LoadOptions::default() }] {
        let (engine, model) = (Engine::start().unwrap(), demo(&options));
        for sampling in samplings() {
            for question in ["What is an alpaca?", "你好，介绍一下你自己。"] {
                let heard = ask(&engine, request(&model, question, Grammar::JsonSchema(schema()), sampling.clone()));
                assert_eq!(heard.why, Finish::End, "{heard:?}");
                assert_fits(&heard.text);
            }
        }
    }
}

#[test]
fn a_json_object_is_one_and_what_is_cut_short_is_the_beginning_of_one() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let mut whole = 0;
    // The model knows no JSON and seldom closes what it opened, unless it is led to.
    let closing: Vec<(u32, f32)> =
        ["\"", "}"].iter().map(|mark| (model.tokenizer().encode_rest(mark)[0], 8.0)).collect();
    let led = samplings().into_iter().map(|sampling| Sampling { logit_bias: closing.clone(), ..sampling });
    for sampling in samplings().into_iter().chain(led) {
        let heard = ask(&engine, request(&model, "How are you?", Grammar::JsonObject, sampling));
        assert!(heard.text.starts_with('{'), "{heard:?}");
        let read = serde_json::from_str::<Value>(&heard.text);
        match heard.why {
            Finish::End => whole += usize::from(read.unwrap().is_object()),
            // The reader wants more: it found nothing wrong.
            _ => assert!(read.unwrap_err().is_eof(), "{heard:?}"),
        }
    }
    assert!(whole > 0);
}

#[test]
fn expressions_and_grammars_hold_from_the_first_letter_to_the_last() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let lark = "start: noun (\", \" noun){1,2} \"。\"\nnoun: \"alpaca\" | \"羊驼\" | \"🦙\"";
    for sampling in samplings() {
        let expression = Grammar::Regex(r"[0-9]{3}-[a-f]{2,4} ?(é|🦙)".to_string());
        let heard = ask(&engine, request(&model, "Say a number.", expression, sampling.clone()));
        let (number, rest) = heard.text.split_once('-').unwrap();
        assert!(number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit()), "{heard:?}");
        let letters = rest.bytes().take_while(|byte| (b'a'..=b'f').contains(byte)).count();
        assert!(
            (2..=4).contains(&letters) && ["é", "🦙"].contains(&rest[letters..].trim_start_matches(' ')),
            "{heard:?}"
        );
        assert_eq!(heard.why, Finish::End);
        let heard = ask(&engine, request(&model, "Name animals.", Grammar::Lark(lark.to_string()), sampling));
        let nouns: Vec<&str> = heard.text.strip_suffix('。').unwrap().split(", ").collect();
        assert!((2..=3).contains(&nouns.len()), "{heard:?}");
        assert!(nouns.iter().all(|noun| ["alpaca", "羊驼", "🦙"].contains(noun)), "{heard:?}");
    }
}

/// SentencePiece begins a reply with a blank that is not part of it, and a grammar must not miss or add one.
#[test]
fn the_first_blank_is_the_text_s_own_where_the_grammar_wants_one() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    for wanted in ["yes", " yes", "  yes"] {
        let heard = ask(&engine, request(&model, "Yes or no?", Grammar::Regex(wanted.to_string()), at(0.0, 0)));
        assert_eq!((heard.text.as_str(), heard.why), (wanted, Finish::End));
        let raw = Request {
            prompt: Prompt::Raw("The answer is".to_string()),
            ..request(&model, "", Grammar::Regex(wanted.to_string()), at(1.0, 3))
        };
        assert_eq!(ask(&engine, raw).text, wanted);
    }
}

#[test]
fn what_the_model_would_say_anyway_is_what_it_says() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let anything = Grammar::Regex("(?s:.*)".to_string());
    for (question, sampling) in [("What is 3 plus 4?", at(0.0, 0)), ("你是谁？", at(1.0, 2))] {
        let bound = request(&model, question, anything.clone(), sampling);
        let free = Request { grammar: None, ..bound.clone() };
        assert_eq!(ask(&engine, bound), ask(&engine, free));
    }
}

#[test]
fn guesses_and_shared_steps_change_nothing() {
    let model = demo(&LoadOptions::default());
    let texts = Grammar::Lark("start: line{6}\nline: \"the alpaca and the llama: \" /[0-9]{1,3}/ \"\\n\"".to_string());
    let asked: Vec<Request> = samplings()
        .into_iter()
        .flat_map(|sampling| {
            [Grammar::JsonSchema(schema()), texts.clone()]
                .map(|grammar| request(&model, "Tell me of alpacas.", grammar, sampling.clone()))
        })
        .collect();
    let alone: Vec<Heard> = asked
        .iter()
        .map(|asked| ask(&Engine::start().unwrap(), Request { speculate: false, ..asked.clone() }))
        .collect();
    let engine = Engine::start().unwrap();
    let streams: Vec<_> = asked.iter().map(|asked| engine.generate(asked.clone())).collect();
    let together: Vec<(Heard, Stats)> = streams.into_iter().map(hear).collect();
    let accepted: usize = together.iter().map(|(_, stats)| stats.accepted).sum();
    assert_eq!(together.into_iter().map(|(heard, _)| heard).collect::<Vec<_>>(), alone);
    assert!(accepted > 0, "nothing was guessed right");
    // A draft model guesses within the grammar; the greedy text is the same.
    let drafted = Request { draft: Some(demo(&LoadOptions::default())), ..asked[0].clone() };
    let (heard, stats) = hear(Engine::start().unwrap().generate(drafted));
    assert_eq!(heard, alone[0]);
    assert!(stats.drafted > 0 && stats.accepted * 10 >= stats.drafted * 9, "{stats:?}");
}

#[test]
fn an_answer_that_was_begun_goes_on_within_the_grammar() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let asked = |begin: &str| {
        let mut asked = request(&model, "Who?", Grammar::JsonSchema(schema()), at(0.0, 0));
        let Prompt::Chat(chat) = &mut asked.prompt else { panic!("no chat") };
        chat.begin = begin.to_string();
        asked
    };
    let begin = r#"{"name": "Pablo", "kind": "ll"#;
    assert_fits(&format!("{begin}{}", ask(&engine, asked(begin)).text));
    let error = engine.generate(asked("Once upon")).last().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Grammar { what } if what.contains("beginning")), "{error}");
}

/// As deep as a compiler lets them be.
#[test]
fn deep_grammars_are_answered_or_refused() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let chain = |rule: &str| {
        let rules: String = (0..990).map(|i| format!("{rule}{i}: {rule}{} \"x\"\n", i + 1)).collect();
        Grammar::Lark(format!("start: {rule}0\n{rules}{rule}990: \"y\""))
    };
    let bounded = Grammar::Regex("(((((a{0,50}){0,50}){0,50}){0,50}){0,50}){0,50}b".to_string());
    for (grammar, begin) in [(chain("r"), "yx"), (chain("R"), "yx"), (bounded, "")] {
        let asked = Request { tokens_max: 12, ..request(&model, "Hello", grammar, at(1.0, 1)) };
        let mut said = String::new();
        for event in engine.generate(asked) {
            match event {
                Ok(Event::Token { text, .. } | Event::Text { text, .. }) => said += &text,
                Ok(_) | Err(Error::Grammar { .. } | Error::Sampling(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(said.is_empty() || said.starts_with(begin), "{said}");
    }
}

#[test]
fn a_format_that_cannot_be_used_is_an_error_before_anything_is_said() {
    let (engine, model) = (Engine::start().unwrap(), demo(&LoadOptions::default()));
    let wrong = Grammar::JsonSchema(json!({"type": "objekt"}));
    assert!(matches!(model.compile(&wrong), Err(Error::Grammar { .. })));
    let events: Vec<_> = engine.generate(request(&model, "Hello", wrong, at(0.0, 0))).collect();
    let [Err(Error::Grammar { what })] = events.as_slice() else { panic!("{events:?}") };
    assert!(what.contains("objekt"), "{what}");
    assert!(model.compile(&Grammar::JsonSchema(schema())).is_ok());
}
