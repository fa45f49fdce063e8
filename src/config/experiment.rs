//! Every key of an experiment file: meaning, unit, default and range. The JSON Schema is made from these types.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backend::Backend;
use super::kinds::{
    Activation, BackendKind, ClassWeights, Fill, Initializer, Interpolation, Monitor, OptimizerKind, Padding, Schedule,
};
use super::source::Source;
use super::units::{parse_size, parse_time};

/// Experiment file of emo-runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "emo-runner experiment")]
pub struct Experiment {
    /// Name of the experiment, for reports. Default: the file's name without `.toml`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100))]
    pub(super) name: String,
    /// What the experiment is about, in a sentence.
    #[serde(default)]
    pub(super) description: String,
    /// Words to find the experiment by.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub(super) tags: Vec<String>,
    /// Seed of every random number: split, first weights, order, augmentation, dropout.
    #[serde(default = "seed")]
    #[schemars(range(min = 0, max = 9_223_372_036_854_775_807_i64))]
    pub(super) seed: u64,
    /// Where the computation happens: cpu, cuda (an NVIDIA GPU; cuda:1 the second of those that this machine may use), auto (a GPU
    /// where there is one), or ndarray.
    #[serde(default)]
    pub(super) backend: Backend,
    /// The images.
    pub(super) data: Data,
    /// Which images are trained on, which tested on.
    #[serde(default)]
    pub(super) split: Split,
    /// Random variation of training images, as Keras's ImageDataGenerator means it. Left out: none.
    #[serde(default)]
    pub(super) augment: Augment,
    /// The network. Left out: the published one.
    #[serde(default)]
    pub(super) model: Model,
    /// The training. Left out: the published one.
    #[serde(default)]
    pub(super) train: Train,
    /// What a job of a cluster is to have, with `sweep --launcher slurm`; no part of a run's identity.
    #[serde(default, skip_serializing_if = "Resources::is_unsaid")]
    pub(super) resources: Resources,
}

pub(super) fn seed() -> u64 {
    21
}

/// The images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Data {
    /// A folder with a folder for each class at any depth, a `.zip` of one, `builtin:emoji` or `builtin:faces`. A
    /// relative path starts at the experiment file's folder.
    pub(super) source: Source,
    /// Names of the class folders: class 0, then class 1, the "positive" one.
    #[serde(default = "classes")]
    #[schemars(inner(length(min = 1)))]
    pub(super) classes: [String; 2],
    /// Height and width in pixels that every image is brought to.
    #[serde(default = "image_size")]
    pub(super) image_size: ImageSize,
    /// How images are brought to size.
    #[serde(default)]
    pub(super) interpolation: Interpolation,
    /// Go on even if more than 5 % of the images are broken.
    #[serde(default)]
    pub(super) skip_broken: bool,
}

fn classes() -> [String; 2] {
    ["Negative".to_owned(), "Positive".to_owned()]
}

fn image_size() -> ImageSize {
    ImageSize { height: 400, width: 500 }
}

/// Height and width in pixels, written `[400, 500]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[usize; 2]", into = "[usize; 2]")]
pub struct ImageSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageSize {
    /// Longest side that an experiment may ask for, in pixels.
    pub const LONGEST: usize = 8192;
}

impl From<[usize; 2]> for ImageSize {
    fn from([height, width]: [usize; 2]) -> Self {
        Self { height, width }
    }
}

impl From<ImageSize> for [usize; 2] {
    fn from(size: ImageSize) -> Self {
        [size.height, size.width]
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl JsonSchema for ImageSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ImageSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "items": { "type": "integer", "minimum": 1, "maximum": Self::LONGEST },
            "minItems": 2,
            "maxItems": 2
        })
    }
}

