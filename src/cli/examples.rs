//! What stands under `--help`: calls that one would type.

macro_rules! examples {
    ($($name:ident: $text:literal)+) => { $( pub const $name: &str = concat!("Examples:\n", $text); )+ };
}

examples! {
    RUN: "  emo-runner run experiments/quick.toml\n  emo-runner run my.toml --set train.epochs=3 --set seed=7\n  emo-runner run my.toml --force --threads 1"
    SWEEP: "  emo-runner sweep experiments/study --dry-run\n  emo-runner sweep experiments/study --jobs 2 --timeout 30m\n  emo-runner sweep a.toml b.toml --set split.folds=5 --format markdown\n  emo-runner sweep experiments/study --launcher slurm --partition short --dry-run"
    PLAN: "  emo-runner plan experiments/baseline.toml\n  emo-runner plan experiments/study --set split.folds=5"
    REPORT: "  emo-runner report --sort \"auc DESC\"\n  emo-runner report --best\n  emo-runner report --points --where \"name = 'width'\" --format csv\n  emo-runner report --html report.html"
    SHOW: "  emo-runner show quick\n  emo-runner show best --html run.html\n  emo-runner show bd1c --json"
    PLOT: "  emo-runner plot quick --to plots\n  emo-runner plot --where \"name = 'width'\" --to plots --format svg"
    PREDICT: "  emo-runner predict best picture.jpg\n  emo-runner predict quick folder --threshold tuned\n  find . -name '*.png' | emo-runner predict quick -"
    EXPORT: "  emo-runner export --to csv --out tables\n  emo-runner export quick --to onnx --out models\n  emo-runner export --where \"name = 'width'\" --to optuna --out width.db\n  emo-runner export best --to mlflow --out http://127.0.0.1:5000"
    UI: "  emo-runner ui\n  emo-runner ui --port 9000 --allow-edit\n  emo-runner ui --db elsewhere/emo.db"
    COMPARE: "  emo-runner compare quick relu\n  emo-runner compare a b c --format markdown\n  emo-runner compare a b --html comparison.html"
    REPLAY: "  emo-runner replay quick"
    CHECK: "  emo-runner check experiments/quick.toml\n  emo-runner check my.toml --set model.kernel=5"
    SCHEMA: "  emo-runner schema > experiment.schema.json"
    DOCTOR: "  emo-runner doctor\n  emo-runner doctor --json"
    COMPLETIONS: "  emo-runner completions bash > ~/.local/share/bash-completion/completions/emo-runner"
    MAN: "  emo-runner man --to ~/.local/share/man/man1\n  emo-runner man | man -l -"
    DESCRIBE: "  emo-runner data describe builtin:emoji --samples sheet.png\n  emo-runner data describe photos --classes cat,dog"
    AUDIT: "  emo-runner data audit builtin:faces\n  emo-runner data audit my.toml --runs --html audit.html"
    UNPACK: "  emo-runner data unpack builtin:emoji --to emoji"
    SPLIT: "  emo-runner data split photos.zip --to folders --seed 3"
    SYNTHESIZE: "  emo-runner data synthesize --images 1000 --label-noise 0.1 --duplicates 0.05 --to faces"
    REBUILD: "  emo-runner store rebuild"
}
