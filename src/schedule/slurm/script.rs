//! The script of a job array.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::config::SlurmSettings;
use crate::schedule::launcher::Needs;
use crate::schedule::local::allocator_settings;

/// What a script says besides the settings.
#[derive(Debug)]
pub struct Script<'a> {
    /// Name of the job.
    pub name: &'a str,
    /// Runs, one a task.
    pub tasks: usize,
    /// What each of them is to have.
    pub needs: &'a Needs,
    /// The folder of the array: `tasks` and the logs.
    pub folder: &'a Path,
    /// The program.
    pub program: &'a Path,
}

impl Script<'_> {
    /// The script's text. sbatch's options first, then the user's set-up, then the run in place of the shell, so that Slurm's
    /// signals reach it.
    pub fn text(&self, settings: &SlurmSettings) -> String {
        let mut text = "#!/bin/sh\n".to_owned();
        for option in self.options(settings).iter().chain(&settings.extra) {
            let _ = writeln!(text, "#SBATCH {option}");
        }
        let _ = writeln!(text, "\nexport RAYON_NUM_THREADS={}", self.needs.cpus);
        let _ = writeln!(text, "export GLIBC_TUNABLES={}", quoted(&allocator_settings()));
        settings.setup.iter().for_each(|line| text += &format!("{line}\n"));
        let tasks = quoted(&self.folder.join("tasks").display().to_string());
        let program = quoted(&self.program.display().to_string());
        let _ = writeln!(text, "run=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" {tasks})");
        let _ = writeln!(text, "exec {program} worker --in-job \"$run\" >>\"$run/worker.log\" 2>&1");
        text
    }

    fn options(&self, settings: &SlurmSettings) -> Vec<String> {
        let limit = settings.limit.map(|limit| format!("%{limit}")).unwrap_or_default();
        // % begins a placeholder in names of files.
        let log = self.folder.display().to_string().replace('%', "%%");
        let mut options = vec![
            format!("--job-name={}", word(self.name)),
            format!("--array=0-{}{limit}", self.tasks - 1),
            format!("--output={}", word(&format!("{log}/%a.log"))),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            format!("--signal=B:USR1@{}", settings.notice().as_secs()),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.needs.cpus),
            format!("--mem={}M", self.needs.memory.div_ceil(1 << 20)),
        ];
        options.extend(self.needs.time.map(|time| format!("--time={}", slurm_time(time))));
        if self.needs.gpus > 0 {
            options.push(format!("--gres=gpu:{}", self.needs.gpus));
        }
        let named = [
            ("partition", &settings.partition),
            ("account", &settings.account),
            ("qos", &settings.qos),
            ("constraint", &settings.constraint),
        ];
        options.extend(named.into_iter().filter_map(|(key, value)| Some(format!("--{key}={}", word(value.as_ref()?)))));
        options
    }
}

/// `1-02:30:00`.
fn slurm_time(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    format!("{days}-{hours:02}:{:02}:{:02}", seconds / 60 % 60, seconds % 60)
}

/// A word of a #SBATCH line, quoted where it must be.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:%,+=@&|()*[]".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\\\"")) }
}

/// A word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_the_settings_say() {
        let settings = SlurmSettings {
            partition: Some("short".to_owned()),
            constraint: Some("avx512&fast disk".to_owned()),
            limit: Some(4),
            extra: vec!["--mail-type=FAIL".to_owned()],
            setup: vec!["module load cuda".to_owned()],
            ..SlurmSettings::default()
        };
        let time = Some(Duration::from_secs(93_784));
        let needs = Needs { cpus: 2, memory: 1_500_000_000, gpus: 1, time };
        let folder = Path::new("/scratch/it's 100%");
        let script = Script { name: "emo:a:1", tasks: 12, needs: &needs, folder, program: Path::new("/bin/emo") };
        let text = script.text(&settings);
        for line in [
            "#SBATCH --array=0-11%4",
            "#SBATCH --output=\"/scratch/it's 100%%/%a.log\"",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --mem=1431M",
            "#SBATCH --time=1-02:03:04",
            "#SBATCH --gres=gpu:1",
            "#SBATCH --partition=short",
            "#SBATCH --constraint=\"avx512&fast disk\"",
            "#SBATCH --mail-type=FAIL",
            "module load cuda",
            "run=$(sed -n \"$((SLURM_ARRAY_TASK_ID + 1))p\" '/scratch/it'\\''s 100%/tasks')",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