/// Which images are trained on, which tested on. Every class is cut by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Split {
    /// Share of every class that goes to the test set.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) test: f64,
    /// Share of what is left of every class that goes to the validation set, for choosing and stopping.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) validation: f64,
    /// Seed of the split alone, so that runs with other seeds are tested on the same images. Left out: the experiment's seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Option<u64>,
    /// Keep images that are the same picture, or look alike, on one side of the split.
    pub(super) keep_duplicates_together: bool,
    /// k-fold cross-validation, with `emo-runner sweep`: every class is cut into so many parts, and each part is the test set
    /// of one run; `test` means nothing then. 0: none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1000))]
    pub(super) folds: usize,
    /// Which of the folds is the test set, from 1; `sweep` sets it.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1000))]
    pub(super) fold: usize,
}

/// Keys that are 0 are left out of a run's identity, so that they could be added without changing it.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Default for Split {
    fn default() -> Self {
        Self { test: 0.2, validation: 0.0, seed: None, keep_duplicates_together: false, folds: 0, fold: 0 }
    }
}

/// Random variation of training images, as Keras's ImageDataGenerator means it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Augment {
    /// Largest rotation in degrees, either way.
    #[schemars(extend("minimum" = 0, "maximum" = 180))]
    pub(super) rotation: f64,
    /// Keras's `width_shift_range`: largest shift as a share of the width.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) width_shift: f64,
    /// Keras's `height_shift_range`: largest shift as a share of the height.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) height_shift: f64,
    /// Largest shear in degrees, as in Keras: the tutorial's 0.2 is a fifth of a degree.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 90))]
    pub(super) shear: f64,
    /// Zoom between 1 - zoom and 1 + zoom, drawn for each axis by itself.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) zoom: f64,
    /// Mirror every other image left to right.
    pub(super) horizontal_flip: bool,
    /// What stands outside the warped image.
    pub(super) fill: Fill,
}

/// The network: blocks of convolutions with a max-pool after each, dense layers with ReLU, one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Model {
    /// A block for each list: its convolutions' filters, then one max-pool.
    #[schemars(length(min = 1), inner(length(min = 1), inner(range(min = 1, max = 4096))))]
    pub(super) conv: Vec<Vec<usize>>,
    /// Side of every convolution's kernel in pixels.
    #[schemars(range(min = 1, max = 31))]
    pub(super) kernel: usize,
    /// Stride of every convolution in pixels.
    #[schemars(range(min = 1, max = 16))]
    pub(super) stride: usize,
    /// Padding of every convolution.
    pub(super) padding: Padding,
    /// What follows every convolution.
    pub(super) activation: Activation,
    /// First weights of convolutions; dense layers have he_normal, the output glorot_uniform.
    pub(super) initializer: Initializer,
    /// Batch normalisation between each convolution and its activation.
    pub(super) batch_norm: bool,
    /// Side and stride of every max-pool in pixels.
    #[schemars(range(min = 1, max = 16))]
    pub(super) pool: usize,
    /// Units of every dense layer before the output.
    #[schemars(inner(range(min = 1, max = 65_536)))]
    pub(super) dense: Vec<usize>,
    /// Share of units dropped after every dense layer in training.
    #[schemars(extend("minimum" = 0, "exclusiveMaximum" = 1))]
    pub(super) dropout: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            conv: vec![vec![64, 64], vec![128, 128]],
            kernel: 3,
            stride: 2,
            padding: Padding::Valid,
            activation: Activation::Linear,
            initializer: Initializer::GlorotUniform,
            batch_norm: false,
            pool: 2,
            dense: vec![256, 512],
            dropout: 0.5,
        }
    }
}

