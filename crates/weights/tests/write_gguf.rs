//! The writer against gguf-py (`tests/golden/gguf_files.py`), against our reader, and against being interrupted.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::Path;

use huacaya_weights::gguf::{Array, Fault, File, Metadata, TensorPlan, Value, Writer};
use huacaya_weights::{Fault as AnyFault, Format};
use proptest::prelude::*;

fn golden() -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/python.gguf")).unwrap()
}

/// (0 to 383) less 100, in eighths: what the golden script puts into its tensors.
fn values() -> Vec<f32> {
    (0..384).map(|i| (i as f32 - 100.0) / 8.0).collect()
}

fn texts(texts: &[&str]) -> Value {
    Value::from(texts.iter().map(|&text| text.to_owned()).collect::<Vec<String>>())
}

/// What the golden script writes, in its order.
fn python_metadata(path: &Path) -> Metadata {
    let mut metadata = Metadata::new(path);
    metadata.set("general.architecture", "llama".into());
    metadata.set("t.u8", 200u8.into());
    metadata.set("t.i8", (-100i8).into());
    metadata.set("t.u16", 60_000u16.into());
    metadata.set("t.i16", (-30_000i16).into());
    metadata.set("t.u32", 4_000_000_000u32.into());
    metadata.set("t.i32", (-2_000_000_000i32).into());
    metadata.set("t.f32", 0.1f32.into());
    metadata.set("t.u64", (1u64 << 63).into());
    metadata.set("t.i64", (-(1i64 << 62)).into());
    metadata.set("t.f64", 0.1f64.into());
    metadata.set("t.bool", true.into());
    metadata.set("t.string", "羊驼 alpaca 🦙".into());
    metadata.set("t.strings", texts(&["", "▁你好", "<0x0A>"]));
    metadata.set("t.ints", vec![1i32, -2, 3].into());
    metadata.set("t.floats", vec![0.5f32, -1.25].into());
    metadata.set("t.bools", vec![true, false].into());
    metadata
}

fn python_plan() -> Vec<TensorPlan> {
    vec![
        TensorPlan::from_shape("a.weight", &[2, 3, 64], Format::F32),
        TensorPlan::from_shape("b.weight", &[10], Format::F16),
        TensorPlan::from_shape("c.weight", &[6, 64], Format::Q8_0),
        TensorPlan::from_shape("d.weight", &[1, 32], Format::BF16),
    ]
}

fn write_python_file(path: &Path) {
    let mut writer = Writer::create(path, &python_metadata(path), &python_plan()).unwrap();
    let values = values();
    // In uneven pieces, as a stream brings them.
    writer.values("a.weight", &values[..7]).unwrap();
    writer.values("a.weight", &values[7..]).unwrap();
    writer.values("b.weight", &values[..10]).unwrap();
    values.chunks(64).for_each(|row| writer.values("c.weight", row).unwrap());
    writer.values("d.weight", &values[..32]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn our_file_is_the_one_that_gguf_py_writes_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.gguf");
    write_python_file(&path);
    assert!(fs::read(&path).unwrap() == golden(), "the files differ");
}

#[test]
fn what_gguf_py_writes_is_read_as_it_was_meant_from_a_path_in_any_script() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("张 庭 綱/　data/模型 é.gguf");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, golden()).unwrap();
    let file = File::open(&path).unwrap();
    let wanted = python_metadata(&path);
    assert!(file.metadata().iter().eq(wanted.iter()), "keys, values and order");
    let get = file.metadata();
    assert_eq!(get.get::<u64>("t.u64").unwrap(), 1 << 63);
    assert_eq!(get.get::<&str>("t.string").unwrap(), "羊驼 alpaca 🦙");
    assert_eq!(get.get::<&[String]>("t.strings").unwrap(), ["", "▁你好", "<0x0A>"]);
    assert_eq!(get.get::<Vec<i32>>("t.ints").unwrap(), [1, -2, 3]);
    assert_eq!(get.get::<Vec<f32>>("t.floats").unwrap(), [0.5, -1.25]);
    assert_eq!(get.get::<Vec<bool>>("t.bools").unwrap(), [true, false]);
    assert!(get.get::<Vec<u32>>("t.ints").is_err(), "-2 is no u32");
    let tensor = file.tensor("a.weight").unwrap();
    assert_eq!((&tensor.dimensions, tensor.shape()), (&vec![64, 3, 2], vec![2, 3, 64]));
    for (name, count) in [("a.weight", 384), ("b.weight", 10), ("d.weight", 32)] {
        let tensor = file.tensor(name).unwrap();
        let mut found = vec![0.0; count];
        huacaya_kernels::dequantize(tensor.format, file.bytes(tensor), &mut found).unwrap();
        assert_eq!(found, &values()[..count], "{name}: eighths up to 48 are exact in each of these formats");
    }
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("模型.gguf");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    fs::write(&path, "the one before").unwrap();
    let mut writer = Writer::create(&path, &Metadata::new(&path), &python_plan()).unwrap();
    writer.values("a.weight", &values()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"the one before");
    assert!(names().contains(&"模型.gguf.part".to_owned()));
    let fault = Fault::Unfinished { tensor: "b.weight".into(), missing: 20 };
    assert!(matches!(writer.finish().unwrap_err().fault, AnyFault::Gguf(found) if found == fault));
    assert_eq!(names(), ["模型.gguf"]);
    assert_eq!(fs::read(&path).unwrap(), b"the one before");
    write_python_file(&path);
    assert_eq!(names(), ["模型.gguf"]);
    File::open(&path).unwrap();
}

