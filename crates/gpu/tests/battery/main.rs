//! Every program against the processor's kernels or plain arithmetic in f64, on each adapter of this machine.
//!
//! The set-up step installs Mesa's software device; a real card is tried beside it. Where there is none at all, each test says
//! "not run: no adapter". `HUACAYA_GPU=off` leaves the adapters out, a name or number takes one alone.

#![allow(clippy::unwrap_used)]

mod adapters;
mod attention;
mod material;
mod pick;
mod products;
mod rows;
mod texts;

use std::sync::OnceLock;

use huacaya_gpu::{Gpu, adapters, chosen};

/// Every adapter that can be opened, once for all tests.
fn gpus() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    let gpus = GPUS.get_or_init(|| {
        let wish = std::env::var("HUACAYA_GPU").ok();
        if wish.as_deref() == Some("off") {
            return Vec::new();
        }
        let list = adapters();
        let wanted = match &wish {
            Some(name) => chosen(&list, Some(name)).into_iter().cloned().collect(),
            None => list,
        };
        wanted
            .iter()
            .filter(|adapter| adapter.lacks.is_none())
            .flat_map(|adapter| {
                let gpu = Gpu::open(adapter.index).unwrap();
                // The plain programs, too, that every adapter can run.
                let mut plain = gpu.limits.subgroups.then(|| Gpu::open(adapter.index).unwrap());
                plain.iter_mut().for_each(|gpu| gpu.limits.subgroups = false);
                [Some(gpu), plain]
            })
            .flatten()
            .collect()
    });
    match gpus.is_empty() {
        true => println!("not run: no adapter"),
        false => gpus.iter().for_each(|gpu| println!("on {}, subgroups: {}", gpu.adapter, gpu.limits.subgroups)),
    }
    gpus
}
