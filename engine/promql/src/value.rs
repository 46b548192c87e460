//! What a query answers.

use watchfire_model::{Labels, Timestamp};
use watchfire_tsdb::SampleValue;

/// The result of a query with what the engine has to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What is probably wrong, in Prometheus' words, each with the position in the text.
    pub warnings: Vec<String>,
    /// What may be unexpected.
    pub infos: Vec<String>,
}

/// A result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without labels.
    Scalar(f64),
    /// A text.
    String(String),
    /// One sample for each of some series. Sorted by labels, unless the query itself sorts.
    Vector(Vec<VectorSample>),
    /// Several samples for each of some series, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A sample of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series' labels.
    pub labels: Labels,
    /// When it holds: the evaluation time.
    pub timestamp: Timestamp,
    /// What it says.
    pub value: SampleValue,
}

/// A series of a range vector.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSeries {
    /// The series' labels.
    pub labels: Labels,
    /// Its samples, oldest first.
    pub samples: Vec<(Timestamp, SampleValue)>,
}

impl VectorSample {
    /// The number, if it is one.
    pub fn float(&self) -> Option<f64> {
        self.value.float()
    }
}