/// The training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training images.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) epochs: usize,
    /// Images a step; the last step of an epoch may have fewer.
    #[schemars(range(min = 1, max = 65_536))]
    pub(super) batch_size: usize,
    /// The rule that moves the weights.
    pub(super) optimizer: OptimizerKind,
    /// Learning rate of the first epoch.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10))]
    pub(super) learning_rate: f64,
    /// How the learning rate changes from epoch to epoch.
    pub(super) schedule: Schedule,
    /// Epochs between two changes of `schedule = "step"`.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) step_every: usize,
    /// Factor of each change of `schedule = "step"`.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub(super) step_factor: f64,
    /// Weight decay of adamw and sgd.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub(super) weight_decay: f64,
    /// Whether classes of different size weigh the same in the loss.
    pub(super) class_weights: ClassWeights,
    /// Whether consecutive linear convolutions are computed as one where that is less work; the result is the same but for
    /// rounding.
    pub(super) fold: bool,
    /// Stop when the validation set shows no progress; needs `split.validation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) early_stopping: Option<EarlyStopping>,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 32,
            optimizer: OptimizerKind::Adam,
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            step_every: 10,
            step_factor: 0.1,
            weight_decay: 0.0,
            class_weights: ClassWeights::None,
            fold: true,
            early_stopping: None,
        }
    }
}

/// Stop when the validation set shows no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct EarlyStopping {
    /// What must get better.
    pub(super) monitor: Monitor,
    /// Epochs without progress after which training stops.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) patience: usize,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { monitor: Monitor::ValLoss, patience: 5 }
    }
}

/// What a job of a cluster is to have. On one machine, `sweep` divides cores, memory and GPUs itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// CPUs, and threads of the computation; results do not depend on it. Left out: `slurm.cpus` of emo-runner.toml, else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub(super) cpus: Option<usize>,
    /// Memory, such as "4GiB". Left out: `slurm.memory` of emo-runner.toml, else twice the estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory: Option<String>,
    /// GPUs. Left out: 1 with `backend = "cuda"`, else none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 64))]
    pub(super) gpus: Option<usize>,
    /// Share of a GPU that the run needs on one machine: with 0.25, four such runs work on one GPU at the same time. Left out: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub(super) gpu_share: Option<f64>,
    /// Longest time, such as "2h"; the run is told to save before it is up. Left out: `slurm.time` of emo-runner.toml, else the
    /// partition's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
}

impl Resources {
    fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of memory, where they are said.
    pub fn memory(&self) -> Option<u64> {
        self.memory.as_deref().and_then(|size| parse_size(size).ok())
    }

    /// Longest time, where it is said.
    pub fn time(&self) -> Option<Duration> {
        self.time.as_deref().and_then(|time| parse_time(time).ok())
    }
}

