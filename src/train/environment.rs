//! What a result may depend on besides the experiment: machine, build and working directory.

use std::process::Command;

use super::NUMERICS_VERSION;
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
pub fn environment(backend: BackendKind, threads: usize, command_line: Vec<String>) -> Environment {
    let framework = match backend {
        BackendKind::Cpu => "burn 0.21.0 flex",
        BackendKind::Ndarray => "burn 0.21.0 ndarray",
        BackendKind::Cuda => "burn 0.21.0 cuda",
    };
    let commit = git(&["rev-parse", "HEAD"]);
    let dirty = commit.as_ref().and_then(|_| git(&["status", "--porcelain"])).map(|changes| !changes.is_empty());
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        numerics: NUMERICS_VERSION,
        backend: framework.to_owned(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu_features: cpu_features(),
        threads,
        host: host(),
        pid: std::process::id(),
        commit,
        dirty,
        command_line,
    }
}

/// Output of a git command in the working directory; `None` without git or outside a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
