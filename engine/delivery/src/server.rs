//! Asking a server whose answer is wanted, with what an `http_config` says.

use std::time::Duration;

use thiserror::Error;
use watchfire_alerting::DeliveryOutcome;
use watchfire_config::HttpConfig;

use crate::http::{self, Connection, End, Pools};
use crate::{Redactor, Request};

/// A server, ready to be asked.
#[derive(Debug)]
pub struct Server {
    connection: Connection,
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why a server gave no answer. No text of it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServerError {
    /// It could not be reached, or not in time, or what it said breaks off.
    #[error("{0}")]
    Unreachable(String),
    /// Its answer passes the bound.
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
}

impl Server {
    /// Prepares the connection. An answer may take as long as `timeout`, its body included.
    ///
    /// # Errors
    /// If the configuration asks for something that cannot be done.
    pub fn new(config: &HttpConfig, timeout: Duration) -> Result<Server, String> {
        http::install_crypto();
        Ok(Server { connection: Connection::new(&Pools::default(), config, timeout)? })
    }

    /// Sends a request once and reads at most `bytes_max` of the answer, whatever its status.
    ///
    /// # Errors
    /// If there is no whole answer.
    pub async fn ask(&self, mut request: Request, bytes_max: usize) -> Result<Said, ServerError> {
        let fetched = self.connection.fetch(&mut request, bytes_max).await;
        let redactor = self.redactor();
        let fetched = fetched.map_err(|outcome| match outcome {
            DeliveryOutcome::Retry { reason, .. }
            | DeliveryOutcome::Partly { reason, .. }
            | DeliveryOutcome::Rejected { reason }
            | DeliveryOutcome::RejectedInPart { reason, .. } => ServerError::Unreachable(redactor.text(&reason)),
            DeliveryOutcome::Delivered { receipt } => ServerError::Unreachable(receipt),
        })?;
        match fetched.end {
            End::Whole => Ok(Said { status: fetched.status, body: fetched.body }),
            End::TooLong => Err(ServerError::TooLarge { bytes_max }),
            End::BrokenOff(reason) => {
                Err(ServerError::Unreachable(format!("the answer breaks off: {}", redactor.text(&reason))))
            }
        }
    }

    /// What takes the secrets of the configuration out of a text.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.connection.secrets().iter().map(String::as_str))
    }
}
