//! Where a model can compute: the processor always, CUDA and Metal where the program was built with them.

/// A device, and why it cannot be used where it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// "cpu", "cuda:0", "metal".
    pub id: String,
    pub name: String,
    pub available: bool,
    pub reason: Option<String>,
}

/// Every kind of device, the unavailable ones with their reason.
pub fn devices() -> Vec<Available> {
    unimplemented!()
}
