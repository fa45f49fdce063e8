//! NVIDIA GPUs as their driver and its files show them, without starting it: a missing library ends a process that calls it.
//!
//! `cudarc`, which burn computes through, loads `libcuda` and `libnvrtc` by name when it is first used and panics without them; every
//! kernel that it compiles includes `cuda_runtime.h`. So these three are looked for beforehand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::resident::resident_bytes;
use crate::config::Experiment;
use crate::model::shapes::shapes;

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its number in the order of the bus, as `CUDA_VISIBLE_DEVICES` counts with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
    pub index: usize,
    /// What it is called, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of it that nobody uses.
    pub free: u64,
    /// Compute capability, such as 9.0.
    pub capability: String,
    /// Version of the driver.
    pub driver: String,
}

/// What is asked of `nvidia-smi`, in the order of [`Gpu`]'s fields.
const QUERY: &str = "--query-gpu=index,name,memory.total,memory.free,compute_cap,driver_version";

/// All GPUs of the machine, as `nvidia-smi`, a part of the driver, lists them; none where it is not installed or fails.
pub fn gpus() -> Vec<Gpu> {
    let mut command = Command::new("nvidia-smi");
    command.args([QUERY, "--format=csv,noheader,nounits"]).stdin(Stdio::null()).stderr(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => parse(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

/// Lines of `nvidia-smi`; those that are not understood are left out. Memory is in MiB there.
fn parse(text: &str) -> Vec<Gpu> {
    let gpu = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let &[index, name, memory, free, capability, driver] = &fields[..] else { return None };
        let mebibytes = |text: &str| text.parse::<u64>().ok()?.checked_mul(1 << 20);
        Some(Gpu {
            index: index.parse().ok()?,
            name: name.to_owned(),
            memory: mebibytes(memory)?,
            free: mebibytes(free)?,
            capability: capability.to_owned(),
            driver: driver.to_owned(),
        })
    };
    text.lines().filter_map(gpu).collect()
}

/// A GPU that runs may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// As `CUDA_VISIBLE_DEVICES` names it.
    pub name: String,
    /// Bytes of memory, where the driver tells.
    pub memory: Option<u64>,
}

/// The GPUs that this process may use: those that `CUDA_VISIBLE_DEVICES` names, else all that the driver has.
pub fn devices() -> Vec<Device> {
    let allowed = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let known = if allowed.as_deref() == Some("") { Vec::new() } else { gpus() };
    let memory = |name: &str| known.iter().find(|gpu| gpu.index.to_string() == name).map(|gpu| gpu.memory);
    let present = |number: &usize| Path::new(&format!("/dev/nvidia{number}")).exists();
    let names: Vec<String> = match allowed {
        Some(allowed) => {
            allowed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        }
        // In a container the numbers of the files are those of the machine outside.
        None if known.is_empty() => (0..64).filter(present).map(|number| number.to_string()).collect(),
        None => known.iter().map(|gpu| gpu.index.to_string()).collect(),
    };
    names.into_iter().map(|name| Device { memory: memory(&name), name }).collect()
}

/// The GPU that a worker sees first; `None` where it is named otherwise than by its number.
pub fn own() -> Option<Gpu> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let first = visible.split(',').next().unwrap_or_default().trim();
    let number = if first.is_empty() { 0 } else { first.parse().ok()? };
    gpus().into_iter().find(|gpu| gpu.index == number)
}

/// Bytes that a run needs of a GPU, by estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryNeed {
    /// For the network, its training and the batches.
    pub training: u64,
    /// For all images, where they are kept there.
    pub images: u64,
}

impl MemoryNeed {
    /// Whether the images can be kept on a GPU with so much memory, of which so much is free. burn gives no tensor more than a
    /// quarter of it, and while they are brought there they are there twice.
    pub fn keeps_images(&self, memory: u64, free: u64) -> bool {
        self.images <= memory / 4 && self.images.saturating_add(self.training.max(self.images)) <= free
    }

    /// What a run takes at most of a GPU with so much memory.
    pub fn on(&self, memory: u64) -> u64 {
        let kept = if self.keeps_images(memory, memory) { self.images } else { 0 };
        self.training.max(kept) + kept
    }
}

/// Bytes that the driver and compiled kernels take before there is any data.
const BASE: f64 = 800e6;

/// How much more than is asked for the pools of burn keep.
const POOLS: f64 = 1.5;

/// Values for each pixel that the warp of a batch needs at once.
const WARP: f64 = 24.0;

