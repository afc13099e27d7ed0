//! Where models can run.

use serde::Serialize;
use ts_rs::TS;

/// A processor, as the setting `device` names it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Device {
    /// "cpu", "cuda", "metal".
    pub id: String,
    pub name: String,
    pub available: bool,
    /// Why not, in English.
    pub reason: Option<String>,
}
