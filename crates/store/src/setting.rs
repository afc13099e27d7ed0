//! Settings: a key and a JSON value each. Absent: the program's default.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{Result, Store};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Setting {
    pub key: String,
    /// JSON null: back to the default.
    pub value: serde_json::Value,
}

impl Store {
    /// JSON null removes it.
    pub async fn set_setting(&self, _key: &str, _value: serde_json::Value) -> Result<()> {
        todo!()
    }

    pub async fn setting(&self, _key: &str) -> Result<Option<serde_json::Value>> {
        todo!()
    }
}
