//! `doctor`: what this build and this machine can do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::exit::Failure;
use super::{Global, open, print, print_json};
use crate::config::BackendKind;
use crate::store::Store;
use crate::train::backend::{self, Place};
use crate::train::environment::{cpu_features, host};
use crate::train::gpu::{Gpu, gpus};

/// Set in the process that tries a backend for the doctor: a driver may crash, and must not take the doctor along.
pub const PROBE: &str = "EMO_RUNNER_PROBE";

#[derive(Debug, Serialize)]
struct Findings {
    version: String,
    host: String,
    platform: String,
    cpu_features: String,
    cores: usize,
    memory_bytes: Option<u64>,
    backends: Vec<(String, String)>,
    gpus: Vec<String>,
    store: String,
    cache: String,
}

/// Prints the findings.
pub fn run(global: &Global) -> Result<(), Failure> {
    if let Ok(name) = std::env::var(PROBE) {
        return probe(&name);
    }
    let findings = examine(global);
    if global.json {
        return print_json(&findings);
    }
    let memory = findings.memory_bytes.map_or_else(|| "unknown".to_owned(), bytes);
    let mut text = format!(
        "emo-runner {} on {} ({})\nCPU      {} cores, {}\nMemory   {memory}\n",
        findings.version, findings.host, findings.platform, findings.cores, findings.cpu_features
    );
    for (name, finding) in &findings.backends {
        text += &format!("{name:8} {finding}\n");
    }
    for gpu in &findings.gpus {
        text += &format!("GPU      {gpu}\n");
    }
    text += &format!("Store    {}\nCache    {}\n", findings.store, findings.cache);
    print(&text)
}

fn examine(global: &Global) -> Findings {
    let results = global.results();
    let backends = [BackendKind::Cpu, BackendKind::Ndarray, BackendKind::Cuda];
    Findings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu_features: cpu_features(),
        cores: open::threads(None),
        memory_bytes: memory(),
        backends: backends.map(|kind| (kind.to_string(), backend_finding(kind))).to_vec(),
        gpus: gpus().iter().map(gpu_finding).collect(),
        store: store_finding(results.store()),
        cache: cache_finding(&results.cache()),
    }
}

/// Tries a backend in a process of its own.
fn backend_finding(kind: BackendKind) -> String {
    match backend::check(kind, None, Place::Here) {
        Ok(()) => tried(kind).unwrap_or_else(|reason| format!("does not work on this machine: {reason}")),
        Err(error) => error.to_string(),
    }
}

/// Computes a little on a backend in a process of its own, because a driver that fails takes its process along.
///
/// # Errors
/// What that process said last.
pub(super) fn tried(kind: BackendKind) -> Result<String, String> {
    let probe = std::env::current_exe().and_then(|program| {
        Command::new(program).arg("doctor").env(PROBE, kind.to_string()).stdin(Stdio::null()).output()
    });
    match probe {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let reason = text.lines().find(|line| !line.trim().is_empty() && !line.contains("panicked at"));
            let reason = reason.unwrap_or("it crashed").trim();
            // The libraries of CUDA are looked for under dozens of names.
            Err(reason.split(" - searched for library names").next().unwrap_or(reason).to_owned())
        }
        Err(error) => Err(format!("it could not be tried: {error}")),
    }
}

fn gpu_finding(gpu: &Gpu) -> String {
    format!(
        "{}: {}, compute capability {}, {} of memory, {} free, driver {}",
        gpu.index,
        gpu.name,
        gpu.capability,
        bytes(gpu.memory),
        bytes(gpu.free),
        gpu.driver
    )
}

fn probe(name: &str) -> Result<(), Failure> {
    let kinds = [BackendKind::Cpu, BackendKind::Ndarray, BackendKind::Cuda];
    let kind = kinds.into_iter().find(|kind| kind.to_string() == name);
    let kind = kind.ok_or_else(|| Failure::run(format!("There is no backend `{name}`.")))?;
    print(&(backend::probe(kind).map_err(Failure::run)? + "\n"))
}

fn memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn store_finding(path: &Path) -> String {
    if !path.exists() {
        return format!("{} (none yet; the first run makes it)", path.display());
    }
    match Store::examine(path) {
        Ok(version) => format!("{} (schema {version})", path.display()),
        Err(error) => format!("{}: {error}", path.display()),
    }
}

fn cache_finding(path: &Path) -> String {
    let sizes = fs::read_dir(path).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
    let used: u64 = sizes.filter(fs::Metadata::is_file).map(|metadata| metadata.len()).sum();
    format!("{} ({})", path.display(), bytes(used))
}

/// `23.4 GiB`.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}
