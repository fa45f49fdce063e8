//! The network as an ONNX model (onnx.proto3 of the ONNX project, operator set 20): pixels in, probability out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prost::Message;

use super::{ExportError, Exported, write};
use crate::config::{Activation, Experiment, Padding, parse};
use crate::model::weights::{NamedTensor, read_safetensors};

/// Operator set, and the version of the file format that goes with it.
const OPERATORS: i64 = 20;
const FORMAT: i64 = 9;
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<StringEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StringEntry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, optional, tag = "2")]
    f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    s: Option<Vec<u8>>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    parameter: Option<String>,
}

/// The network of a completed run. Input `images` is `[batch, height, width, 3]` in [0, 1], output `probability` is `[batch]`, of class 1.
///
/// # Errors
/// [`ExportError::Unfinished`] without weights, else of files.
pub fn onnx(run: &Exported, file: &Path) -> Result<PathBuf, ExportError> {
    let summary = &run.detail.summary;
    if run.detail.evaluation.is_none() {
        return Err(ExportError::Unfinished(summary.id.clone()));
    }
    let loaded = parse(&run.detail.experiment, Path::new("experiment.toml"), &[]);
    let experiment = loaded.map_err(|_| ExportError::Experiment(summary.id.clone()))?.experiment;
    let (tensors, _) = read_safetensors(&run.folder.model())?;
    let classes = experiment.data().classes();
    let entry = |key: &str, value: &str| StringEntry { key: key.to_owned(), value: value.to_owned() };
    let model = ModelProto {
        ir_version: FORMAT,
        producer_name: "emo-runner".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(Builder::new(tensors).network(&experiment)?),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
        metadata_props: vec![
            entry("run", &summary.id),
            entry("class_0", &classes[0]),
            entry("class_1", &classes[1]),
            entry("experiment", &run.detail.experiment),
        ],
    };
    write(file.to_owned(), &model.encode_to_vec())
}

/// Adds one node after the other; `last` is what the next one reads.
struct Builder {
    tensors: HashMap<String, NamedTensor>,
    graph: GraphProto,
    last: String,
}

impl Builder {
    fn new(tensors: Vec<NamedTensor>) -> Self {
        let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        Self { tensors, graph: GraphProto::default(), last: "images".to_owned() }
    }

    fn network(mut self, experiment: &Experiment) -> Result<GraphProto, ExportError> {
        let (model, size) = (experiment.model(), experiment.data().image_size());
        self.node("Transpose", &[], vec![ints("perm", &[0, 3, 1, 2])]);
        for (block, filters) in model.conv().iter().enumerate() {
            for place in 0..filters.len() {
                let path = format!("blocks.{block}.convolutions.{place}");
                self.convolution(&path, experiment)?;
            }
            if model.pool() > 1 {
                let side = [model.pool() as i64; 2];
                self.node("MaxPool", &[], vec![ints("kernel_shape", &side), ints("strides", &side)]);
            }
        }
        // Flattened channels last, as in training.
        self.node("Transpose", &[], vec![ints("perm", &[0, 2, 3, 1])]);
        self.node("Flatten", &[], vec![int("axis", 1)]);
        for layer in 0..model.dense().len() {
            self.dense(&format!("dense.{layer}"))?;
            self.node("Relu", &[], vec![]);
        }
        self.dense("output")?;
        self.node("Sigmoid", &[], vec![]);
        self.graph.initializer.push(TensorProto {
            dims: vec![1],
            data_type: 7,
            name: "flat".to_owned(),
            raw_data: (-1_i64).to_le_bytes().to_vec(),
        });
        self.node("Reshape", &["flat".to_owned()], vec![]);
        if let Some(node) = self.graph.node.last_mut() {
            node.output = vec!["probability".to_owned()];
        }
        let fixed = |value: usize| Dimension { value: Some(value as i64), parameter: None };
        let batch = || Dimension { value: None, parameter: Some("batch".to_owned()) };
        self.graph.name = "emo-runner".to_owned();
        self.graph.input = vec![value("images", vec![batch(), fixed(size.height), fixed(size.width), fixed(3)])];
        self.graph.output = vec![value("probability", vec![batch()])];
        Ok(self.graph)
    }

    fn convolution(&mut self, path: &str, experiment: &Experiment) -> Result<(), ExportError> {
        let model = experiment.model();
        let inputs = [self.weight(&format!("{path}.conv.weight"))?, self.weight(&format!("{path}.conv.bias"))?];
        let padding = match model.padding() {
            Padding::Valid => "VALID",
            Padding::Same => "SAME_UPPER",
        };
        let attributes = vec![
            ints("kernel_shape", &[model.kernel() as i64; 2]),
            ints("strides", &[model.stride() as i64; 2]),
            text("auto_pad", padding),
        ];
        self.node("Conv", &inputs, attributes);
        if model.batch_norm() {
            let names = ["gamma", "beta", "running_mean", "running_var"];
            let inputs: Result<Vec<String>, _> =
                names.iter().map(|name| self.weight(&format!("{path}.norm.{name}"))).collect();
            self.node("BatchNormalization", &inputs?, vec![float("epsilon", 1e-3)]);
        }
        match model.activation() {
            Activation::Linear => {}
            Activation::Relu => self.node("Relu", &[], vec![]),
            Activation::LeakyRelu => self.node("LeakyRelu", &[], vec![float("alpha", 0.2)]),
            Activation::Elu => self.node("Elu", &[], vec![float("alpha", 1.0)]),
            Activation::Gelu => self.node("Gelu", &[], vec![]),
            Activation::Tanh => self.node("Tanh", &[], vec![]),
            Activation::Sigmoid => self.node("Sigmoid", &[], vec![]),
            Activation::Silu => {
                let before = self.last.clone();
                self.node("Sigmoid", &[], vec![]);
                self.node("Mul", &[before], vec![]);
            }
        }
        Ok(())
    }

    fn dense(&mut self, path: &str) -> Result<(), ExportError> {
        let inputs = [self.weight(&format!("{path}.weight"))?, self.weight(&format!("{path}.bias"))?];
        self.node("Gemm", &inputs, vec![]);
        Ok(())
    }

    /// Puts a tensor of the run into the file.
    fn weight(&mut self, name: &str) -> Result<String, ExportError> {
        let missing = || ExportError::library("ONNX", format!("there is no tensor `{name}` among the weights"));
        let tensor = self.tensors.remove(name).ok_or_else(missing)?;
        self.graph.initializer.push(TensorProto {
            dims: tensor.shape.iter().map(|&length| length as i64).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data: tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        Ok(name.to_owned())
    }

    fn node(&mut self, operator: &str, more: &[String], attribute: Vec<Attribute>) {
        let name = format!("{operator}_{}", self.graph.node.len());
        let input = std::iter::once(self.last.clone()).chain(more.iter().cloned()).collect();
        self.last.clone_from(&name);
        self.graph.node.push(NodeProto {
            input,
            output: vec![name.clone()],
            name,
            op_type: operator.to_owned(),
            attribute,
        });
    }
}

fn value(name: &str, dim: Vec<Dimension>) -> ValueInfo {
    let tensor = TensorType { element: FLOAT, shape: Some(Shape { dim }) };
    ValueInfo { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.to_owned(), f: Some(value), kind: 1, ..Attribute::default() }
}

fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(value), kind: 2, ..Attribute::default() }
}

fn text(name: &str, value: &str) -> Attribute {
    Attribute { name: name.to_owned(), s: Some(value.as_bytes().to_vec()), kind: 3, ..Attribute::default() }
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.to_owned(), ints: values.to_vec(), kind: 7, ..Attribute::default() }
}
