//! The layers of parameters and their merge: program < model < person < persona < chat.

use huacaya_store::Parameters;
use serde::Serialize;
use ts_rs::TS;

/// What holds where no layer says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Defaults {
    pub parameters: Parameters,
    pub system_prompt: String,
}
