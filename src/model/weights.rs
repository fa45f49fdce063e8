//! Weights as named tensors, in safetensors files, and their fingerprint.
//!
//! The format is the public safetensors one (a JSON header with names, shapes and offsets, then raw little-endian
//! f32): reading it runs no code, and Python reads it with `safetensors.numpy.load_file`. A convolution's weight is
//! `[filters, channels, height, width]`, a dense layer's `[inputs, units]`, its inputs flattened channels last.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

/// One tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Path in the network, such as `blocks.0.convolutions.1.conv.weight`.
    pub name: String,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// Why weights cannot be read or do not fit.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// The system does not give the file.
    #[error("The weights file {} cannot be read: {error}.", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is not a safetensors file, or damaged.
    #[error(
        "The weights file {} cannot be read: {reason}. It is damaged; `emo-runner run FILE --force` makes another.",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A tensor of the network is not among the weights, or has another shape.
    #[error("The weights do not fit this network: tensor `{name}` {reason}.")]
    Mismatch {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// All parameters and running statistics of a network, in the network's order.
pub fn collect<B: Backend, M: Module<B>>(module: &M) -> Vec<NamedTensor> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: Vec<NamedTensor>,
}

impl<B: Backend> ModuleVisitor<B> for Collector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let data = param.val().into_data().convert::<f32>();
        self.tensors.push(NamedTensor {
            name: self.path.join("."),
            shape: data.shape.to_vec(),
            values: data.into_vec().unwrap_or_default(),
        });
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// Puts `tensors` into a network, by name.
///
/// # Errors
/// [`WeightsError::Mismatch`] when one is missing or has another shape.
pub fn restore<B: Backend, M: Module<B>>(module: M, tensors: Vec<NamedTensor>) -> Result<M, WeightsError> {
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut restorer = Restorer { path: Vec::new(), tensors, error: None };
    let module = module.map(&mut restorer);
    restorer.error.map_or(Ok(module), Err)
}

struct Restorer {
    path: Vec<String>,
    tensors: HashMap<String, NamedTensor>,
    error: Option<WeightsError>,
}

impl<B: Backend> ModuleMapper<B> for Restorer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let name = self.path.join(".");
        let found = self.tensors.remove(&name);
        let (id, tensor, mapper) = param.consume();
        let expected = tensor.dims();
        let value = match found {
            Some(found) if found.shape == expected => {
                let trains = tensor.is_require_grad();
                let value = Tensor::from_data(TensorData::new(found.values, expected), &tensor.device());
                value.set_require_grad(trains)
            }
            Some(found) => {
                let reason = format!("has shape {:?} where {expected:?} is needed", found.shape);
                self.error.get_or_insert(WeightsError::Mismatch { name, reason });
                tensor
            }
            None => {
                let reason = "is missing".to_owned();
                self.error.get_or_insert(WeightsError::Mismatch { name, reason });
                tensor
            }
        };
        Param::from_mapped_value(id, value, mapper)
    }

    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}

/// BLAKE3 of names, shapes and the values' bits, as 64 hexadecimal digits: equal exactly when the weights are.
pub fn fingerprint<'a>(tensors: impl IntoIterator<Item = &'a NamedTensor>) -> String {
    let mut hasher = blake3::Hasher::new();
    for tensor in tensors {
        hasher.update(tensor.name.as_bytes());
        for &length in &tensor.shape {
            hasher.update(&(length as u64).to_le_bytes());
        }
        hasher.update(&to_bytes(&tensor.values));
    }
    hasher.finalize().to_hex().to_string()
}

/// Hash of all that a file says, in its header.
const HASH: &str = "hash";

/// A safetensors file's bytes, with string metadata in its header, and a hash of everything.
pub fn to_safetensors(tensors: &[NamedTensor], mut metadata: HashMap<String, String>) -> Result<Vec<u8>, WeightsError> {
    metadata.insert(HASH.to_owned(), hash(tensors, &metadata));
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| to_bytes(&tensor.values)).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        view.map(|view| (tensor.name.as_str(), view))
    });
    let mismatch = |error: safetensors::SafeTensorError| WeightsError::Mismatch {
        name: "(file)".to_owned(),
        reason: format!("cannot be written as safetensors: {error}"),
    };
    let views = views.collect::<Result<Vec<_>, _>>().map_err(mismatch)?;
    safetensors::serialize(views, Some(metadata)).map_err(mismatch)
}

/// BLAKE3 of tensors and metadata, whatever their order: one changed bit shows.
fn hash(tensors: &[NamedTensor], metadata: &HashMap<String, String>) -> String {
    let mut tensors: Vec<&NamedTensor> = tensors.iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut metadata: Vec<_> = metadata.iter().filter(|(key, _)| *key != HASH).collect();
    metadata.sort();
    let mut hasher = blake3::Hasher::new();
    hasher.update(fingerprint(tensors).as_bytes());
    for text in metadata.into_iter().flat_map(|(key, value)| [key, value]) {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Reads a safetensors file of f32 tensors: the tensors and the header's metadata.
///
/// # Errors
/// [`WeightsError::Io`] or [`WeightsError::Unreadable`], when it is damaged or holds another type.
pub fn read_safetensors(path: &Path) -> Result<(Vec<NamedTensor>, HashMap<String, String>), WeightsError> {
    let unreadable = |reason: String| WeightsError::Unreadable { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| WeightsError::Io { path: path.to_owned(), error })?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(unreadable(format!("tensor `{name}` is {:?}, not F32", view.dtype())));
        }
        tensors.push(NamedTensor {
            name: name.to_owned(),
            shape: view.shape().to_vec(),
            values: from_bytes(view.data()),
        });
    }
    let metadata = header.metadata().clone().unwrap_or_default();
    // Files of earlier versions have none.
    if metadata.get(HASH).is_some_and(|written| *written != hash(&tensors, &metadata)) {
        return Err(unreadable("its values are not those that were written".to_owned()));
    }
    Ok((tensors, metadata))
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]])).collect()
}
