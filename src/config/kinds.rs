//! Values that are one of a few words.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose values are written as lower-case words, in files and in messages alike.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)+
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

words!(
    /// Where the computation happens.
    BackendKind {
        /// The CPU, burn's flex backend.
        #[default]
        Cpu = "cpu",
        /// An NVIDIA GPU where this build and machine have one, else the CPU.
        Auto = "auto",
        /// An NVIDIA GPU; needs a build with the feature `cuda`.
        Cuda = "cuda",
        /// The CPU, burn's ndarray backend: slower, for comparison; needs a build with the feature `ndarray`.
        Ndarray = "ndarray",
    }
);

words!(
    /// How images are brought to size.
    Interpolation {
        /// Linear, with antialiasing when an image gets smaller.
        #[default]
        Bilinear = "bilinear",
        /// The nearest pixel.
        Nearest = "nearest",
    }
);

words!(
    /// What stands outside a warped image.
    Fill {
        /// The pixel at the edge: `aaa|abcd|ddd`.
        #[default]
        Nearest = "nearest",
        /// Black.
        Constant = "constant",
        /// The image mirrored at its edge: `dcba|abcd|dcba`.
        Reflect = "reflect",
        /// The image from its other side.
        Wrap = "wrap",
    }
);

words!(
    /// Padding of convolutions.
    Padding {
        /// None: the window stays inside the image.
        #[default]
        Valid = "valid",
        /// Zeros, so that the output has ceil(size / stride) pixels.
        Same = "same",
    }
);

words!(
    /// What follows each convolution.
    Activation {
        /// Nothing, as in the published network.
        #[default]
        Linear = "linear",
        /// max(0, x).
        Relu = "relu",
        /// x, or 0.2 x where negative.
        LeakyRelu = "leaky_relu",
        /// x, or exp(x) - 1 where negative.
        Elu = "elu",
        /// x times the normal distribution function of x.
        Gelu = "gelu",
        /// x sigmoid(x), also called swish.
        Silu = "silu",
        /// Hyperbolic tangent.
        Tanh = "tanh",
        /// Logistic function.
        Sigmoid = "sigmoid",
    }
);

words!(
    /// How first weights are drawn.
    Initializer {
        /// Uniform, variance 2 / (inputs + outputs).
        #[default]
        GlorotUniform = "glorot_uniform",
        /// Truncated normal, variance 2 / (inputs + outputs).
        GlorotNormal = "glorot_normal",
        /// Uniform, variance 2 / inputs.
        HeUniform = "he_uniform",
        /// Truncated normal, variance 2 / inputs.
        HeNormal = "he_normal",
    }
);

words!(
    /// The rule that moves the weights.
    OptimizerKind {
        /// Adam with beta 0.9 and 0.999, epsilon 1e-7.
        #[default]
        Adam = "adam",
        /// Adam with decoupled weight decay.
        Adamw = "adamw",
        /// Gradient descent without momentum.
        Sgd = "sgd",
    }
);

words!(
    /// How the learning rate changes from epoch to epoch.
    Schedule {
        /// Not at all.
        #[default]
        Constant = "constant",
        /// Half a cosine from the learning rate towards 0.
        Cosine = "cosine",
        /// Times `step_factor` after every `step_every` epochs.
        Step = "step",
    }
);

words!(
    /// Whether classes of different size weigh the same.
    ClassWeights {
        /// Every image weighs 1.
        #[default]
        None = "none",
        /// Every class weighs the same in sum.
        Balanced = "balanced",
    }
);

words!(
    /// What early stopping looks at.
    Monitor {
        /// Loss on the validation set; lower is better.
        #[default]
        ValLoss = "val_loss",
        /// Accuracy on the validation set; higher is better.
        ValAccuracy = "val_accuracy",
    }
);

words!(
    /// How the points of a sweep are chosen.
    SearchMethod {
        /// Every combination of the axes' values.
        #[default]
        Grid = "grid",
        /// Drawn at random from the axes.
        Random = "random",
        /// Tree-structured Parzen estimator: drawn from where earlier points did well.
        Tpe = "tpe",
    }
);

words!(
    /// What a sweep is after, measured on the validation set.
    Objective {
        /// Area under the ROC curve; higher is better.
        #[default]
        ValAuc = "val_auc",
        /// Accuracy; higher is better.
        ValAccuracy = "val_accuracy",
        /// Loss; lower is better.
        ValLoss = "val_loss",
    }
);

impl Objective {
    /// Whether `a` is better than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        self.loss(a) < self.loss(b)
    }

    /// The value with its sign such that lower is better.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::ValAuc | Self::ValAccuracy => -value,
            Self::ValLoss => value,
        }
    }
}

words!(
    /// Which runs a pruner stops.
    PrunerKind {
        /// Those whose best value so far is worse than the median of the completed runs at the same epoch.
        #[default]
        Median = "median",
        /// Asynchronous successive halving (Li et al. 2020): at each rung, all but the best `1 / reduction` so far.
        Asha = "asha",
    }
);
