//! An error that a person can see, as it is kept in rows and sent to faces.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The faces hold a sentence and a mend for every `code`, filled with `values`. `detail` (English) is for logs, the command line and the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Problem {
    pub code: String,
    pub values: BTreeMap<String, String>,
    pub detail: String,
}
