//! What is trained and what is frozen, gradients against finite differences, and PEFT's names for all of it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use huacaya_engine::candle::{Decoder, Plain};
use huacaya_engine::config::{Architecture, Biases, Config};
use huacaya_engine::rope::{Pairs, RopeConfig};
use huacaya_weights::Adapter;
use serde_json::Value;

use super::frozen;
use super::plan::{Plan, Settings};
use crate::Error;
use crate::random::Random;

const ALL: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// The shape that tests/golden/lora_trained.py gives its small models.
fn shape(tied: bool, pairs: Pairs) -> Config {
    Config {
        architecture: Architecture::Llama,
        hidden: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_size: 8,
        ffn: 48,
        vocabulary: 40,
        norm_eps: 1e-5,
        rope: RopeConfig::plain(10000.0, 8, pairs),
        biases: Biases::default(),
        query_key_norms: false,
        tied,
        context: 64,
    }
}

fn settings(targets: &[&str], modules_to_save: &[&str]) -> Settings {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Settings { rank: 2, alpha: 4, targets: owned(targets), modules_to_save: owned(modules_to_save) }
}

fn random(purpose: u64, shape: &[usize]) -> Tensor {
    let mut random = Random::new(11, purpose);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal(0.3)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn base(config: &Config) -> HashMap<String, Tensor> {
    let named = config.parameters().into_iter().enumerate();
    named.map(|(purpose, (name, shape))| (name, random(1000 + purpose as u64, &shape))).collect()
}

/// Variables with random values, also in what begins as zero.
fn variables(plan: &Plan) -> Vec<(String, Var)> {
    let variable = |(purpose, (key, shape)): (usize, (String, Vec<usize>))| {
        (key, Var::from_tensor(&random(purpose as u64, &shape)).unwrap())
    };
    plan.parameters().into_iter().enumerate().map(variable).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn logits(decoder: &Decoder) -> Tensor {
    let tokens = Tensor::new(&[[1u32, 5, 12, 3, 3], [0, 2, 9, 11, 4]], &Device::Cpu).unwrap();
    decoder.forward(&tokens).unwrap()
}

fn loss(decoder: &Decoder) -> Tensor {
    logits(decoder).to_dtype(DType::F64).unwrap().sin().unwrap().sum_all().unwrap()
}

/// Where two rows of logits differ most.
fn apart(a: &Tensor, b: &Tensor) -> f32 {
    numbers(a).iter().zip(numbers(b)).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn a_frozen_product_is_the_plain_one_and_keeps_no_gradient_of_its_matrix() {
    let (x, weight) = (Var::from_tensor(&random(1, &[5, 6])).unwrap(), Var::from_tensor(&random(2, &[7, 6])).unwrap());
    let plain = x.matmul(&weight.t().unwrap()).unwrap();
    let ours = frozen::product(&x, &weight).unwrap();
    assert!(apart(&ours, &plain) < 1e-6);
    let weigh = |out: &Tensor| (out * random(3, &[5, 7])).unwrap().sum_all().unwrap().backward().unwrap();
    let (found, expected) = (weigh(&ours), weigh(&plain));
    assert!(apart(found.get(&x).unwrap(), expected.get(&x).unwrap()) < 1e-6);
    assert!(found.get(&weight).is_none() && expected.get(&weight).is_some());
}

/// One value of every trained tensor, the one with the largest gradient, against central differences.
#[test]
fn gradients_of_all_that_is_trained_are_those_of_finite_differences() {
    let mut halves = shape(false, Pairs::Halves);
    (halves.biases.query_key_value, halves.query_key_norms) = (true, true);
    for (config, saved) in
        [(halves, &["embed_tokens", "lm_head"][..]), (shape(true, Pairs::Adjacent), &["embed_tokens"])]
    {
        let plan = Plan::new(&settings(&ALL, saved), &config).unwrap();
        assert_eq!(plan.parameters().len(), 2 * 7 * 2 + saved.len());
        let (base, variables) = (base(&config), variables(&plan));
        let decoder = plan.decoder(&base, &variables).unwrap();
        let gradients = loss(&decoder).backward().unwrap();
        for (name, variable) in &variables {
            let gradient = numbers(gradients.get(variable).unwrap_or_else(|| panic!("no gradient for {name}")));
            let before = variable.as_tensor().copy().unwrap();
            let at = (0..gradient.len()).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs())).unwrap();
            let moved = |by: f32| {
                let mut values = numbers(&before);
                values[at] += by;
                variable.set(&Tensor::from_vec(values, before.shape(), &Device::Cpu).unwrap()).unwrap();
                loss(&decoder).to_scalar::<f64>().unwrap()
            };
            let expected = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            variable.set(&before).unwrap();
            let error = (f64::from(gradient[at]) - expected).abs();
            assert!(error < 2e-2 * expected.abs() + 2e-3, "{name}: {} instead of {expected}", gradient[at]);
        }
        let kept = |name: &String| gradients.get(&base[name]).is_some();
        let matrices = config.parameters().into_iter().filter(|(_, shape)| shape.len() == 2);
        let kept: Vec<String> = matrices.map(|(name, _)| name).filter(kept).collect();
        assert!(kept.is_empty(), "gradients of frozen matrices are computed: {kept:?}");
    }
}

#[test]
fn training_begins_with_the_bases_own_logits() {
    let config = shape(false, Pairs::Adjacent);
    let plan = Plan::new(&settings(&ALL, &["lm_head"]), &config).unwrap();
    let base = base(&config);
    let first = plan.first(&base, 5).unwrap();
    for (key, tensor) in &first {
        let values = numbers(tensor);
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        if key.contains("lora_A") {
            let bound = (tensor.dims()[1] as f32).sqrt().recip();
            assert!(largest <= bound && largest > 0.8 * bound, "{key}: {largest} of {bound}");
            assert!(values.iter().any(|&value| value < 0.0) && values.iter().any(|&value| value > 0.0));
        } else if key.contains("lora_B") {
            assert_eq!(largest, 0.0, "{key}");
        } else {
            assert_eq!((key.as_str(), values), ("base_model.model.lm_head.weight", numbers(&base["output.weight"])));
        }
    }
    let variables = first.iter().map(|(key, tensor)| (key.clone(), Var::from_tensor(tensor).unwrap()));
    let adapted = plan.decoder(&base, &variables.collect::<Vec<_>>()).unwrap();
    let plain = Decoder::with_ops(&config, &base, std::sync::Arc::new(Plain)).unwrap();
    assert!(apart(&logits(&adapted), &logits(&plain)) < 1e-4);
}

#[test]
fn names_that_fit_no_matrix_of_the_model_are_refused() {
    let of = |targets: &[&str], saved: &[&str], tied| match Plan::new(
        &settings(targets, saved),
        &shape(tied, Pairs::Halves),
    ) {
        Err(Error::Recipe { what }) => what,
        other => panic!("{other:?}"),
    };
    assert!(of(&["q_proj", "c_attn"], &[], false).contains("c_attn"));
    assert!(of(&["embed_tokens"], &[], false).contains("embed_tokens"));
    assert!(of(&["q_proj"], &["norm"], false).contains("norm"));
    assert!(of(&["proj"], &[], false).contains("proj"));
    assert!(of(&["q_proj"], &["embed_tokens", "lm_head"], true).contains("lm_head"));
    assert!(of(&[], &[], false).contains("no targets"));
    let nothing = Settings { rank: 0, ..settings(&ALL, &[]) };
    assert!(matches!(Plan::new(&nothing, &shape(true, Pairs::Halves)), Err(Error::Recipe { .. })));
}

/// The embeddings of a model that has one matrix for both stand once in our file, and twice in PEFT's.
#[test]
fn files_have_the_keys_that_peft_gives_them() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lora_trained.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    for (case, tied, saved) in
        [("pairs", false, &[][..]), ("whole", false, &["embed_tokens", "lm_head"]), ("tied", true, &["embed_tokens"])]
    {
        let config = shape(tied, Pairs::Adjacent);
        let plan = Plan::new(&settings(&ALL, saved), &config).unwrap();
        let weights =
            variables(&plan).iter().map(|(key, variable)| (key.clone(), variable.as_tensor().clone())).collect();
        let folder = home.path().join(case);
        for _ in 0..2 {
            super::save::save(&folder, &plan, "base", &weights).unwrap(); // The second time over what is there.
        }
        let adapter = Adapter::open(&folder).unwrap();
        let found: BTreeMap<String, Value> =
            adapter.list().into_iter().map(|listed| (listed.name, serde_json::json!(listed.shape))).collect();
        let expected: BTreeMap<String, Value> = serde_json::from_value(golden["keys"][case].clone()).unwrap();
        assert_eq!(found, expected, "{case}");
        assert_eq!((adapter.config().rank, adapter.config().of("model.layers.0.self_attn.q_proj").1), (2, 2.0));
        assert_eq!(adapter.replacing().count(), saved.len());
        let files: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
        assert!(files.iter().all(|file| !file.as_ref().unwrap().path().display().to_string().ends_with(".part")));
    }
}
