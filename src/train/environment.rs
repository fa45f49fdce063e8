//! What a result may depend on besides the experiment: machine, build and working directory.

use std::process::Command;

use super::NUMERICS_VERSION;
use super::folder::RunSpec;
use crate::config::BackendKind;
use crate::events::Environment;

/// The vector instructions that decide which kernels run.
pub fn cpu_features() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        features.iter().filter(|(_, present)| *present).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH.to_owned()
    }
}

/// Host name as the kernel knows it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Circumstances of an attempt that starts now in this process.
pub fn environment(backend: BackendKind, spec: &RunSpec) -> Environment {
    let framework = match backend {
        BackendKind::Cpu | BackendKind::Auto => "burn 0.21.0 flex",
        BackendKind::Ndarray => "burn 0.21.0 ndarray",
        BackendKind::Cuda => "burn 0.21.0 cuda",
    };
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        numerics: NUMERICS_VERSION,
        backend: framework.to_owned(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu_features: cpu_features(),
        threads: spec.threads,
        host: host(),
        pid: std::process::id(),
        commit: spec.commit.as_ref().map(|(commit, _)| commit.clone()),
        dirty: spec.commit.as_ref().map(|(_, dirty)| *dirty),
        command_line: spec.command_line.clone(),
    }
}

/// Git commit of the working directory and whether it has uncommitted changes; `None` outside a repository.
pub fn git_commit() -> Option<(String, bool)> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain"])?;
    Some((commit, !changes.is_empty()))
}

/// Most memory that this process has held at once, in bytes, where the system tells.
pub fn peak_memory() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The line `NAME  N kB` of a file of the kernel's, in bytes.
pub fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|number| number * 1024)
}

/// Output of a git command in the working directory; `None` without git or outside a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
