//! GPUs as places for runs: who may have which.

use crate::train::gpu::gpus;

/// A GPU that runs may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// As `CUDA_VISIBLE_DEVICES` names it.
    pub name: String,
    /// Bytes of memory, where the driver tells.
    pub memory: Option<u64>,
}

/// What a run takes of a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Which GPU it has, or must have; `None`: whichever has room.
    pub device: Option<usize>,
    /// Share of it, more than 0 and at most 1.
    pub share: f64,
    /// Bytes of memory, by estimate.
    pub memory: u64,
}

/// The first GPU with room for a run beside those that are at work.
pub fn place(devices: &[Device], working: &[Claim], wanted: Claim) -> Option<usize> {
    let has_room = |&device: &usize| {
        let there = || working.iter().filter(|claim| claim.device == Some(device));
        let share: f64 = there().map(|claim| claim.share).sum();
        let memory: u64 = there().map(|claim| claim.memory).sum();
        let fits = devices[device].memory.is_none_or(|all| memory.saturating_add(wanted.memory) <= all);
        // Three thirds are a whole, whatever their sum is in binary.
        share + wanted.share <= 1.0 + 1e-9 && fits
    };
    match wanted.device {
        Some(device) => Some(device).filter(|&device| device < devices.len()).filter(has_room),
        None => (0..devices.len()).find(has_room),
    }
}

/// The GPUs of this machine: what the user allows, else all that the driver has.
pub fn devices() -> Vec<Device> {
    let allowed = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let present = |number: &usize| std::path::Path::new(&format!("/dev/nvidia{number}")).exists();
    let names: Vec<String> = match allowed {
        Some(allowed) => {
            allowed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        }
        None => (0..64).filter(present).map(|number| number.to_string()).collect(),
    };
    let known = if names.is_empty() { Vec::new() } else { gpus() };
    let memory = |name: &str| known.iter().find(|gpu| gpu.index.to_string() == name).map(|gpu| gpu.memory);
    names.into_iter().map(|name| Device { memory: memory(&name), name }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Device> {
        ["0", "1"].map(|name| Device { name: name.to_owned(), memory: Some(80) }).to_vec()
    }

    fn claim(device: Option<usize>, share: f64, memory: u64) -> Claim {
        Claim { device, share, memory }
    }

    #[test]
    fn whole_gpus_go_to_one_run_each() {
        let whole = claim(None, 1.0, 10);
        assert_eq!(place(&two(), &[], whole), Some(0));
        assert_eq!(place(&two(), &[claim(Some(0), 1.0, 10)], whole), Some(1));
        assert_eq!(place(&two(), &[claim(Some(0), 1.0, 10), claim(Some(1), 0.1, 10)], whole), None);
        assert_eq!(place(&[], &[], whole), None);
    }

    #[test]
    fn shares_fill_a_gpu_and_no_more() {
        let third = claim(None, 1.0 / 3.0, 10);
        let mut working = Vec::new();
        for device in [0, 0, 0, 1, 1, 1] {
            assert_eq!(place(&two(), &working, third), Some(device));
            working.push(claim(Some(device), 1.0 / 3.0, 10));
        }
        assert_eq!(place(&two(), &working, third), None);
    }

    #[test]
    fn memory_is_refused_before_it_overflows() {
        let working = [claim(Some(0), 0.1, 50)];
        assert_eq!(place(&two(), &working, claim(None, 0.1, 30)), Some(0));
        assert_eq!(place(&two(), &working, claim(None, 0.1, 31)), Some(1));
        assert_eq!(place(&two(), &working, claim(None, 0.1, 81)), None);
        let unknown = [Device { name: "0".to_owned(), memory: None }];
        assert_eq!(place(&unknown, &working, claim(None, 0.1, 81)), Some(0));
    }

    #[test]
    fn a_named_gpu_is_waited_for() {
        let named = claim(Some(1), 1.0, 1);
        assert_eq!(place(&two(), &[], named), Some(1));
        assert_eq!(place(&two(), &[claim(Some(1), 0.5, 1)], named), None);
        assert_eq!(place(&two(), &[], claim(Some(2), 1.0, 1)), None);
    }
}
