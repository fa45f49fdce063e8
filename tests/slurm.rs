//! Promise: past one machine everything is as on one: Slurm may lose nodes, end jobs and fall silent; nothing is lost, and
//! nothing is done twice. Each test has a Slurm of its own, with several nodes on this machine: `just slurm`.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Lab, SMALL, bits};

const SWEEP: &str = r#"
[sweep]
repeats = 3
[sweep.axes]
"model.activation" = ["linear", "relu"]
"train.learning_rate" = [1e-3, 3e-3]
"#;

/// One at a time: each takes what the machine has.
static TURN: Mutex<()> = Mutex::new(());

/// A laboratory with a Slurm.
struct Cluster {
    lab: Lab,
    conf: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    fn new() -> Self {
        Self::with("")
    }

    /// With more lines in slurm.conf.
    fn with(lines: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::new();
        lab.write("emo-runner.toml", "db = \"login/emo.db\"\nshared = \"shared\"\n[slurm]\npoll = \"1s\"\n");
        let folder = lab.path("cluster");
        let said = lab.path("cluster.log");
        let log = File::create(&said).unwrap();
        let status = Command::new(script("up.sh"))
            .arg(&folder)
            .env("EMO_SLURM_CONF", lines)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let hint = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge";
        let said = fs::read_to_string(said).unwrap();
        assert!(status.success(), "Slurm did not start; are its packages there, and is this root? {hint}\n{said}");
        Self { lab, conf: folder.join("slurm.conf"), _turn: turn }
    }

