//! Where a model can compute: the processor always, CUDA and Metal where the program was built with them.

use std::panic::catch_unwind;

use candle_core::Device;

/// The processor's id.
pub const CPU: &str = "cpu";
/// What a person knows it by.
pub(crate) const CPU_NAME: &str = "CPU";
/// The best graphics card where there is one that is faster, else the processor.
pub const AUTO: &str = "auto";
/// More graphics cards than a desktop has.
const CUDA_DEVICES_MAX: usize = 8;

/// A device, and why it cannot be used where it cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// "cpu", "gpu:vulkan NVIDIA GeForce RTX 3060", "cuda:0", "metal".
    pub id: String,
    pub name: String,
    /// Its driver and what it offers; empty where there is nothing to tell.
    pub detail: String,
    pub available: bool,
    /// Not available because of what was found out about its driver: it can be tried again.
    pub refused: bool,
    pub reason: Option<String>,
}

/// Every kind of device that this program was built for, the unavailable ones with their reason.
pub fn devices() -> Vec<Available> {
    let sound = |id: &str, name: String| Available {
        id: id.to_string(),
        name,
        detail: String::new(),
        available: true,
        refused: false,
        reason: None,
    };
    let missing = |id: &str, name: &str, reason: String| Available {
        id: id.to_string(),
        name: name.to_string(),
        detail: String::new(),
        available: false,
        refused: false,
        reason: Some(reason),
    };
    let mut list = vec![sound(CPU, CPU_NAME.to_string())];
    match cfg!(feature = "cuda").then(|| open("cuda:0")) {
        None => {}
        Some(Err(reason)) => list.push(missing("cuda:0", "CUDA", reason)),
        Some(Ok(_)) => {
            let cards = (0..CUDA_DEVICES_MAX).map(|card| format!("cuda:{card}")).take_while(|id| open(id).is_ok());
            list.extend(cards.map(|id| sound(&id, format!("CUDA {}", &id["cuda:".len()..]))));
        }
    }
    match cfg!(feature = "metal").then(|| open("metal")) {
        None => {}
        Some(Err(reason)) => list.push(missing("metal", "Metal", reason)),
        Some(Ok(_)) => list.push(sound("metal", "Metal".to_string())),
    }
    list
}

/// A device ready for tensors.
pub(crate) struct Opened {
    pub device: Device,
    /// "CPU", "CUDA 0", "Metal".
    pub name: String,
    /// Why it is not the one that was asked for.
    pub fell_back: Option<String>,
}

/// The device with this id, or the processor and the reason.
pub(crate) fn open_or_cpu(id: Option<&str>) -> Opened {
    let id = id.unwrap_or(CPU);
    match open(id) {
        Ok(device) => {
            let name = match id.split_once(':') {
                Some((_, card)) => format!("CUDA {card}"),
                None if id == CPU || id == AUTO => CPU_NAME.to_string(),
                None => "Metal".to_string(),
            };
            Opened { device, name, fell_back: None }
        }
        Err(reason) => {
            tracing::warn!(device = id, reason, "falls back to the CPU");
            Opened { device: Device::Cpu, name: CPU_NAME.to_string(), fell_back: Some(reason) }
        }
    }
}

/// Drivers that are missing make the bindings panic in places: that is a reason like any other.
fn open(id: &str) -> Result<Device, String> {
    let attempt = match id.split_once(':') {
        None if id == CPU || id == AUTO => return Ok(Device::Cpu),
        None if id == "metal" && cfg!(feature = "metal") => catch_unwind(|| Device::new_metal(0)),
        Some(("cuda", card)) if cfg!(feature = "cuda") => {
            let card = card.parse::<usize>().map_err(|_| format!("`{id}` is no device"))?;
            catch_unwind(move || Device::new_cuda(card))
        }
        None if id == "metal" => return Err("this program was built without Metal".to_string()),
        Some(("cuda", _)) => return Err("this program was built without CUDA".to_string()),
        _ => return Err(format!("`{id}` is no device")),
    };
    match attempt {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("its driver is missing or does not answer".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there_and_what_is_missing_says_why() {
        let list = devices();
        assert!(list[0].available && list[0].id == CPU);
        assert!(list.iter().all(|device| device.available == device.reason.is_none()));
        let opened = open_or_cpu(Some("abacus:7"));
        assert!(opened.device.is_cpu());
        assert!(opened.fell_back.unwrap().contains("abacus"));
    }
}