#[test]
fn tensors_out_of_turn_or_too_long_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let plan = [TensorPlan::from_shape("a", &[2], Format::F32), TensorPlan::from_shape("b", &[2], Format::F32)];
    let mut writer = Writer::create(&path, &Metadata::new(&path), &plan).unwrap();
    let fault = |result: Result<(), huacaya_weights::Error>| match result.unwrap_err().fault {
        AnyFault::Gguf(fault) => fault,
        other => panic!("{other}"),
    };
    let out_of_turn = Fault::OutOfTurn { tensor: "b".into(), planned: Some("a".into()) };
    assert_eq!(fault(writer.bytes("b", &[0; 8])), out_of_turn);
    let too_many = Fault::TooManyBytes { tensor: "a".into(), given: 9, planned: 8 };
    assert_eq!(fault(writer.bytes("a", &[0; 9])), too_many);
    writer.bytes("a", &[0; 8]).unwrap();
    writer.bytes("b", &[0; 8]).unwrap();
    assert_eq!(fault(writer.bytes("b", &[0])), Fault::OutOfTurn { tensor: "b".into(), planned: None });
    assert_eq!(fault(writer.values("c", &[0.0])), Fault::TensorMissing { tensor: "c".into() });
    let size = writer.size();
    writer.finish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), size);
}

#[test]
fn what_our_reader_would_refuse_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let create = |metadata: &Metadata, plan: &[TensorPlan]| {
        let error = Writer::create(&path, metadata, plan).unwrap_err();
        let AnyFault::Gguf(fault) = error.fault else { panic!("{error}") };
        fault
    };
    let plain = Metadata::new(&path);
    let tensor = |name: &str, shape: &[usize], format| TensorPlan::from_shape(name, shape, format);
    let twice = [tensor("a", &[2], Format::F32), tensor("a", &[2], Format::F32)];
    assert_eq!(create(&plain, &twice), Fault::TensorRepeated { tensor: "a".into() });
    let partial = Fault::PartialBlock { tensor: "a".into(), format: Format::Q8_0, row: 31 };
    assert_eq!(create(&plain, &[tensor("a", &[2, 31], Format::Q8_0)]), partial);
    let huge = tensor("a", &[1 << 40, 1 << 40], Format::F32);
    assert!(matches!(create(&plain, &[huge.clone(), tensor("b", &[1], Format::F32)]), Fault::TensorTooLarge { .. }));
    let mut odd = Metadata::new(&path);
    odd.set("general.alignment", 24u32.into());
    assert!(matches!(create(&odd, &[]), Fault::Alignment { alignment: 24, .. }));
    assert!(!path.exists() && fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left behind");
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = "\\PC{0,12}";
    prop_oneof![
        any::<u32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (-1e30f32..1e30).prop_map(Value::from),
        text.prop_map(Value::from),
        proptest::collection::vec(text, 0..6).prop_map(Value::from),
        proptest::collection::vec(any::<u16>(), 0..6).prop_map(Value::from),
        proptest::collection::vec(any::<bool>(), 0..6).prop_map(|values| Value::Array(Array::Bool(values))),
    ]
}

fn any_plan() -> impl Strategy<Value = (Format, Vec<usize>)> {
    let format = proptest::sample::select(Format::ALL.to_vec());
    (format, 1usize..3, proptest::collection::vec(1usize..4, 0..3)).prop_map(|(format, blocks, mut shape)| {
        shape.push(blocks * format.block_length());
        (format, shape)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_written_is_read_back(
        entries in proptest::collection::btree_map("[a-z.羊]{1,20}", any_value(), 0..8),
        tensors in proptest::collection::btree_map("[a-z.驼]{1,20}", any_plan(), 0..6),
        alignment in proptest::sample::select(vec![1u32, 8, 32, 4096]),
        seed in any::<u8>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let mut metadata = Metadata::new(&path);
        entries.iter().for_each(|(key, value)| metadata.set(key, value.clone()));
        metadata.set("general.alignment", alignment.into());
        let plan: Vec<TensorPlan> =
            tensors.iter().map(|(name, (format, shape))| TensorPlan::from_shape(name, shape, *format)).collect();
        let bytes = |plan: &TensorPlan| -> Vec<u8> {
            let length = plan.format.bytes_of(plan.dimensions.iter().product()).unwrap();
            (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ plan.name.len() as u8).collect()
        };
        let mut writer = Writer::create(&path, &metadata, &plan).unwrap();
        for plan in &plan {
            bytes(plan).chunks(100).for_each(|piece| writer.bytes(&plan.name, piece).unwrap());
        }
        writer.finish().unwrap();
        let file = File::open(&path).unwrap();
        prop_assert!(file.metadata().iter().eq(metadata.iter()));
        prop_assert_eq!(file.tensors().len(), plan.len());
        for (tensor, plan) in file.tensors().iter().zip(&plan) {
            prop_assert_eq!((&tensor.name, &tensor.dimensions, tensor.format), (&plan.name, &plan.dimensions, plan.format));
            prop_assert_eq!(tensor.start % u64::from(alignment), 0);
            prop_assert_eq!(file.bytes(tensor), bytes(plan));
        }
    }
}
