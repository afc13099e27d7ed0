//! Files that the person chose in a dialog, by a drop or on the command line. Faces of web pages get an id, never the path.

use serde::Serialize;
use ts_rs::TS;

/// A chosen file or folder.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Chosen {
    pub id: u32,
    /// The file's name, without its folder.
    pub name: String,
    /// Its size; 0 for one that is yet to be written and for a folder.
    pub bytes: u64,
}

/// What a path was chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file (or a folder) to read.
    Read,
    /// A file to write; the dialog has asked about replacing one.
    Write,
}
