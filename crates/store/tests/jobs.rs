//! Jobs that wait, rest and are put in order; connections, the newest kept.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::Folder;
use huacaya_store::{Connection, Error, JobId, JobState};
use serde_json::json;

#[tokio::test]
async fn a_paused_job_is_nobodys_and_outlives_its_process() {
    let folder = Folder::new();
    let store = folder.open().await;
    let paused = store.add_job(json!({"kind": "download"})).await.unwrap().id;
    let waiting = store.add_job(json!({"kind": "download"})).await.unwrap().id;
    assert!(store.rest_job(paused, JobState::Paused).await.unwrap());
    assert!(matches!(store.dismiss_job(paused).await, Err(Error::Unfit { .. })), "it is not over");
    assert!(!store.begin_job(paused).await.unwrap(), "a paused job is not started");
    store.close().await;
    let store = folder.open().await;
    let states = [store.job(paused).await.unwrap(), store.job(waiting).await.unwrap()].map(|job| job.state);
    assert_eq!(states, [JobState::Paused, JobState::Interrupted]);
    for job in [paused, waiting] {
        let revived = store.revive_job(job).await.unwrap().unwrap();
        assert_eq!((revived.state, revived.finished_ms), (JobState::Waiting, None));
    }
    assert!(store.revive_job(paused).await.unwrap().is_none(), "it does not rest any more");
    assert!(store.begin_job(paused).await.unwrap());
    assert!(!store.rest_job(paused, JobState::Paused).await.unwrap(), "who runs it lets it rest");
    store.stage_job(paused, Some("fetching")).await.unwrap();
    assert_eq!(store.job(paused).await.unwrap().stage.as_deref(), Some("fetching"));
}

#[tokio::test]
async fn a_job_is_put_before_another_or_at_the_end() {
    let folder = Folder::new();
    let store = folder.open().await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(store.add_job(json!({})).await.unwrap().id);
    }
    store.move_job(jobs[3], Some(jobs[1])).await.unwrap();
    store.move_job(jobs[0], None).await.unwrap();
    let order: Vec<JobId> = store.jobs().await.unwrap().iter().map(|job| job.id).collect();
    assert_eq!(order, [jobs[3], jobs[1], jobs[2], jobs[0]]);
    let after = store.add_job(json!({})).await.unwrap();
    assert_eq!(store.jobs().await.unwrap().last().unwrap().id, after.id);
    assert!(matches!(store.move_job(JobId(99), None).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn the_newest_thousand_connections_are_kept() {
    let folder = Folder::new();
    let store = folder.open().await;
    let connection = |at_ms| Connection {
        at_ms,
        host: "hub.test".into(),
        purpose: "file".into(),
        status: Some(206),
        bytes: 7,
        problem: None,
        made: true,
    };
    let many: Vec<Connection> = (1..=1_200).map(connection).collect();
    store.add_connections(&many).await.unwrap();
    let kept = store.connections(5_000).await.unwrap();
    assert_eq!((kept.len(), kept.first(), kept.last().map(|one| one.at_ms)), (1_000, many.last(), Some(201)));
    assert_eq!(store.connections(3).await.unwrap().len(), 3);
    store.forget_connections().await.unwrap();
    assert!(store.connections(10).await.unwrap().is_empty());
}
