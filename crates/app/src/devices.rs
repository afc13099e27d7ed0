//! Where models can run.

use huacaya_engine::{AUTO, Available};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
};

/// A processor or a graphics card, as the setting `device` names it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Device {
    /// "cpu", "gpu:vulkan NVIDIA GeForce RTX 3060", "cuda:0", "metal".
    pub id: String,
    pub name: String,
    /// Its driver and what it offers, in English; empty where there is nothing to tell.
    pub detail: String,
    pub available: bool,
    /// Not available because of what was found out about its driver: it can be tried again.
    pub refused: bool,
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
    id == AUTO || id == "gpu" || id.starts_with("gpu:") || all().iter().any(|device| device.id == id)
}

impl From<Available> for Device {
    fn from(Available { id, name, detail, available, refused, reason }: Available) -> Device {
        Device { id, name, detail, available, refused, reason }
    }
}

impl App {
    pub(crate) async fn devices(&self) -> Result<Vec<Device>> {
        crate::blocking(|| Ok(with_adapters())).await
    }

    /// Forgets what was found out about graphics drivers, so that each is tried again.
    pub(crate) async fn try_graphics_again(&self) -> Result<()> {
        crate::blocking(|| huacaya_engine::try_graphics_again().map_err(Error::internal)).await
    }
}
