//! What the person set about the local server, and when the program stays for its sake.

use huacaya_app::serving::ServerState;
use serde_json::json;

use crate::home::{Home, call};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_stays_without_a_window_only_for_a_server_that_runs_and_is_to_stay() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let on = ServerState::On { address: "127.0.0.1:11711".to_string() };
    assert!(!app.server_stays().await.unwrap(), "it is off until switched on");
    call::<()>(&app, "set_setting", json!({"key": "server_on", "value": true})).await;
    call::<()>(&app, "set_setting", json!({"key": "server_tray", "value": true})).await;
    assert!(!app.server_stays().await.unwrap(), "wanted, and not running");
    app.report_server(&on).await.unwrap();
    assert!(app.server_stays().await.unwrap());
    app.report_server(&ServerState::Failed { reason: "the port is taken".to_string() }).await.unwrap();
    assert!(!app.server_stays().await.unwrap(), "it failed");
    app.report_server(&on).await.unwrap();
    call::<()>(&app, "set_setting", json!({"key": "server_tray", "value": null})).await;
    assert!(!app.server_stays().await.unwrap(), "the person closes it with the window");
    app.shut_down().await;
}