/// Read access to fields, under their names.
macro_rules! getters {
    ($type:ident { $($(#[$meta:meta])* $field:ident: $result:ty = $value:expr;)+ }) => {
        impl $type {
            $(
                #[doc = concat!("The key `", stringify!($field), "`, see the schema for its meaning and range.")]
                pub fn $field(&self) -> $result {
                    let get: fn(&Self) -> $result = $value;
                    get(self)
                }
            )+
        }
    };
}

getters!(Experiment {
    name: &str = |s| &s.name;
    description: &str = |s| &s.description;
    tags: &[String] = |s| &s.tags;
    seed: u64 = |s| s.seed;
    backend: BackendKind = |s| s.backend.kind;
    data: &Data = |s| &s.data;
    split: &Split = |s| &s.split;
    augment: &Augment = |s| &s.augment;
    model: &Model = |s| &s.model;
    train: &Train = |s| &s.train;
    resources: &Resources = |s| &s.resources;
});

getters!(Resources {
    cpus: Option<usize> = |s| s.cpus;
    gpus: Option<usize> = |s| s.gpus;
    gpu_share: f64 = |s| s.gpu_share.unwrap_or(1.0);
});

getters!(Data {
    source: &Source = |s| &s.source;
    classes: &[String; 2] = |s| &s.classes;
    image_size: ImageSize = |s| s.image_size;
    interpolation: Interpolation = |s| s.interpolation;
    skip_broken: bool = |s| s.skip_broken;
});

getters!(Split {
    test: f64 = |s| s.test;
    validation: f64 = |s| s.validation;
    keep_duplicates_together: bool = |s| s.keep_duplicates_together;
    folds: usize = |s| s.folds;
    fold: usize = |s| s.fold;
});

getters!(Augment {
    rotation: f64 = |s| s.rotation;
    width_shift: f64 = |s| s.width_shift;
    height_shift: f64 = |s| s.height_shift;
    shear: f64 = |s| s.shear;
    zoom: f64 = |s| s.zoom;
    horizontal_flip: bool = |s| s.horizontal_flip;
    fill: Fill = |s| s.fill;
});

getters!(Model {
    conv: &[Vec<usize>] = |s| &s.conv;
    kernel: usize = |s| s.kernel;
    stride: usize = |s| s.stride;
    padding: Padding = |s| s.padding;
    activation: Activation = |s| s.activation;
    initializer: Initializer = |s| s.initializer;
    batch_norm: bool = |s| s.batch_norm;
    pool: usize = |s| s.pool;
    dense: &[usize] = |s| &s.dense;
    dropout: f64 = |s| s.dropout;
});

getters!(Train {
    epochs: usize = |s| s.epochs;
    batch_size: usize = |s| s.batch_size;
    optimizer: OptimizerKind = |s| s.optimizer;
    learning_rate: f64 = |s| s.learning_rate;
    schedule: Schedule = |s| s.schedule;
    step_every: usize = |s| s.step_every;
    step_factor: f64 = |s| s.step_factor;
    weight_decay: f64 = |s| s.weight_decay;
    class_weights: ClassWeights = |s| s.class_weights;
    fold: bool = |s| s.fold;
    early_stopping: Option<EarlyStopping> = |s| s.early_stopping;
});

getters!(EarlyStopping {
    monitor: Monitor = |s| s.monitor;
    patience: usize = |s| s.patience;
});

impl Augment {
    /// Whether training images stay as they are.
    pub fn is_identity(&self) -> bool {
        Self { fill: Fill::default(), ..self.clone() } == Self::default()
    }
}

impl Experiment {
    /// The GPU that `backend` names, as in `cuda:1`.
    pub fn device(&self) -> Option<usize> {
        self.backend.device
    }

    /// The same on another backend.
    #[must_use]
    pub fn on(self, kind: BackendKind) -> Self {
        Self { backend: Backend { kind, device: None }, ..self }
    }

    /// The resolved file: every key with its value, paths absolute. It loads again to an equal experiment.
    pub fn to_toml(&self) -> String {
        // Strings, numbers and tables of them always have a TOML form.
        toml::to_string(self).unwrap_or_default()
    }

    /// What identity depends on: everything but name, description, tags, resources and where the data lie. Keys are sorted.
    pub fn canonical_json(&self) -> String {
        self.json_without(&[])
    }

    /// The seed that decides which images are trained on and which are tested.
    pub fn split_seed(&self) -> u64 {
        self.split.seed.unwrap_or(self.seed)
    }

    /// The same without seed and fold: equal for runs that repeat each other.
    pub fn point_json(&self) -> String {
        self.json_without(&["/seed", "/split/fold"])
    }

    fn json_without(&self, more: &[&str]) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        for path in ["/name", "/description", "/tags", "/data/source", "/resources"].iter().chain(more) {
            let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
            if let Some(section) = value.pointer_mut(parent).and_then(|section| section.as_object_mut()) {
                section.remove(key);
            }
        }
        // Which of several GPUs does it is no part of what is done.
        value["backend"] = serde_json::json!(self.backend.kind);
        value.to_string()
    }

    /// Takes the source's path from `base`, and makes it absolute.
    pub(super) fn resolve_source(&mut self, base: &Path) {
        if let Source::Folder(path) | Source::Zip(path) = &mut self.data.source {
            let joined = base.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        }
    }
}
