//! Where models can run.

use serde::Serialize;
use ts_rs::TS;

use crate::{App, error::Result};

/// A processor, as the setting `device` names it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Device {
    /// "cpu", "cuda:0", "metal".
    pub id: String,
    pub name: String,
    pub available: bool,
    /// Why not, in English.
    pub reason: Option<String>,
}

/// Every device, the unavailable ones with their reason.
pub fn all() -> Vec<Device> {
    let device = |huacaya_engine::Available { id, name, available, reason }| Device { id, name, available, reason };
    huacaya_engine::devices().into_iter().map(device).collect()
}

impl App {
    pub(crate) async fn devices(&self) -> Result<Vec<Device>> {
        crate::blocking(|| Ok(all())).await
    }
}
