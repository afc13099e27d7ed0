//! What is done with a report: named, deleted, exported, and one of its models kept.

use huacaya_store::{ModelId, Report, ReportId, Source};

use super::{ReportFormat, export, request::unfit};
use crate::{App, blocking, chats::one_line, chosen::Purpose, error::Result};

impl App {
    pub(crate) async fn rename_report(&self, report: ReportId, title: String) -> Result<()> {
        let title = one_line(&title)?;
        if !title.is_empty() {
            self.inner.store.rename_report(report, &title).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete_report(&self, report: ReportId) -> Result<()> {
        Ok(self.inner.store.delete_report(report).await?)
    }

    pub(crate) async fn restore_report(&self, report: ReportId) -> Result<()> {
        Ok(self.inner.store.restore_report(report).await?)
    }

    pub(crate) async fn export_report(&self, report: ReportId, format: ReportFormat, chosen: u32) -> Result<()> {
        let path = self.chosen(chosen, Purpose::Write)?;
        let report = self.inner.store.report(report).await?;
        blocking(move || {
            let text = match format {
                ReportFormat::Markdown => export::markdown(&report),
                ReportFormat::Csv => export::csv(&report),
            };
            export::write(&path, &text)
        })
        .await
    }

    /// Deletes the other models of a report that were made of the same source; each can be restored.
    pub(crate) async fn keep_made(&self, report: ReportId, model: ModelId) -> Result<()> {
        let report = self.inner.store.report(report).await?;
        if !named(&report).any(|other| other == model) {
            return Err(unfit("the report does not name this model"));
        }
        let models = self.inner.store.models().await?;
        for other in named(&report).filter(|other| *other != model) {
            let made = models.iter().find(|row| row.id == other).map(|row| &row.source);
            if matches!(made, Some(Source::Made { from }) if *from == report.source_name) {
                self.delete_model(other).await?;
            }
        }
        Ok(())
    }
}

fn named(report: &Report) -> impl Iterator<Item = ModelId> {
    report.rows.iter().filter_map(|row| row.model)
}
