//! Where models can run.

use serde::Serialize;
use ts_rs::TS;

use crate::{App, error::Result};

/// A processor, as the setting `device` names it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Device {
    /// "cpu", "gpu:0", "cuda:0", "metal".
    pub id: String,
    pub name: String,
    pub available: bool,
    /// Why not, in English.
    pub reason: Option<String>,
}

/// Every device, the unavailable ones with their reason; graphics adapters aside, for which drivers would be loaded.
pub fn all() -> Vec<Device> {
    huacaya_engine::devices().into_iter().map(Device::from).collect()
}

/// As [`all`], with the graphics adapters that the drivers list. They are asked in a process of their own.
pub fn with_adapters() -> Vec<Device> {
    all().into_iter().chain(huacaya_engine::graphics_devices().into_iter().map(Device::from)).collect()
}

/// Whether the setting `device` may be this: a graphics adapter is looked for when a model is loaded.
pub fn is_device(id: &str) -> bool {
    id.starts_with("gpu:") || all().iter().any(|device| device.id == id)
}

impl From<huacaya_engine::Available> for Device {
    fn from(huacaya_engine::Available { id, name, available, reason }: huacaya_engine::Available) -> Device {
        Device { id, name, available, reason }
    }
}

impl App {
    pub(crate) async fn devices(&self) -> Result<Vec<Device>> {
        crate::blocking(|| Ok(all())).await
    }
}
