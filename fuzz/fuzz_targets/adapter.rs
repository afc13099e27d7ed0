#![no_main]
//! Any bytes as an adapter_config.json: read or refused, and what is read is within its limits.

use huacaya_weights::adapter::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(json) = serde_json::from_slice(bytes) else { return };
    match Config::read(&json) {
        Err(fault) => drop(fault.to_string()),
        Ok(config) => {
            for module in ["model.layers.0.self_attn.q_proj", "lm_head", "", ".", "q_proj.", "层.q_proj"] {
                let (rank, scale) = config.of(module);
                assert!((1..=1 << 14).contains(&rank) && scale.is_finite());
                let _ = config.targets(module);
            }
        }
    }
});
