//! The demo model as a two-shard PyTorch folder, as other tests import it: converted back it is the demo file, byte for byte.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "common/demo_folder.rs"]
mod demo_folder;

use std::path::Path;

use huacaya_progress::unwatched;
use huacaya_weights::Checkpoint;
use huacaya_weights::convert::{Options, convert};
use huacaya_weights::gguf::File;
use huacaya_weights::quantize::{Scheme, Wanted};

/// Q8_0 of what was Q8_0 gives the same blocks: each has a value of 127 steps, so the same step follows from it.
#[test]
fn the_folder_converted_to_q8_0_has_the_tensors_of_the_demo_file() {
    let place = tempfile::tempdir().unwrap();
    let (folder, converted) = (place.path().join("羊驼 bin"), place.path().join("back.gguf"));
    demo_folder::write(&folder);
    let Checkpoint::Folder(opened) = Checkpoint::open(&folder).unwrap() else { panic!("it is a folder") };
    assert_eq!(opened.shards().len(), 2);
    let wanted = Wanted { scheme: Scheme::Q8_0, by_hand: Vec::new(), weighted: false };
    let options = Options { wanted, adapters: Vec::new(), importance: None, threads: 2 };
    convert(&folder, &converted, &options, &mut unwatched()).unwrap();
    let demo = File::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf")).unwrap();
    let back = File::open(&converted).unwrap();
    assert_eq!(back.tensors().len(), demo.tensors().len());
    for tensor in demo.tensors() {
        let found = back.tensor(&tensor.name).unwrap();
        assert_eq!((&found.dimensions, found.format), (&tensor.dimensions, tensor.format), "{}", tensor.name);
        assert!(back.bytes(found) == demo.bytes(tensor), "{}", tensor.name);
    }
}
