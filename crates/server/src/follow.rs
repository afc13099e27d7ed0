//! The server of a program with a window: runs as the settings say, and tells the page what came of it.

use huacaya_app::{
    App, Change,
    serving::{ServerSettings, ServerState},
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{Limits, Options, bind};

/// The settings that decide whether and where it listens.
const KEYS: [&str; 4] = ["server_on", "server_address", "server_port", "server_origins"];

/// A server that answers.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts, stops and moves the server whenever a setting of it changes; returns when the program is shut down.
pub async fn follow(app: App) {
    let mut changes = app.subscribe();
    let (mut now, mut running): (Option<Option<Options>>, Option<Running>) = (None, None);
    while let Some(batch) = changes.next().await {
        if !batch.iter().any(concerns) {
            continue;
        }
        let wanted = match app.server_settings().await {
            Ok(settings) => options_of(&settings),
            Err(error) => {
                tracing::error!(%error, "the settings of the server could not be read");
                continue;
            }
        };
        if now.as_ref() == Some(&wanted) {
            continue;
        }
        end(running.take()).await;
        let (state, started) = match &wanted {
            Some(options) => start(&app, options.clone()).await,
            None => (ServerState::Off, None),
        };
        (now, running) = (Some(wanted), started);
        if let Err(error) = app.report_server(&state).await {
            tracing::error!(%error, "the state of the server was not written down");
        }
    }
    end(running).await;
}

fn concerns(change: &Change) -> bool {
    match change {
        Change::Snapshot(_) => true,
        Change::Setting(setting) => KEYS.contains(&setting.key.as_str()),
        _ => false,
    }
}

/// `None`: it is switched off.
fn options_of(settings: &ServerSettings) -> Option<Options> {
    let loopback = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    settings.on.then(|| Options {
        // Checked when it was set: what cannot be read is never a wider address than the person meant.
        address: settings.address.parse().unwrap_or(loopback),
        port: settings.port,
        origins: settings.origins.clone(),
        token: None,
        limits: Limits::default(),
    })
}

async fn start(app: &App, options: Options) -> (ServerState, Option<Running>) {
    match bind(options).await {
        Ok(bound) => {
            let address = bound.address().to_string();
            tracing::info!(address, "the server listens");
            let (stop, stopped) = oneshot::channel();
            let app = app.clone();
            let task = tokio::spawn(async move {
                // A sender that went away stops it as well.
                bound.serve(app, async { drop(stopped.await) }).await;
            });
            (ServerState::On { address }, Some(Running { stop, task }))
        }
        Err(failure) => {
            tracing::warn!(%failure, "the server does not listen");
            (ServerState::Failed { reason: failure.to_string() }, None)
        }
    }
}

async fn end(running: Option<Running>) {
    if let Some(Running { stop, task }) = running {
        // The task may have ended by itself.
        let _ = stop.send(());
        if let Err(error) = task.await {
            tracing::error!(%error, "the server broke");
        }
    }
}
