//! Journeys in the real window, as a person takes them: the debug binary, WebKitGTK, a display of its own.

#![cfg(target_os = "linux")]

mod harness;

use harness::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn the_window_opens_on_a_bare_desk() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = desk.start(&[]).await;
    window.find("main").await;
    window.picture("first-start").await;
}
