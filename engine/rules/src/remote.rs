//! Rules whose queries a server elsewhere answers.

use std::collections::{BTreeSet, HashMap};

use watchfire_model::Timestamp;
use watchfire_promql::Answer;

use crate::EvaluateError;

/// A query for a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteQuery {
    /// The expression.
    pub text: String,
    /// When it is to hold.
    pub at: Timestamp,
}

/// What a server was asked and has answered for one evaluation of one rule.
///
/// Nothing here waits: an evaluation that needs an answer which is not there yet fails with
/// [`EvaluateError::Unanswered`]. The caller asks what [`Remote::take_wanted`] names, says so with [`Remote::answer`], and
/// evaluates again. Templates put their queries together from what was answered before, so that there may be several
/// rounds; each asks for all that is known to be needed.
#[derive(Clone, Debug, Default)]
pub struct Remote {
    answers: HashMap<RemoteQuery, Result<Answer, String>>,
    wanted: BTreeSet<RemoteQuery>,
}

impl Remote {
    /// What has to be asked before the rule is evaluated again.
    pub fn take_wanted(&mut self) -> BTreeSet<RemoteQuery> {
        std::mem::take(&mut self.wanted)
    }

    /// How many queries were answered so far.
    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Takes an answer, or why there is none.
    pub fn answer(&mut self, query: RemoteQuery, answer: Result<Answer, String>) {
        self.answers.insert(query, answer);
    }

    pub(crate) fn is_wanting(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The answer if it is there; otherwise it is wanted from now on.
    pub(crate) fn ask(&mut self, text: &str, at: Timestamp) -> Result<Answer, EvaluateError> {
        let query = RemoteQuery { text: text.to_owned(), at };
        match self.answers.get(&query) {
            Some(Ok(answer)) => Ok(answer.clone()),
            Some(Err(reason)) => Err(EvaluateError::Remote(reason.clone())),
            None => {
                self.wanted.insert(query);
                Err(EvaluateError::Unanswered)
            }
        }
    }
}
