//! Which graphics adapters this machine has, as the drivers tell it.

use serde::{Deserialize, Serialize};
use wgpu::{Backends, DeviceType, Features, Instance, InstanceDescriptor, MemoryBudgetThresholds};

/// Allocations over this share of what the driver would give are errors instead of swapping.
const BUDGET_PERCENT: u8 = 95;

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A card with memory of its own.
    Discrete,
    /// Shares the processor's memory.
    Integrated,
    /// A part of another machine's card.
    Virtual,
    /// A processor that plays a graphics card: never chosen unless it is named.
    Software,
    Other,
}

/// One way to one graphics card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Adapter {
    /// Its place among all; changes when hardware or drivers do.
    pub index: usize,
    pub name: String,
    /// How many before it have the same name and backend.
    pub twin: usize,
    pub kind: Kind,
    /// "vulkan", "metal", "dx12".
    pub backend: String,
    /// Name and version, as the driver writes them.
    pub driver: String,
    /// Bytes that one binding, and so a part of a matrix, may have.
    pub binding_bytes_max: u64,
    pub buffer_bytes_max: u64,
    /// Bytes that a workgroup may share.
    pub shared_bytes_max: u32,
    /// Lanes that work in step, least and most.
    pub subgroup: (u32, u32),
    /// Of those that matter here: "subgroups", "f16", "cooperative matrices", "mappable memory".
    pub features: Vec<String>,
    /// Why no model can be computed on it, if none can.
    pub lacks: Option<String>,
}

impl Adapter {
    /// What it is asked for by: the same as long as the card and its backend are.
    pub fn label(&self) -> String {
        let number = if self.twin > 0 { format!(" #{}", self.twin + 1) } else { String::new() };
        format!("{} {}{number}", self.backend, self.name)
    }

    /// For a person: "NVIDIA GeForce RTX 3060 (Vulkan)".
    pub fn title(&self) -> String {
        let backend = match self.backend.as_str() {
            "vulkan" => "Vulkan",
            "metal" => "Metal",
            "dx12" => "DirectX 12",
            other => other,
        };
        format!("{} ({backend})", self.name)
    }

    /// Its driver, what it offers and its limits, for a list.
    pub fn detail(&self) -> String {
        let limits = format!("buffers of {} MiB", self.binding_bytes_max.min(self.buffer_bytes_max) >> 20);
        let all = [&self.driver, &limits].into_iter().chain(&self.features);
        all.filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", ")
    }

    /// What is known of a driver's results is known of this.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.backend, self.name, self.driver)
    }
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.label(), self.detail())
    }
}

/// Loads the graphics drivers. Where there are none, there are no adapters.
pub(crate) fn instance() -> Instance {
    let mut wanted = InstanceDescriptor::new_without_display_handle();
    wanted.backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    wanted.memory_budget_thresholds =
        MemoryBudgetThresholds { for_resource_creation: Some(BUDGET_PERCENT), for_device_loss: None };
    Instance::new(wanted)
}

pub(crate) fn enumerate(instance: &Instance) -> Vec<wgpu::Adapter> {
    pollster::block_on(instance.enumerate_adapters(Backends::VULKAN | Backends::METAL | Backends::DX12))
}

/// Every adapter, in the order of the drivers. Takes some hundredths of a second: drivers are loaded.
pub fn adapters() -> Vec<Adapter> {
    let found = enumerate(&instance());
    let mut list: Vec<Adapter> = Vec::new();
    for (index, adapter) in found.iter().enumerate() {
        let adapter = describe(index, adapter);
        let same = |other: &&Adapter| (&other.name, &other.backend) == (&adapter.name, &adapter.backend);
        let twin = list.iter().filter(same).count();
        list.push(Adapter { twin, ..adapter });
    }
    list
}

pub(crate) fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
    let (info, limits, has) = (adapter.get_info(), adapter.limits(), adapter.features());
    let named = [
        (Features::SUBGROUP, "subgroups"),
        (Features::SHADER_F16, "f16"),
        (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
        (Features::MAPPABLE_PRIMARY_BUFFERS, "mappable memory"),
    ];
    Adapter {
        index,
        name: info.name,
        twin: 0,
        kind: match info.device_type {
            DeviceType::DiscreteGpu => Kind::Discrete,
            DeviceType::IntegratedGpu => Kind::Integrated,
            DeviceType::VirtualGpu => Kind::Virtual,
            DeviceType::Cpu => Kind::Software,
            DeviceType::Other => Kind::Other,
        },
        backend: match info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            _ => "other",
        }
        .to_owned(),
        driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
        binding_bytes_max: limits.max_storage_buffer_binding_size,
        buffer_bytes_max: limits.max_buffer_size,
        shared_bytes_max: limits.max_compute_workgroup_storage_size,
        subgroup: (info.subgroup_min_size, info.subgroup_max_size),
        features: named
            .iter()
            .filter(|(feature, _)| has.contains(*feature))
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        lacks: lacks(&limits, has),
    }
}

