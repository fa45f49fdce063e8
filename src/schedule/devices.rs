//! GPUs as places for runs: who may have which.

use crate::train::gpu::{Device, MemoryNeed};

/// What a run takes of a GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Which GPU it has, or must have; `None`: whichever has room.
    pub device: Option<usize>,
    /// Share of it, more than 0 and at most 1.
    pub share: f64,
    /// Bytes of memory, by estimate.
    pub memory: MemoryNeed,
}

/// Why no GPU can ever take a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaceable {
    /// There is none of this number.
    NoSuchDevice,
    /// It needs more memory than there is.
    TooSmall {
        /// Bytes that it needs.
        needs: u64,
        /// Bytes that the largest GPU in question has.
        has: u64,
    },
}

/// Whether some GPU can take a run when nobody else is there.
///
/// # Errors
/// [`Unplaceable`] says why not.
pub fn placeable(devices: &[Device], wanted: Claim) -> Result<(), Unplaceable> {
    if place(devices, &[], wanted).is_some() {
        return Ok(());
    }
    let in_question = wanted.device.map_or(devices, |device| devices.get(device..=device).unwrap_or_default());
    let largest = in_question.iter().filter_map(|device| device.memory).max();
    largest
        .map_or(Err(Unplaceable::NoSuchDevice), |has| Err(Unplaceable::TooSmall { needs: wanted.memory.on(has), has }))
}

/// The first GPU with room for a run beside those that are at work.
pub fn place(devices: &[Device], working: &[Claim], wanted: Claim) -> Option<usize> {
    let has_room = |&device: &usize| {
        let there = || working.iter().filter(|claim| claim.device == Some(device));
        let share: f64 = there().map(|claim| claim.share).sum();
        let fits = devices[device].memory.is_none_or(|all| {
            let taken: u64 = there().map(|claim| claim.memory.on(all)).sum();
            taken.saturating_add(wanted.memory.on(all)) <= all
        });
        // Three thirds are a whole, whatever their sum is in binary.
        share + wanted.share <= 1.0 + 1e-9 && fits
    };
    match wanted.device {
        Some(device) => Some(device).filter(|&device| device < devices.len()).filter(has_room),
        None => (0..devices.len()).find(has_room),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Vec<Device> {
        ["0", "1"].map(|name| Device { name: name.to_owned(), memory: Some(80) }).to_vec()
    }

    fn claim(device: Option<usize>, share: f64, memory: u64) -> Claim {
        Claim { device, share, memory: MemoryNeed { training: memory, images: 0 } }
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

    #[test]
    fn what_no_gpu_can_take_is_known_beforehand() {
        assert_eq!(placeable(&two(), claim(Some(1), 1.0, 80)), Ok(()));
        assert_eq!(placeable(&two(), claim(Some(2), 1.0, 1)), Err(Unplaceable::NoSuchDevice));
        assert_eq!(placeable(&two(), claim(None, 1.0, 81)), Err(Unplaceable::TooSmall { needs: 81, has: 80 }));
        let unequal = [Some(40), Some(80)].map(|memory| Device { name: String::new(), memory });
        assert_eq!(placeable(&unequal, claim(Some(0), 1.0, 50)), Err(Unplaceable::TooSmall { needs: 50, has: 40 }));
        assert_eq!(placeable(&unequal, claim(None, 1.0, 50)), Ok(()));
    }

    #[test]
    fn images_count_where_they_can_be_kept() {
        let need = |images| MemoryNeed { training: 30, images };
        assert_eq!([need(20).on(80), need(21).on(80), need(200).on(80)], [50, 30, 30]);
        assert!(!need(20).keeps_images(80, 49) && need(20).keeps_images(80, 50));
        let twice = MemoryNeed { training: 5, images: 20 };
        assert_eq!(twice.on(80), 40, "while they are brought there they are there twice");
    }
}