/// What a run on so many images needs; `None` when its network does not fit the images.
pub fn memory_need(experiment: &Experiment, images: usize) -> Option<MemoryNeed> {
    let size = experiment.data().image_size();
    let shapes = shapes(experiment.model(), size).ok()?;
    let values: usize = shapes.layers.iter().map(|layer| layer.output.iter().product::<usize>()).sum();
    let batch = experiment.train().batch_size().min(images.max(1)) as f64;
    // Outputs, their gradients and one more buffer; weights, gradients, moments.
    let floats =
        batch * (3.0 * values as f64 + WARP * (size.height * size.width) as f64) + 4.0 * shapes.parameters as f64;
    Some(MemoryNeed { training: (BASE + POOLS * 4.0 * floats) as u64, images: resident_bytes(images, size) })
}

/// What a thread of burn's died of: work for a GPU is done by threads whose panics nobody else hears of.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// Listens for such panics from now on; they are printed as before.
pub fn listen() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let mut failure = FAILURE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        failure.get_or_insert_with(|| panic.to_string().replace('\n', " "));
        drop(failure);
        print(panic);
    }));
}

/// The first of them, if there was one.
pub fn failure() -> Option<String> {
    FAILURE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

/// Why no GPU can be used, in a sentence without a full stop; `None` when all that is needed is there.
pub fn missing() -> Option<String> {
    if !["/dev/nvidiactl", "/dev/dxg"].iter().any(|path| Path::new(path).exists()) {
        return Some("no NVIDIA driver is loaded (there is no /dev/nvidiactl)".to_owned());
    }
    let folders = library_folders();
    if find(&folders, "libcuda.so").is_none() {
        return Some(not_found("libcuda.so.1", "It comes with the NVIDIA driver", &folders));
    }
    if find(&folders, "libnvrtc.so").is_none() {
        let source =
            "It comes with the CUDA toolkit (Debian's libnvrtc, or pip's nvidia-cuda-nvrtc with LD_LIBRARY_PATH)";
        return Some(not_found("libnvrtc.so", source, &folders));
    }
    let roots = header_roots();
    if !roots.iter().any(|root| root.join("include/cuda_runtime.h").exists()) {
        let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        return Some(format!(
            "include/cuda_runtime.h, which its kernels are compiled with, was looked for in {} and not found. It comes with the CUDA \
             toolkit; CUDA_PATH names another place",
            roots.join(", ")
        ));
    }
    None
}

fn not_found(library: &str, source: &str, folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    format!("{library} was looked for in {} and not found. {source}", folders.join(", "))
}

/// Where the system's loader looks: what LD_LIBRARY_PATH names, what ldconfig knows, the usual folders.
fn library_folders() -> Vec<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()).collect();
    let known = ["/sbin/ldconfig", "ldconfig"].iter().find_map(|program| {
        let output = Command::new(program).arg("-p").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    // `libcuda.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libcuda.so.1`
    let known = known.unwrap_or_default();
    let lines = known.lines().filter(|line| line.contains("libcuda.so") || line.contains("libnvrtc.so"));
    folders.extend(lines.filter_map(|line| Path::new(line.split("=> ").nth(1)?.trim()).parent().map(Path::to_owned)));
    folders.extend(["/lib64", "/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/wsl/lib"].map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// A library of that name, or with a version behind it.
fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Where burn looks for CUDA's headers.
fn header_roots() -> Vec<PathBuf> {
    let named = std::env::var_os("CUDA_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    let usual = ["/usr/local/cuda", "/opt/cuda"].map(PathBuf::from);
    let with_compiler = Path::new("/usr/bin/nvcc").exists().then(|| PathBuf::from("/usr"));
    named.into_iter().chain(usual).chain(with_compiler).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_nvidia_smi_are_gpus_and_others_are_left_out() {
        let text = "0, NVIDIA H100 80GB HBM3, 81559, 81008, 9.0, 550.54.15\n\
                    1, Tesla T4, 15360, 14923, 7.5, 550.54.15\nNo devices were found\n2, Odd, [N/A], 1, 7.0, 1\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].capability.as_str()), ("NVIDIA H100 80GB HBM3", "9.0"));
        assert_eq!((found[1].index, found[1].memory, found[1].free), (1, 15360 << 20, 14923 << 20));
    }

    #[test]
    fn a_library_is_found_with_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        for other in ["libcudart.so.12", "libcuda.sox", "xlibcuda.so"] {
            std::fs::write(folder.path().join(other), "").unwrap();
        }
        assert_eq!(find(&folders, "libcuda.so"), None);
        std::fs::write(folder.path().join("libcuda.so.1"), "").unwrap();
        assert_eq!(find(&folders, "libcuda.so"), Some(folder.path().join("libcuda.so.1")));
    }
}
