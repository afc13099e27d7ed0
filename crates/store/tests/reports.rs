//! Reports: kept as they were measured, renamed, deleted and brought back, and seen by every reader.

#![allow(clippy::unwrap_used)] // a test's helper may panic

use huacaya_store::{
    Change, Divergence, Error, Key, MeasureOptions, ModelId, Perplexity, Report, ReportId, ReportRow, Sample,
    SampleAnswer, Store,
};

fn report() -> Report {
    let row = ReportRow {
        name: "七B Q4_K_M".to_string(),
        model: Some(ModelId(7)),
        scheme: "Q4_K_M".to_string(),
        bytes: 4_210_000_000,
        perplexity: Some(Perplexity { value: 9.24, error: 0.05 }),
        divergence: Some(Divergence { mean: 0.0123, top_agreement: 0.935 }),
        decode_tokens_s: Some(23.25),
        ..ReportRow::default()
    };
    let answers = vec![SampleAnswer { name: row.name.clone(), text: "羊驼是一种动物。".to_string() }];
    Report {
        id: ReportId(0),
        title: " 比较\n ".to_string(),
        source_name: "七B".to_string(),
        created_ms: 0,
        machine: "CPU, 8 threads".to_string(),
        options: MeasureOptions { perplexity: true, context: 4096, ..MeasureOptions::default() },
        rows: vec![row],
        samples: vec![Sample { question: "羊驼是什么？".to_string(), answers }],
    }
}

#[tokio::test]
async fn a_report_is_kept_whole_and_every_reader_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap().store;
    let mut reader = store.subscribe().await.unwrap();
    reader.next().await.unwrap();
    let kept = store.add_report(report()).await.unwrap();
    assert_eq!(reader.next().await.unwrap(), [Change::Report(kept.clone())]);
    assert_eq!((kept.title.as_str(), kept.created_ms > 0), ("比较", true));
    let expected = Report { id: kept.id, title: kept.title.clone(), created_ms: kept.created_ms, ..report() };
    assert_eq!(kept, expected);

    store.rename_report(kept.id, "新名").await.unwrap();
    assert_eq!(store.report(kept.id).await.unwrap().title, "新名");
    store.delete_report(kept.id).await.unwrap();
    assert!(matches!(store.report(kept.id).await, Err(Error::Missing(Key::Report(_)))));
    assert!(matches!(store.rename_report(kept.id, "x").await, Err(Error::Missing(_))));
    assert!(store.snapshot().await.unwrap().reports.is_empty());
    store.restore_report(kept.id).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().reports, [Report { title: "新名".to_string(), ..kept.clone() }]);
    let mut changes = Vec::new();
    while changes.last() != Some(&Change::Report(Report { title: "新名".to_string(), ..kept.clone() }))
        || changes.len() < 3
    {
        changes.extend(reader.next().await.unwrap());
    }
    assert_eq!(changes[1], Change::Removed(Key::Report(kept.id)));
    store.close().await;
}
