//! Settings: a key and a JSON value each. Absent: the program's default.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Setting {
    pub key: String,
    /// JSON null: back to the default.
    pub value: serde_json::Value,
}
