//! How models are computed: what the person sets, and what is measured.

use huacaya_app::{
    computing::Tuned,
    rows::{JobId, JobState},
};
use serde_json::json;

use crate::home::{Home, Mirror, call, ended, refused};

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
    app.shut_down().await;
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
        ("compute_quiet", json!("yes")),
    ] {
        assert_eq!(refused(&app, "set_setting", json!({"key": key, "value": wrong})).await, "wrong_arguments", "{key}");
    }
    for (key, value, backend) in [
        ("compute_kernels", json!("portable"), "native"),
        ("compute_kv", json!("q8_0"), "native"),
        ("compute_quiet", json!(true), "native"),
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
    let (app, _) = home.start_with_tiny().await;
    let choices: serde_json::Value = call(&app, "compute_choices", json!({})).await;
    let kernels = choices["kernels"].as_array().unwrap();
    assert_eq!(kernels.last(), Some(&json!("portable")), "every processor has it, and it is the slowest");
    for name in kernels {
        call::<()>(&app, "set_setting", json!({"key": "compute_kernels", "value": name})).await;
    }
    let most = choices["threads_max"].as_u64().unwrap();
    call::<()>(&app, "set_setting", json!({"key": "compute_threads", "value": most})).await;
    let beyond = json!({"key": "compute_threads", "value": most + 1});
    assert_eq!(refused(&app, "set_setting", beyond).await, "wrong_arguments");
    app.shut_down().await;
}
