//! `emo-runner.toml`: what holds for every experiment of a place, such as where results go and how its cluster is asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::check::check_value;
use super::document::Document;
use super::error::{ConfigError, Problem};
use super::load::{read, sorted, syntax};
use super::units::{parse_size, parse_time};

/// Name of the file.
pub const SETTINGS: &str = "emo-runner.toml";

/// Settings of emo-runner, for every experiment of a folder and below.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Settings {
    /// The store, where --db does not name one; best on this machine's own disk. A relative path starts at this file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub db: Option<PathBuf>,
    /// Folder of the runs and of the cache of decoded images; on a cluster, one that every node sees. Left out: the store's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub shared: Option<PathBuf>,
    /// How `sweep --launcher slurm` asks for jobs.
    pub slurm: SlurmSettings,
}

/// How jobs are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct SlurmSettings {
    /// sbatch's --partition.
    pub partition: Option<String>,
    /// sbatch's --account.
    pub account: Option<String>,
    /// sbatch's --qos.
    pub qos: Option<String>,
    /// sbatch's --constraint.
    pub constraint: Option<String>,
    /// CPUs of a run whose experiment does not say `resources.cpus`.
    #[schemars(range(min = 1, max = 1024))]
    pub cpus: usize,
    /// Memory of a run whose experiment does not say `resources.memory`, such as "4GiB". Left out: twice the estimate.
    pub memory: Option<String>,
    /// Time of a run whose experiment does not say `resources.time`, such as "2h". Left out: the partition's.
    pub time: Option<String>,
    /// How long before its time is up a run is told to save.
    pub notice: String,
    /// Runs of one array at the same time. Left out: as many as Slurm lets run.
    #[schemars(range(min = 1, max = 100_000))]
    pub limit: Option<usize>,
    /// How many time limits a run may use up: with 3, one that reached its limit is submitted again, twice at most, and goes on
    /// from its checkpoint.
    #[schemars(range(min = 1, max = 1000))]
    pub time_limits: usize,
    /// How often a run is submitted again whose node failed, or that was preempted and not put back by Slurm.
    #[schemars(range(min = 0, max = 1000))]
    pub resubmits: usize,
    /// More options of sbatch, one each, such as "--mail-type=FAIL".
    pub extra: Vec<String>,
    /// Shell lines before the run, such as "module load cuda".
    pub setup: Vec<String>,
    /// Time between two questions to Slurm.
    pub poll: String,
}

impl Default for SlurmSettings {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            cpus: 1,
            memory: None,
            time: None,
            notice: "90s".to_owned(),
            limit: None,
            time_limits: 1,
            resubmits: 3,
            extra: Vec::new(),
            setup: Vec::new(),
            poll: "10s".to_owned(),
        }
    }
}

impl SlurmSettings {
    /// Bytes of memory of a run, where they are said.
    pub fn memory(&self) -> Option<u64> {
        self.memory.as_deref().and_then(|size| parse_size(size).ok())
    }

    /// Time of a run, where it is said.
    pub fn time(&self) -> Option<Duration> {
        self.time.as_deref().and_then(|time| parse_time(time).ok())
    }

    /// How long before its time is up a run is told to save.
    pub fn notice(&self) -> Duration {
        parse_time(&self.notice).unwrap_or(Duration::from_secs(90))
    }

    /// Time between two questions to Slurm.
    pub fn poll(&self) -> Duration {
        parse_time(&self.poll).unwrap_or(Duration::from_secs(10))
    }

    /// Words that go to sbatch, with their keys.
    fn words(&self) -> impl Iterator<Item = (String, &str)> {
        let single = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("constraint", &self.constraint),
        ];
        let single = single.into_iter().filter_map(|(key, word)| Some((key.to_owned(), word.as_deref()?)));
        let extra = self.extra.iter().enumerate().map(|(index, word)| (format!("extra[{index}]"), word.as_str()));
        single.chain(extra)
    }
}

impl Settings {
    /// The settings that hold in `folder`: of the nearest `emo-runner.toml` there or above; none is no error.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem of the file, or why it cannot be read.
    pub fn find(folder: &Path) -> Result<Self, ConfigError> {
        match folder.ancestors().map(|folder| folder.join(SETTINGS)).find(|file| file.is_file()) {
            Some(file) => Self::load(&file),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As above.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let spans = DeTable::parse(&text).map_err(|error| syntax(path, &text, &error))?;
        let document = Document::new(path, &text, Some(spans.get_ref()));
        let table: toml::Table = toml::from_str(&text).map_err(|error| syntax(path, &text, &error))?;
        let schema = schemars::schema_for!(Self).to_value();
        let problems = check_value(&toml::Value::Table(table.clone()), &schema, &schema, "", &document);
        if !problems.is_empty() {
            return Err(sorted(problems));
        }
        let settings: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| document.problem("", error.message().to_owned(), None))?;
        let problems = settings.problems(&document);
        if !problems.is_empty() {
            return Err(sorted(problems));
        }
        Ok(settings.rebased(path.parent().unwrap_or(Path::new(""))))
    }

    fn rebased(mut self, folder: &Path) -> Self {
        for path in [&mut self.db, &mut self.shared].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self
    }

    /// What the schema cannot say.
    fn problems(&self, document: &Document) -> Vec<Problem> {
        let slurm = &self.slurm;
        let sizes = slurm.memory.iter().filter_map(|size| Some(("memory".to_owned(), parse_size(size).err()?)));
        let times = [("time", slurm.time.as_ref()), ("notice", Some(&slurm.notice)), ("poll", Some(&slurm.poll))];
        let times = times.into_iter().filter_map(|(key, time)| Some((key.to_owned(), parse_time(time?).err()?)));
        // A line break would make two lines of a script out of one.
        let words = slurm.words().filter_map(|(key, word)| Some((key, word_problem(word)?)));
        let options = slurm.extra.iter().enumerate().filter_map(|(index, option)| {
            let message = "expected an option of sbatch, which begins with -".to_owned();
            (!option.starts_with('-')).then(|| (format!("extra[{index}]"), message))
        });
        let found = sizes.chain(times).chain(words).chain(options);
        let problem = |(key, message): (String, String)| {
            let key = format!("slurm.{key}");
            let place = document.value_place(&key);
            Problem { key, message, label: String::new(), help: None, place }
        };
        found.map(problem).collect()
    }
}

/// What is wrong with a word that goes into a line of a script.
pub fn word_problem(word: &str) -> Option<String> {
    if word.is_empty() {
        Some("expected some text, found an empty string".to_owned())
    } else if word.chars().any(char::is_control) {
        Some("expected one line, without control characters".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SETTINGS);
        std::fs::write(&path, text).unwrap();
        Settings::load(&path).unwrap_err().render(false)
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let text = problems("[slurm]\npartitoin = \"x\"\n");
        assert!(text.contains("unknown key \"partitoin\"") && text.contains("did you mean \"partition\""), "{text}");
        let text = problems("[slurm]\nmemory = \"much\"\npoll = \"often\"\nextra = [\"nice\"]\naccount = \"a\\nb\"\n");
        for expected in ["a size such as", "a time such as", "begins with -", "without control characters"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn paths_start_at_the_folder_of_the_nearest_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SETTINGS), "db = \"here/emo.db\"\nshared = \"/scratch/emo\"\n").unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let settings = Settings::find(&below).unwrap();
        assert_eq!(settings.db, Some(folder.path().join("here/emo.db")));
        assert_eq!(settings.shared, Some(PathBuf::from("/scratch/emo")));
        assert_eq!(settings.slurm, SlurmSettings::default());
    }
}
