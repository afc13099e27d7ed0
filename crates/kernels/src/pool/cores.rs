//! How many cores there are to compute on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

/// Cores that computing pays on: physical ones, of the fast kind where there are two, as far as this process may use them
/// (affinity, quota of its control group). At least one.
pub fn physical_cores() -> usize {
    // Affinity and quota are known to the standard library, which counts logical processors.
    let logical = available_parallelism().map_or(1, usize::from);
    told_apart().map_or(logical, |cores| cores.min(logical)).max(1)
}

/// Linux: the system's files on its processors.
#[cfg(target_os = "linux")]
fn told_apart() -> Option<usize> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    count(Path::new("/sys/devices"), &list(allowed)?)
}

/// macOS: cores of the fast kind on Apple's chips, else all physical ones.
#[cfg(target_os = "macos")]
fn told_apart() -> Option<usize> {
    mac::number(c"hw.perflevel0.physicalcpu").or_else(|| mac::number(c"hw.physicalcpu"))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn told_apart() -> Option<usize> {
    None
}

#[cfg(target_os = "macos")]
mod mac {
    use std::ffi::{CStr, c_char, c_int, c_void};

    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn sysctlbyname(
            name: *const c_char,
            old: *mut c_void,
            old_length: *mut usize,
            new: *mut c_void,
            new_length: usize,
        ) -> c_int;
    }

    pub fn number(name: &CStr) -> Option<usize> {
        let (mut value, mut length) = (0i32, size_of::<i32>());
        // SAFETY: the name ends in a zero; the system writes at most `length` bytes to `value`, which has as many.
        #[allow(unsafe_code)]
        let status =
            unsafe { sysctlbyname(name.as_ptr(), (&raw mut value).cast(), &raw mut length, std::ptr::null_mut(), 0) };
        (status == 0 && length == size_of::<i32>()).then(|| usize::try_from(value).ok()).flatten().filter(|&n| n > 0)
    }
}

/// Physical cores of the fast kind among the allowed processors. `devices`: `/sys/devices`.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn count(devices: &Path, allowed: &[usize]) -> Option<usize> {
    let of = |cpu: usize, file: &str| fs::read_to_string(devices.join(format!("system/cpu/cpu{cpu}/{file}"))).ok();
    let mut cpus = allowed.to_vec();
    // ARM tells each processor's capacity; what has less than three quarters of the best would hold the others up.
    let capacity = |cpu: &usize| of(*cpu, "cpu_capacity").and_then(|text| text.trim().parse::<usize>().ok());
    if let Some(best) = cpus.iter().filter_map(capacity).max() {
        cpus.retain(|cpu| capacity(cpu).is_none_or(|own| 4 * own >= 3 * best));
    }
    // Intel's hybrids list the fast kind.
    if let Some(fast) = fs::read_to_string(devices.join("cpu_core/cpus")).ok().and_then(|text| list(&text))
        && cpus.iter().any(|cpu| fast.contains(cpu))
    {
        cpus.retain(|cpu| fast.contains(cpu));
    }
    // Processors of one core have the same siblings.
    let siblings = |cpu: &usize| of(*cpu, "topology/thread_siblings_list").map(|text| text.trim().to_string());
    let cores: Option<BTreeSet<String>> = cpus.iter().map(siblings).collect();
    cores.map(|cores| cores.len()).filter(|&cores| cores > 0)
}

/// "0-3,8" -> 0, 1, 2, 3, 8
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn list(text: &str) -> Option<Vec<usize>> {
    /// No machine has more; a broken file must not make us count for long.
    const CPUS_MAX: usize = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Machine(PathBuf);

    impl Machine {
        /// `siblings` and `capacity` for each processor.
        fn new(name: &str, siblings: &[&str], capacities: &[usize], fast: Option<&str>) -> Machine {
            let devices = std::env::temp_dir().join(format!("huacaya-cores-{name}-{}", std::process::id()));
            for (cpu, siblings) in siblings.iter().enumerate() {
                let folder = devices.join(format!("system/cpu/cpu{cpu}"));
                fs::create_dir_all(folder.join("topology")).unwrap();
                fs::write(folder.join("topology/thread_siblings_list"), format!("{siblings}\n")).unwrap();
                if let Some(capacity) = capacities.get(cpu) {
                    fs::write(folder.join("cpu_capacity"), format!("{capacity}\n")).unwrap();
                }
            }
            if let Some(fast) = fast {
                fs::create_dir_all(devices.join("cpu_core")).unwrap();
                fs::write(devices.join("cpu_core/cpus"), format!("{fast}\n")).unwrap();
            }
            Machine(devices)
        }

        fn cores(&self, allowed: &str) -> Option<usize> {
            count(&self.0, &list(allowed).unwrap())
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn two_threads_of_a_core_count_once_and_what_is_not_allowed_not_at_all() {
        let machine = Machine::new("smt", &["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"], &[], None);
        assert_eq!(machine.cores("0-7"), Some(4));
        assert_eq!(machine.cores("0,4"), Some(1));
        assert_eq!(machine.cores("1-2,6"), Some(2));
    }

    #[test]
    fn slow_cores_are_left_out_where_the_system_tells_them_apart() {
        let alone = ["0", "1", "2", "3", "4", "5"];
        assert_eq!(Machine::new("arm", &alone, &[430, 430, 430, 430, 1024, 1000], None).cores("0-5"), Some(2));
        // A process that may use slow ones only.
        assert_eq!(Machine::new("arm-slow", &alone, &[430, 430, 430, 430, 1024, 1024], None).cores("0-3"), Some(4));
        let hybrid = ["0-1", "0-1", "2-3", "2-3", "4", "5"];
        let machine = Machine::new("hybrid", &hybrid, &[], Some("0-3"));
        assert_eq!((machine.cores("0-5"), machine.cores("4-5")), (Some(2), Some(2)));
    }

    #[test]
    fn there_is_at_least_one_core_and_no_more_than_processors() {
        assert!(physical_cores() >= 1 && physical_cores() <= available_parallelism().map_or(usize::MAX, usize::from));
        assert_eq!(list("x"), None);
        assert_eq!(list("0-99999999999"), None);
    }
}
