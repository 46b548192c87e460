//! Prometheus remote-write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`).
//!
//! Staleness markers come through with every bit; exemplars are counted and dropped.

mod decoder;
mod histogram;
mod negotiation;
mod samples;
mod v1;
mod v2;

#[cfg(test)]
mod messages;
#[cfg(test)]
mod tests;

use crate::labels::LabelBudget;
use crate::{DecodeError, Item, Limits, Rejections};

pub use decoder::{Decoder, decode_plain, decode_series, uncompress};
pub use negotiation::{Message, negotiate};

/// What a write request held, and what was left out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Series that were taken.
    pub series: usize,
    /// Samples that were taken.
    pub samples: usize,
    /// Exemplars, which are accepted and dropped.
    pub exemplars: usize,
    /// Metadata entries.
    pub metadata: usize,
    /// Native histograms that were taken.
    pub histograms: usize,
    /// Samples of series that were left out.
    pub samples_rejected: usize,
    /// Native histograms that were left out, alone or with their series.
    pub histograms_rejected: usize,
    /// The series that were left out as a whole or in part.
    pub rejections: Rejections,
}

impl Report {
    /// What the response headers of remote-write 2.0 say if the store takes all that the decoder took.
    pub fn written(&self) -> Written {
        Written { samples: self.samples as u64, histograms: self.histograms as u64, exemplars: self.exemplars as u64 }
    }
}

/// The figures that a 2.0 receiver must answer with, whatever the status; lower them by what the store refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Samples written.
    pub samples: u64,
    /// Native histograms written.
    pub histograms: u64,
    /// Exemplars written; a dropped exemplar counts, or senders would log each request as a loss.
    pub exemplars: u64,
}

impl Written {
    /// Header names and their values.
    pub const fn headers(&self) -> [(&'static str, u64); 3] {
        [
            ("X-Prometheus-Remote-Write-Samples-Written", self.samples),
            ("X-Prometheus-Remote-Write-Histograms-Written", self.histograms),
            ("X-Prometheus-Remote-Write-Exemplars-Written", self.exemplars),
        ]
    }
}

/// Counts samples and histograms, and the labels of new series, against the limits of a body.
struct Budget {
    left: usize,
    max: usize,
    labels: LabelBudget,
}

impl Budget {
    fn new(limits: &Limits) -> Budget {
        Budget { left: limits.samples_max, max: limits.samples_max, labels: LabelBudget::new(limits) }
    }

    #[inline]
    fn spend(&mut self, item: Item) -> Result<(), DecodeError> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(DecodeError::too_large(format!("the request has more than {} samples", self.max)).at(item)),
        }
    }
}
