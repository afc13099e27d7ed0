//! How models are computed: what the person sets, and what is measured.

use huacaya_app::{
    Places,
    computing::{Here, Kept, Tuned},
    engine::{self, Model},
    rows::{JobId, JobState, Store},
};
use serde_json::json;

use crate::home::{Home, Mirror, call, ended, import, refused};

/// What was measured so far, as the page sees it.
async fn tunings(app: &huacaya_app::App) -> Vec<Tuned> {
    let mut mirror = Mirror::new(app).await;
    mirror.until(|mirror| mirror.settings.contains_key("tunings")).await;
    serde_json::from_value(mirror.settings["tunings"].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_measurement_is_kept_shown_and_made_again_when_asked() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    for round in 0..2 {
        let job: JobId = call(&app, "tune_model", json!({"model": model})).await;
        let job = ended(&app, job).await;
        assert_eq!(job.state, JobState::Done, "{:?}", job.error);
        let kept = tunings(&app).await;
        assert_eq!(kept.len(), 1, "round {round}: one entry for a machine and a shape");
        let found = &kept[0];
        assert_eq!(found.model, model);
        assert!(found.shape.starts_with("llama 2 layers, 32 wide, 4/"), "{}", found.shape);
        let turn = |pace: &huacaya_app::computing::Pace| {
            512.0 / pace.prefill_tokens_per_second + 256.0 / pace.decode_tokens_per_second
        };
        assert!(turn(&found.chosen) <= turn(&found.default), "never slower than the default: {found:?}");
        assert!(found.chosen.threads >= 1 && found.tried >= 1);
    }
    // The same weights under another name and number.
    let file = home.outside().join("another.gguf");
    std::fs::copy(home.outside().join("tiny.gguf"), &file).unwrap();
    let twin = import(&app, &file, false).await;
    let shown: Option<Tuned> = call(&app, "tuning", json!({"model": twin})).await;
    assert_eq!(shown, tunings(&app).await.pop(), "what is known of a shape holds for every model of it");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_face_that_loads_by_itself_computes_as_was_measured_and_as_it_is_told() {
    let home = Home::new();
    let places = Places::at(&home.path()).unwrap();
    let nothing = Kept::of(&places).await;
    assert!(!places.home().exists(), "a look makes no data folder");
    let (app, model) = home.start_with_tiny().await;
    let job: JobId = call(&app, "tune_model", json!({"model": model})).await;
    ended(&app, job).await;
    let mut kept = tunings(&app).await;
    let path = home.outside().join("tiny.gguf");
    app.shut_down().await;
    // As if another way had won.
    kept[0].chosen.chunk = 48;
    kept[0].chosen.threads = 3;
    let store = Store::open(places.home()).await.unwrap().store;
    store.set_setting("tunings", serde_json::to_value(&kept).unwrap()).await.unwrap();
    store.set_setting("compute_kernels", json!("portable")).await.unwrap();
    store.close().await;
    let way = |kept: &Kept| {
        let mut model = Model::load(&path, &kept.options(), &mut huacaya_app::progress::unwatched()).unwrap();
        kept.apply(&mut model).unwrap();
        let way = model.way().unwrap();
        (way.kernels.name(), way.threads, way.chunk)
    };
    let (kernels, threads, chunk) = way(&nothing);
    assert_eq!((threads, chunk), (engine::physical_cores(), engine::CHUNK));
    let found = Kept::of(&places).await;
    assert_eq!(way(&found), ("portable", 3, 48), "the person's kernels, the rest as measured");
    assert_eq!(
        way(&found.under(Here { threads: Some(2), ..Here::default() }, None)),
        ("portable", 2, 48),
        "what is said goes before both"
    );
    assert_ne!(kernels, "portable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_person_chooses_how_it_is_computed_and_the_next_answer_is() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    for (key, wrong) in [
        ("compute_backend", json!("cuda")),
        ("compute_threads", json!(0)),
        ("compute_threads", json!(100_000)),
        ("compute_kernels", json!("avx9000")),
        ("compute_kv", json!("q2")),
        ("compute_quiet", json!(true)),
        ("compute_quiet", json!("yes")),
    ] {
        assert_eq!(refused(&app, "set_setting", json!({"key": key, "value": wrong})).await, "wrong_arguments", "{key}");
    }
    for (key, value, backend) in [
        ("compute_kernels", json!("portable"), "native"),
        ("compute_kv", json!("q8_0"), "native"),
        ("compute_quiet", json!("on"), "native"),
        ("compute_quiet", json!("automatic"), "native"),
        ("compute_backend", json!("candle"), "candle"),
        ("compute_backend", json!(null), "native"),
    ] {
        call::<()>(&app, "set_setting", json!({"key": key, "value": value})).await;
        let loaded = app.lease(model, None).await.unwrap();
        assert_eq!(loaded.model.backend_name(), backend, "{key}");
    }
    let loaded = app.lease(model, None).await.unwrap();
    assert_eq!(loaded.model.kernels(), Some("portable"));
    // The tiny model's heads are too small for whole blocks: they stay in f16, whatever was set.
    assert_eq!(loaded.model.kv_format().map(|kv| kv.name()), Some("f16"));
    drop(loaded);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_choice_that_is_offered_can_be_made() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let choices: serde_json::Value = call(&app, "compute_choices", json!({})).await;
    let now = &choices["now"];
    // Of the model that was loaded ahead, or of none: nothing was set for either.
    assert_eq!((&now["backend"], &now["threads_why"]), (&json!("native"), &json!("usual")));
    let kernels = choices["kernels"].as_array().unwrap();
    assert_eq!(kernels.last(), Some(&json!("portable")), "every processor has it, and it is the slowest");
    for name in kernels {
        call::<()>(&app, "set_setting", json!({"key": "compute_kernels", "value": name})).await;
    }
    let _loaded = app.lease(model, None).await.unwrap();
    let choices: serde_json::Value = call(&app, "compute_choices", json!({})).await;
    let now = &choices["now"];
    assert_eq!(
        (&now["kernels"], &now["kernels_why"]),
        (&json!("portable"), &json!("setting")),
        "the last that was set"
    );
    assert_ne!(now["model"], json!(null));
    let most = choices["threads_max"].as_u64().unwrap();
    call::<()>(&app, "set_setting", json!({"key": "compute_threads", "value": most})).await;
    let beyond = json!({"key": "compute_threads", "value": most + 1});
    assert_eq!(refused(&app, "set_setting", beyond).await, "wrong_arguments");
    app.shut_down().await;
}
