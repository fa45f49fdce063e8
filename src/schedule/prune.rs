//! Which runs are not worth going on with: decisions from values alone.

use std::collections::{HashMap, HashSet};

use crate::config::{Objective, Pruner, PrunerKind};

/// Judges the runs of one sweep by what each reached after each epoch.
#[derive(Debug, Clone)]
pub struct Judge {
    rule: Pruner,
    objective: Objective,
    /// For each run its losses: the objective with the sign such that lower is better, epoch by epoch.
    losses: HashMap<usize, Vec<f64>>,
    completed: HashSet<usize>,
}

impl Judge {
    /// Knows no run yet.
    pub fn new(rule: Pruner, objective: Objective) -> Self {
        Self { rule, objective, losses: HashMap::new(), completed: HashSet::new() }
    }

    /// Takes the value of `run` after `epoch`, from 1. Epochs come in order; one that is known changes nothing.
    pub fn learn(&mut self, run: usize, epoch: usize, value: f64) {
        let losses = self.losses.entry(run).or_default();
        if epoch == losses.len() + 1 {
            losses.push(self.objective.loss(value));
        }
    }

    /// `run` did all its epochs.
    pub fn complete(&mut self, run: usize) {
        self.completed.insert(run);
    }

    /// Why `run` should end after `epoch`, from 1, if it should.
    pub fn verdict(&self, run: usize, epoch: usize) -> Option<String> {
        let own = self.losses.get(&run)?.get(..epoch)?;
        match self.rule.kind() {
            PrunerKind::Median => self.median(run, own),
            PrunerKind::Asha => self.asha(own),
        }
    }

    /// The median rule (Golovin et al., "Google Vizier", 2017): the best so far against the median of the completed runs.
    fn median(&self, run: usize, own: &[f64]) -> Option<String> {
        let epoch = own.len();
        if epoch < self.rule.min_epochs() {
            return None;
        }
        let others = self.completed.iter().filter(|&&other| other != run);
        let mut values: Vec<f64> = others.filter_map(|other| self.losses.get(other)?.get(epoch - 1).copied()).collect();
        if values.len() < self.rule.startup_runs() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        let best = own.iter().copied().fold(f64::INFINITY, f64::min);
        (best > median).then(|| {
            let (best, median) = (self.shown(best), self.shown(median));
            let runs = values.len();
            format!("{} {best:.4} is worse than the median {median:.4} of {runs} runs at epoch {epoch}", self.objective)
        })
    }

    /// Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter tuning", 2020), in its
    /// stopping form: at each rung, a run that is not among the best of those that came so far ends.
    fn asha(&self, own: &[f64]) -> Option<String> {
        let epoch = own.len();
        if !self.is_rung(epoch) {
            return None;
        }
        let mut values: Vec<f64> = self.losses.values().filter_map(|losses| losses.get(epoch - 1).copied()).collect();
        values.sort_by(f64::total_cmp);
        let kept = (values.len() / self.rule.reduction()).max(1);
        (own[epoch - 1] > values[kept - 1]).then(|| {
            let (own, bar) = (self.shown(own[epoch - 1]), self.shown(values[kept - 1]));
            let (objective, runs) = (self.objective, values.len());
            format!(
                "{objective} {own:.4} at epoch {epoch} is not among the best {kept} of {runs} runs, which have {bar:.4}"
            )
        })
    }

    fn is_rung(&self, epoch: usize) -> bool {
        let rungs = std::iter::successors(Some(self.rule.min_epochs()), |rung| rung.checked_mul(self.rule.reduction()));
        rungs.take_while(|&rung| rung <= epoch).last() == Some(epoch)
    }

    fn shown(&self, loss: f64) -> f64 {
        // The sign is its own inverse.
        self.objective.loss(loss)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::SweepFile;

    fn judge(rule: &str) -> Judge {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        let text = format!("[data]\nsource = \"builtin:faces\"\n[sweep]\n[sweep.pruner]\n{rule}");
        std::fs::write(&path, text).unwrap();
        let file: SweepFile = crate::config::load_sweep(Path::new(&path), &[]).unwrap();
        Judge::new(file.sweep().unwrap().pruner().unwrap(), Objective::ValAuc)
    }

    fn completed(judge: &mut Judge, run: usize, values: &[f64]) {
        for (epoch, &value) in values.iter().enumerate() {
            judge.learn(run, epoch + 1, value);
        }
        judge.complete(run);
    }

    #[test]
    fn the_median_rule_ends_what_is_worse_than_half_of_the_completed_runs() {
        let mut judge = judge("kind = \"median\"\nstartup_runs = 3\nmin_epochs = 2\n");
        for (run, values) in [[0.5, 0.6, 0.7], [0.5, 0.7, 0.8], [0.5, 0.8, 0.9]].iter().enumerate() {
            completed(&mut judge, run, values);
        }
        judge.learn(9, 1, 0.1);
        assert_eq!(judge.verdict(9, 1), None, "before min_epochs nothing ends");
        judge.learn(9, 2, 0.65);
        assert!(judge.verdict(9, 2).unwrap().contains("0.6500 is worse than the median 0.7000 of 3 runs at epoch 2"));
        judge.learn(8, 1, 0.75);
        judge.learn(8, 2, 0.1);
        assert_eq!(judge.verdict(8, 2), None, "its best so far counts");
    }

    #[test]
    fn the_median_rule_waits_for_enough_completed_runs() {
        let mut judge = judge("kind = \"median\"\nstartup_runs = 2\n");
        completed(&mut judge, 0, &[0.9]);
        judge.learn(1, 1, 0.1);
        assert_eq!(judge.verdict(1, 1), None);
        completed(&mut judge, 2, &[0.9]);
        assert!(judge.verdict(1, 1).is_some());
    }

    #[test]
    fn asha_lets_one_in_three_pass_each_rung() {
        let mut judge = judge("kind = \"asha\"\nmin_epochs = 1\nreduction = 3\n");
        judge.learn(0, 1, 0.6);
        assert_eq!(judge.verdict(0, 1), None, "the first to come is the best so far");
        judge.learn(1, 1, 0.5);
        assert!(judge.verdict(1, 1).is_some());
        judge.learn(2, 1, 0.7);
        assert_eq!(judge.verdict(2, 1), None);
        judge.learn(2, 2, 0.1);
        assert_eq!(judge.verdict(2, 2), None, "epoch 2 is no rung: 1, 3, 9");
        judge.learn(0, 2, 0.6);
        judge.learn(0, 3, 0.6);
        judge.learn(2, 3, 0.1);
        assert!(judge.verdict(2, 3).unwrap().contains("epoch 3 is not among the best 1 of 2 runs, which have 0.6000"));
    }

    #[test]
    fn an_epoch_told_twice_counts_once() {
        let mut judge = judge("kind = \"asha\"\n");
        judge.learn(0, 1, 0.6);
        judge.learn(0, 1, 0.1);
        assert_eq!(judge.losses[&0], [-0.6]);
    }
}