    /// An experiment whose run takes as many epochs, of 2 to 5 ms each.
    fn experiment(&self, name: &str, epochs: usize, rest: &str) {
        let long =
            SMALL.replace("epochs = 4", &format!("epochs = {epochs}")).replace("batch_size = 8", "batch_size = 2");
        self.lab.write(name, &format!("{long}{rest}"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(arguments);
        command.env("SLURM_CONF", &self.conf).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What it prints goes to files: a pipe that nobody reads would hold it up.
    fn start(&self, arguments: &[&str]) -> Child {
        let file = |name: &str| File::create(self.lab.path(name)).unwrap();
        self.command(arguments).stdout(file("out")).stderr(file("err")).spawn().unwrap()
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        told(code, self.command(arguments).output().unwrap())
    }

    #[track_caller]
    fn ends(&self, code: i32, program: Child) -> (String, String) {
        let output = program.wait_with_output().unwrap();
        let read = |name: &str| fs::read(self.lab.path(name)).unwrap();
        told(code, Output { stdout: read("out"), stderr: read("err"), ..output })
    }

    fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", &self.conf).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Our jobs, one a line: name of the task, state, node.
    fn jobs(&self) -> String {
        self.slurm("squeue", &["--noheader", "--array", "--format=%i %T %N"])
    }

    /// The task of Slurm that works on a node, once there is one.
    #[track_caller]
    fn job_on(&self, node: &str) -> String {
        let end = format!(" RUNNING {node}");
        let mut found = None;
        until("a job on the node", || {
            found = self.jobs().lines().find_map(|line| Some(line.strip_suffix(&end)?.to_owned()));
            found.is_some()
        });
        found.unwrap()
    }

    /// Folders of the runs that have told of `event` at least so often.
    fn told(&self, event: &str, times: usize) -> Vec<PathBuf> {
        let mark = format!("\"event\":\"{event}\"");
        let text = |folder: &Path| fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
        let folders = self.lab.run_folders("shared").into_iter();
        folders.filter(|folder| text(folder).matches(&mark).count() >= times).collect()
    }

    /// History and predictions of every run of a store, by its id.
    fn bits(&self, flags: &[&str]) -> Vec<(String, (Vec<Value>, Value))> {
        let json = |arguments: &[&str]| self.lab.json(&[arguments, flags].concat());
        let runs = json(&["report"]);
        let mut ids: Vec<String> =
            runs.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids.into_iter().map(|id| (id.clone(), bits(&json(&["show", &id])))).collect()
    }

    /// The store has so many completed runs and no others, and no run was completed twice.
    #[track_caller]
    fn is_whole(&self, store: &str, runs: i64) {
        let sql = self.lab.sql(store);
        let count = |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM runs WHERE status = 'completed'"), runs);
        assert_eq!(count("SELECT count(*) FROM runs"), runs);
        for folder in self.lab.run_folders("shared") {
            let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
            assert_eq!(text.matches("\"event\":\"completed\"").count(), 1, "{text}");
        }
    }

    /// Everything that happened, in the words of the runs' files.
    fn history(&self) -> String {
        let folders = self.lab.run_folders("shared");
        folders.iter().map(|folder| fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default()).collect()
    }

    /// A node loses its power: its daemon, and the jobs with those who watch them.
    fn kill_node(&self, node: &str) {
        let daemon = fs::read_to_string(self.conf.with_file_name("run").join(format!("slurmd.{node}.pid"))).unwrap();
        let workers = processes_with(&format!("SLURMD_NODENAME={node}"), &self.conf);
        let mut all = vec![daemon.trim().parse().unwrap()];
        all.extend(workers.iter().filter_map(|&pid| parent(pid)));
        all.extend(workers);
        // None of them has time to tell of another's end.
        all.iter().for_each(|&pid| signal(pid, Signal::STOP));
        all.iter().rev().for_each(|&pid| signal(pid, Signal::KILL));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(script("down.sh")).arg(self.conf.parent().unwrap()).output();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm").join(name)
}

#[track_caller]
fn told(code: i32, output: Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    // Epochs are many, and no test asks for them.
    let out: String = out.split_inclusive('\n').filter(|line| !line.starts_with("{\"epoch\"")).collect();
    assert_eq!(output.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
    (out, err)
}

/// How many runs ended so.
fn ended(out: &str, status: &str) -> usize {
    let events = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == "ended" && event["status"] == status).count()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn signal(pid: i32, signal: Signal) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn interrupt(program: &Child) {
    signal(i32::try_from(program.id()).unwrap(), Signal::INT);
}

/// Processes of a Slurm with a line in their environment.
fn processes_with(line: &str, conf: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    let conf = format!("SLURM_CONF={}", conf.display());
    let has = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        [line, &conf].iter().all(|&wanted| environment.split('\0').any(|found| found == wanted))
    };
    pids.filter(has).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_sweep_on_three_nodes_has_the_same_bits_as_a_local_one() {
    let cluster = Cluster::new();
    cluster.experiment("twelve.toml", 12, SWEEP);
    let local = ["--db", "local/emo.db", "--shared", "local"];
    cluster.lab.ok(&[&["sweep", "twelve.toml", "--jobs", "2"][..], &local].concat());

    let (out, err) = cluster.expect(0, &["sweep", "twelve.toml", "--launcher", "slurm", "--json"]);
    cluster.is_whole("login/emo.db", 12);
    assert!(err.is_empty(), "{err}");
    // One array for all, and it ran on more than one node.
    let submitted: Vec<&str> = out.lines().filter(|line| line.contains("submitted 12 runs as job")).collect();
    assert_eq!(submitted.len(), 1, "{out}");
    let nodes = cluster.slurm("scontrol", &["show", "job", "--oneliner"]);
    assert!(["BatchHost=n1", "BatchHost=n2"].iter().all(|node| nodes.contains(node)), "{nodes}");
    assert_eq!(cluster.bits(&[]), cluster.bits(&local));

    // The same command has nothing to do, and asks for no job.
    let (out, _) = cluster.expect(0, &["sweep", "twelve.toml", "--launcher", "slurm", "--json"]);
    assert!(!out.contains("submitted"), "{out}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn runs_of_a_node_that_dies_go_on_elsewhere() {
    let cluster = Cluster::new();
    cluster.experiment("three.toml", 1200, "[sweep]\nrepeats = 3\n[resources]\ncpus = 2\n");
    let sweep = cluster.start(&["sweep", "three.toml", "--launcher", "slurm", "--json"]);
    let job = cluster.job_on("n2");
    until("epochs on every node", || cluster.told("epoch", 3).len() == 3);
    cluster.kill_node("n2");
    // Slurm finds out by itself, and would wait for two minutes before it begins the job again.
    until("the job is put back", || cluster.jobs().contains(&format!("{job} PENDING")));
    cluster.slurm("scontrol", &["update", &format!("jobid={job}"), "StartTime=now"]);
    let (out, err) = cluster.ends(0, sweep);
    cluster.is_whole("login/emo.db", 3);
    let attempts = cluster.told("started", 2);
    assert_eq!(attempts.len(), 1, "{out}{err}");
    let text = fs::read_to_string(attempts[0].join("events.jsonl")).unwrap();
    assert!(!text.contains("\"resumed_from\":[0,0]") && text.matches("\"resumed_from\":null").count() == 1, "{text}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_job_cancelled_behind_our_back_is_interrupted_and_goes_on_when_asked() {
    let cluster = Cluster::new();
    cluster.experiment("two.toml", 800, "[sweep]\nrepeats = 2\n[resources]\ncpus = 2\n");
    let command = ["sweep", "two.toml", "--launcher", "slurm", "--json"];
    let sweep = cluster.start(&command);
    let job = cluster.job_on("n1");
    until("epochs of both", || cluster.told("epoch", 3).len() == 2);
    cluster.slurm("scancel", &[&job]);
    let (out, _) = cluster.ends(1, sweep);
    assert_eq!((ended(&out, "interrupted"), ended(&out, "completed")), (1, 1), "{out}");
    // It does not stay at work for ever, neither here nor in the store.
    assert_eq!(cluster.jobs(), "");
    cluster.expect(0, &command);
    cluster.is_whole("login/emo.db", 2);
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn one_cancelled_while_it_waits_is_not_begun() {
    let cluster = Cluster::new();
    cluster.experiment("five.toml", 500, "[sweep]\nrepeats = 5\n[resources]\ncpus = 2\n");
    let sweep = cluster.start(&["sweep", "five.toml", "--launcher", "slurm", "--json"]);
    until("some wait", || cluster.jobs().contains("PENDING"));
    let jobs = cluster.jobs();
    let waiting = jobs.lines().find(|line| line.contains("PENDING")).unwrap();
    cluster.slurm("scancel", &[waiting.split(' ').next().unwrap()]);
    let (out, _) = cluster.ends(1, sweep);
    assert_eq!((ended(&out, "interrupted"), ended(&out, "completed")), (1, 4), "{out}");
    assert!(out.contains("was taken out of the queue"), "{out}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn another_login_node_goes_on_after_the_coordinator_was_killed() {
    let cluster = Cluster::new();
    cluster.experiment("nine.toml", 400, "[sweep]\nrepeats = 9\n[resources]\ncpus = 2\n");
    let mut sweep = cluster.start(&["sweep", "nine.toml", "--launcher", "slurm"]);
    until("jobs work and jobs wait", || {
        let jobs = cluster.jobs();
        jobs.contains("RUNNING") && jobs.contains("PENDING")
    });
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    let (out, _) = cluster.expect(0, &["sweep", "nine.toml", "--launcher", "slurm", "--json", "--db", "other/emo.db"]);
    assert!(!out.contains("submitted"), "what is queued is picked up: {out}");
    cluster.is_whole("other/emo.db", 9);
    assert_eq!(cluster.told("started", 2), Vec::<PathBuf>::new(), "no run was begun twice");
    // The first one's store hears of it too.
    cluster.expect(0, &["sweep", "nine.toml", "--launcher", "slurm"]);
    cluster.is_whole("login/emo.db", 9);
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_run_saves_before_its_time_is_up_and_goes_on_with_another_job() {
    let cluster = Cluster::new();
    cluster.experiment("long.toml", 100_000, "[resources]\ntime = \"60s\"\n");
    let settings = fs::read_to_string(cluster.lab.path("emo-runner.toml")).unwrap();
    cluster.lab.write("emo-runner.toml", &format!("{settings}notice = \"50s\"\ntime_limits = 2\n"));
    let command = ["sweep", "long.toml", "--launcher", "slurm", "--json", "--on-interrupt", "cancel"];
    let sweep = cluster.start(&command);
    until("a second job", || cluster.told("started", 2).len() == 1);
    until("it goes on", || cluster.history().lines().last().is_some_and(|line| line.contains("\"epoch\"")));
    interrupt(&sweep);
    let (out, _) = cluster.ends(130, sweep);
    assert!(out.contains("its time was up, and it goes on with another job"), "{out}");
    let history = cluster.history();
    assert!(history.contains("the time limit of 60 s was nearly up"), "{history}");
    assert_eq!(history.matches("\"resumed_from\":null").count(), 1, "the second goes on: {history}");
    assert!(history.lines().last().unwrap().contains("\"interrupted\""), "cancelled jobs save: {history}");
    assert_eq!(cluster.jobs(), "");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_full_disk_fails_runs_that_go_on_once_there_is_space() {
    let cluster = Cluster::new();
    let program = fs::metadata(env!("CARGO_BIN_EXE_emo-runner")).unwrap().len();
    let disk = Disk::new(&cluster.lab.path("small-disk"), program + (8 << 20));
    cluster.experiment("two.toml", 1000, "[sweep]\nrepeats = 2\n[resources]\ncpus = 2\n");
    let shared = disk.0.to_str().unwrap();
    let command = ["sweep", "two.toml", "--launcher", "slurm", "--json", "--shared", shared];
    let sweep = cluster.start(&command);
    until("epochs of both", || {
        let text = |folder: &PathBuf| fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
        let folders = cluster.lab.run_folders("small-disk");
        folders.len() == 2 && folders.iter().all(|folder| text(folder).contains("\"epoch\""))
    });
    disk.fill();
    let (out, _) = cluster.ends(1, sweep);
    assert_eq!(ended(&out, "failed"), 2, "{out}");
    assert!(out.contains("are free") || out.contains("Free some space"), "it says what to do: {out}");

    fs::remove_file(disk.0.join("filler")).unwrap();
    cluster.expect(0, &command);
    let sql = cluster.lab.sql("login/emo.db");
    let completed = "SELECT count(*) FROM runs WHERE status = 'completed'";
    assert_eq!(sql.query_row(completed, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    for folder in cluster.lab.run_folders("small-disk") {
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert_eq!(text.matches("\"event\":\"completed\"").count(), 1, "{text}");
    }
}

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    fn new(path: &Path, size: u64) -> Self {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(path).output().unwrap();
        assert!(mount.status.success(), "a small disk needs root: {}", String::from_utf8_lossy(&mount.stderr));
        Self(path.to_owned())
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write(&mut file, &[0; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_node_whose_clock_is_an_hour_off_changes_nothing() {
    let cluster = Cluster::new();
    cluster.experiment("six.toml", 12, "[sweep]\nrepeats = 6\n[resources]\ncpus = 2\n");
    let local = ["--db", "local/emo.db", "--shared", "local"];
    cluster.lab.ok(&[&["sweep", "six.toml"][..], &local].concat());
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(Path::new(library).exists(), "apt-get install faketime");
    let ahead = format!("test $SLURMD_NODENAME != n1 || export LD_PRELOAD={library} FAKETIME=+1h");
    let behind = format!("test $SLURMD_NODENAME != n2 || export LD_PRELOAD={library} FAKETIME=-1h");
    let monotonic = "export FAKETIME_DONT_FAKE_MONOTONIC=1";
    let (out, _) = cluster.expect(
        0,
        &[
            "sweep",
            "six.toml",
            "--launcher",
            "slurm",
            "--json",
            "--setup",
            monotonic,
            "--setup",
            &ahead,
            "--setup",
            &behind,
        ],
    );
    cluster.is_whole("login/emo.db", 6);
    assert_eq!(cluster.bits(&[]), cluster.bits(&local), "{out}");
    let seconds: f64 =
        cluster.lab.sql("login/emo.db").query_row("SELECT max(seconds) FROM runs", [], |row| row.get(0)).unwrap();
    assert!(seconds < 600.0, "a run is as long as its node's steady clock says: {seconds}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_run_that_slurm_puts_back_goes_on_from_its_checkpoint() {
    let cluster = Cluster::new();
    cluster.experiment("one.toml", 800, "");
    let sweep = cluster.start(&["sweep", "one.toml", "--launcher", "slurm", "--json"]);
    let job = cluster.job_on("n1");
    until("epochs", || cluster.told("epoch", 3).len() == 1);
    cluster.slurm("scontrol", &["requeue", &job]);
    until("it is put back", || cluster.jobs().contains("PENDING"));
    cluster.slurm("scontrol", &["update", &format!("jobid={job}"), "StartTime=now"]);
    cluster.ends(0, sweep);
    cluster.is_whole("login/emo.db", 1);
    let history = cluster.history();
    assert_eq!(history.matches("\"event\":\"started\"").count(), 2, "{history}");
    assert_eq!(history.matches("\"resumed_from\":null").count(), 1, "{history}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn ctrl_c_leaves_the_jobs_and_the_same_command_picks_them_up() {
    let cluster = Cluster::new();
    cluster.experiment("four.toml", 500, "[sweep]\nrepeats = 4\n[resources]\ncpus = 2\n");
    let sweep = cluster.start(&["sweep", "four.toml", "--launcher", "slurm"]);
    until("jobs work", || cluster.jobs().contains("RUNNING"));
    interrupt(&sweep);
    let (_, err) = cluster.ends(130, sweep);
    assert!(err.contains("4 jobs go on in Slurm"), "{err}");
    assert!(!cluster.jobs().is_empty());
    cluster.expect(0, &["sweep", "four.toml", "--launcher", "slurm"]);
    cluster.is_whole("login/emo.db", 4);
    assert_eq!(cluster.told("started", 2), Vec::<PathBuf>::new(), "no run was begun twice");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn a_slurm_that_does_not_answer_for_a_while_ends_nothing() {
    let cluster = Cluster::new();
    cluster.experiment("four.toml", 12, "[sweep]\nrepeats = 4\n");
    // A squeue and an sbatch that fail at their first two calls, as with a controller that is being restarted.
    let bin = cluster.lab.path("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["squeue", "sbatch"] {
        let text = format!(
            "#!/bin/sh\necho x >> {0}/{name}.calls\nif [ $(wc -l < {0}/{name}.calls) -le 2 ]; then\n\
             echo 'slurm error: Unable to contact slurm controller (connect failure)' >&2; exit 1; fi\n\
             exec /usr/bin/{name} \"$@\"\n",
            bin.display()
        );
        fs::write(bin.join(name), text).unwrap();
        Command::new("chmod").arg("+x").arg(bin.join(name)).status().unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = cluster.command(&["sweep", "four.toml", "--launcher", "slurm", "--json"]);
    let (out, _) = told(0, command.env("PATH", path).output().unwrap());
    assert!(out.contains("Slurm does not answer, asked again in") && out.contains("connect failure"), "{out}");
    assert!(out.contains("still to be submitted"), "{out}");
    cluster.is_whole("login/emo.db", 4);
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn what_slurm_does_not_take_is_said_in_its_words() {
    let cluster = Cluster::new();
    let (out, _) =
        cluster.expect(1, &["sweep", "small.toml", "--launcher", "slurm", "--json", "--partition", "no-such"]);
    assert!(out.contains("Slurm does not take the job") && out.contains("invalid partition"), "{out}");
    // More memory than any node has.
    cluster.lab.write("large.toml", &format!("{SMALL}[resources]\nmemory = \"1TiB\"\n"));
    let (out, _) = cluster.expect(1, &["sweep", "large.toml", "--launcher", "slurm", "--json"]);
    assert!(out.contains("Slurm does not take the job"), "{out}");
}

#[test]
#[ignore = "needs Slurm: just slurm"]
fn more_runs_than_an_array_takes_are_several_arrays() {
    let cluster = Cluster::with("MaxArraySize=5");
    cluster.experiment("nine.toml", 2, "[sweep]\nrepeats = 9\n");
    let (scripts, _) = cluster.expect(0, &["sweep", "nine.toml", "--launcher", "slurm", "--dry-run"]);
    assert_eq!(scripts.matches("#SBATCH --array=0-3\n").count(), 2, "{scripts}");
    assert_eq!(scripts.matches("#SBATCH --array=0-0\n").count(), 1, "{scripts}");
    let left = ["shared/runs", "shared/slurm", "shared/bin", "login"].map(|name| cluster.lab.path(name).exists());
    assert_eq!((left, cluster.jobs().as_str()), ([false; 4], ""), "a dry run leaves nothing");
    let (out, _) = cluster.expect(0, &["sweep", "nine.toml", "--launcher", "slurm", "--json"]);
    assert_eq!(out.matches("submitted 4 runs as job").count(), 2, "{out}");
    cluster.is_whole("login/emo.db", 9);
}
