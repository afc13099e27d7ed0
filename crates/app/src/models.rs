//! Models: the list of files, their checks, and which one is in memory.

use huacaya_store::Problem;
use serde::Serialize;
use ts_rs::TS;

/// What a model would need in memory, in bytes, compared with what is free.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Fit {
    pub context: u32,
    pub weights: u64,
    pub kv: u64,
    pub scratch: u64,
    pub total: u64,
    /// What would be free once the model in memory now is gone.
    pub free: u64,
    pub verdict: Verdict,
    /// Shorter contexts that fit, the longest first.
    pub choices: Vec<FitChoice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Well,
    /// It fits, but leaves little for other programs.
    Tight,
    TooLarge,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct FitChoice {
    pub context: u32,
    pub total: u64,
}

/// What was found in the models folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Scan {
    /// How many models are new in the list.
    pub added: u32,
    /// Files that are no sound models.
    pub problems: Vec<Problem>,
}
