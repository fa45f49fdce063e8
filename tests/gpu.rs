//! Promise: a GPU is one word in the experiment file, and what stands in its way is said in one line before anything begins.
//!
//! These hold without a GPU and without the feature `cuda`; `device_warp.rs` and `device_training.rs` hold the computation.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::{Lab, SMALL};

/// What a machine with two GPUs says.
const SMI: &str = "#!/bin/sh\n[ \"$2\" = --format=csv,noheader,nounits ] || exit 1\n\
                   echo '0, NVIDIA H100 80GB HBM3, 81559, 81008, 9.0, 550.54.15'\necho '1, Tesla T4, 15360, 14923, 7.5, 550.54.15'\n";

#[test]
fn auto_means_the_cpu_where_there_is_no_gpu_and_is_the_same_run() {
    let lab = Lab::new();
    lab.write("auto.toml", &format!("backend = \"auto\"\n{SMALL}"));
    let run = lab.json(&["run", "auto.toml"]);
    assert_eq!(run["summary"]["backend"], "burn 0.21.0 flex");
    let (_, told) = lab.expect(0, &["run", "small.toml"]);
    assert!(told.contains("completed already"), "{told}");
    lab.write("sweep.toml", &format!("backend = \"auto\"\n{SMALL}[sweep]\nrepeats = 2\n"));
    lab.ok(&["sweep", "sweep.toml"]);
    assert_eq!(lab.json(&["report"]).as_array().unwrap().len(), 2);
}

#[test]
fn a_gpu_that_cannot_be_had_is_refused_in_one_line_before_anything_begins() {
    let lab = Lab::new();
    lab.write("sweep.toml", &format!("{SMALL}[sweep]\nrepeats = 2\n"));
    for backend in ["cuda", "cuda:0", "cuda:1"] {
        for command in [&["run", "small.toml"][..], &["sweep", "sweep.toml"]] {
            let set = format!("backend={backend}");
            let (out, told) = lab.expect(2, &[command, &["--set", &set]].concat());
            assert_eq!(told.trim().lines().count(), 1, "{told}");
            assert!(told.contains("backend = \"cpu\"") && out.is_empty(), "{told}");
        }
    }
    assert!(!lab.path("results/runs").exists());
}

#[test]
fn a_backend_that_is_none_shows_those_there_are() {
    let lab = Lab::new();
    for odd in ["gpu", "cuda:16", "cuda:-1", "cpu:1", "CUDA"] {
        let (_, told) = lab.expect(2, &["check", "small.toml", "--set", &format!("backend={odd}")]);
        assert!(told.contains("\"auto\", \"cpu\", \"cuda\"") && told.contains("\"cuda:15\""), "{told}");
    }
    for share in ["0", "1.5", "-1", "nan"] {
        lab.expect(2, &["check", "small.toml", "--set", &format!("resources.gpu_share={share}")]);
    }
    lab.ok(&["check", "small.toml", "--set", "resources.gpu_share=0.25", "--set", "backend=auto"]);
}

#[test]
fn the_doctor_shows_every_gpu_of_the_driver() {
    let lab = Lab::new();
    lab.write("nvidia-smi", SMI);
    std::fs::set_permissions(lab.path("nvidia-smi"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", lab.path("").display(), std::env::var("PATH").unwrap());
    let output = lab.command(&["doctor"]).env("PATH", path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    for part in
        ["NVIDIA H100 80GB HBM3, compute capability 9.0", "79.6 GiB of memory", "1: Tesla T4", "driver 550.54.15"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Those are no GPUs of this machine, and nothing is begun on them.
    assert!(told.contains("cuda "), "{told}");
}

#[test]
fn a_cluster_is_not_asked_for_the_gpu_of_its_login_node() {
    let lab = Lab::new();
    lab.write("sweep.toml", &format!("{SMALL}[resources]\ngpus = 1\n[sweep]\nrepeats = 2\n"));
    let slurm = ["sweep", "sweep.toml", "--launcher", "slurm", "--dry-run", "--set", "backend=auto"];
    let (out, told) = lab.expect(0, &slurm);
    assert!(format!("{out}{told}").contains("--gres=gpu:1"), "{out}{told}");
}

#[test]
fn what_was_trained_on_a_gpu_predicts_without_one() {
    let lab = Lab::new();
    lab.ok(&["run", "small.toml"]);
    let before = lab.ok(&["predict", "small", "pictures"]);
    // The folder of a run as a machine with a GPU would have left it.
    for name in ["experiment.toml", "events.jsonl"] {
        let file = lab.run_folders("results")[0].join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("backend = "), "{text}");
        let text = text.replace("backend = \"cpu\"", "backend = \"cuda\"");
        std::fs::write(file, text.replace("backend = \\\"cpu\\\"", "backend = \\\"cuda\\\"")).unwrap();
    }
    lab.ok(&["store", "rebuild"]);
    assert!(lab.json(&["show", "small"])["experiment"].as_str().unwrap().contains("backend = \"cuda\""));
    let (after, told) = lab.expect(0, &["predict", "small", "pictures"]);
    assert!(told.contains("the CPU computes"), "{told}");
    assert_eq!(after, before);
}