/// What every program here needs.
fn lacks(limits: &wgpu::Limits, has: Features) -> Option<String> {
    if !has.contains(Features::IMMEDIATES) || limits.max_immediate_size < crate::program::IMMEDIATE_BYTES {
        return Some("constants beside the commands".to_owned());
    }
    let wanted = [
        ("threads in a workgroup", limits.max_compute_invocations_per_workgroup, crate::program::THREADS_MAX),
        ("bytes that a workgroup shares", limits.max_compute_workgroup_storage_size, crate::program::SHARED_BYTES_MAX),
        ("buffers of a program", limits.max_storage_buffers_per_shader_stage, crate::program::BINDINGS_MAX),
    ];
    let short = wanted.iter().find(|(_, found, wanted)| found < wanted);
    short.map(|(what, found, wanted)| format!("{what}: {found} of {wanted}"))
}

/// The adapter that a name asks for: its number, or its label or a part of it in any case. Without a name the first that
/// is no software, cards with memory of their own first.
pub fn chosen<'a>(adapters: &'a [Adapter], name: Option<&str>) -> Option<&'a Adapter> {
    match name {
        Some(name) => {
            if let Ok(number) = name.parse::<usize>() {
                return adapters.iter().find(|adapter| adapter.index == number);
            }
            let name = name.to_lowercase();
            let called = |fits: fn(&str, &str) -> bool| {
                adapters.iter().find(|adapter| fits(&adapter.label().to_lowercase(), &name))
            };
            called(|label, name| label == name).or_else(|| called(|label, name| label.contains(name)))
        }
        None => [Kind::Discrete, Kind::Integrated, Kind::Virtual, Kind::Other].iter().find_map(|kind| {
            let fit = adapters.iter().filter(|adapter| adapter.kind == *kind && adapter.lacks.is_none());
            // Through DirectX a card has neither subgroups nor f16 here.
            fit.min_by_key(|adapter| adapter.backend == "dx12")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: Kind) -> Adapter {
        Adapter {
            index,
            name: name.to_owned(),
            twin: 0,
            kind,
            backend: "vulkan".to_owned(),
            driver: "1".to_owned(),
            binding_bytes_max: 1 << 27,
            buffer_bytes_max: 1 << 30,
            shared_bytes_max: 1 << 15,
            subgroup: (8, 8),
            features: Vec::new(),
            lacks: None,
        }
    }

    #[test]
    fn a_card_of_its_own_memory_comes_first_and_software_only_by_name() {
        let list = [adapter(0, "llvmpipe", Kind::Software), adapter(1, "Iris", Kind::Integrated)];
        assert_eq!(chosen(&list, None).map(|found| found.index), Some(1));
        assert_eq!(chosen(&list, Some("LLVM")).map(|found| found.index), Some(0));
        assert_eq!(chosen(&list, Some("0")).map(|found| found.index), Some(0));
        assert!(chosen(&list, Some("Radeon")).is_none() && chosen(&list[..1], None).is_none());
        let series = [adapter(0, "Arc A770", Kind::Discrete), adapter(1, "Arc", Kind::Discrete)];
        assert_eq!(
            chosen(&series, Some(&series[1].label())).map(|found| found.index),
            Some(1),
            "the whole label first"
        );
        let twice = [
            Adapter { backend: "dx12".to_owned(), ..adapter(0, "Arc", Kind::Discrete) },
            adapter(1, "Arc", Kind::Discrete),
        ];
        assert_eq!(chosen(&twice, None).map(|found| found.index), Some(1));
        let both = [adapter(0, "Iris", Kind::Integrated), adapter(1, "Arc", Kind::Discrete)];
        assert_eq!(chosen(&both, None).map(|found| found.index), Some(1));
        let poor = [Adapter { lacks: Some("threads".to_owned()), ..both[1].clone() }];
        assert!(chosen(&poor, None).is_none());
    }
}
