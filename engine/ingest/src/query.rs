//! Answers of Prometheus' query API, as other servers give them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;
use watchfire_model::{Labels, Timestamp};
use watchfire_promql::{Answer, MatrixSeries, Value, VectorSample};
use watchfire_tsdb::SampleValue;

/// Why a body gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// The server says that the query failed.
    #[error("{kind}: {message}")]
    Failed {
        /// The kind of error in the server's words, such as `execution` or `timeout`.
        kind: String,
        /// What it says.
        message: String,
    },
    /// This is no answer of the query API.
    #[error("not an answer of Prometheus' query API: {0}")]
    Malformed(String),
    /// The API tells buckets of native histograms by their bounds alone, from which the histogram cannot be had again.
    #[error(
        "the result holds native histograms, which cannot be taken over; ask for numbers, as with histogram_quantile"
    )]
    Histograms,
}

/// What every answer says around its result. The result's shape depends on `resultType`, which may come after it.
#[derive(Deserialize)]
struct Head {
    status: String,
    data: Option<HeadData>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
struct HeadData {
    #[serde(rename = "resultType")]
    result_type: String,
    #[serde(rename = "result")]
    _result: IgnoredAny,
}

#[derive(Deserialize)]
struct Body<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: T,
}

/// Seconds and a text.
type Pair = (f64, String);

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: Option<Pair>,
    #[serde(default)]
    values: Vec<Pair>,
    #[serde(default)]
    histogram: Option<IgnoredAny>,
    #[serde(default)]
    histograms: Option<IgnoredAny>,
}

/// Reads the answer of `/api/v1/query` or `/api/v1/query_range`.
///
/// The body is read twice, for what it is and for its values, so that no tree of it is ever in memory.
///
/// # Errors
/// If the query failed there, or the body is something else.
pub fn decode_answer(body: &[u8]) -> Result<Answer, AnswerError> {
    let head: Head = parse(body)?;
    if head.status != "success" {
        return Err(AnswerError::Failed { kind: head.error_type, message: head.error });
    }
    let data = head.data.ok_or_else(|| AnswerError::Malformed("there is no `data`".to_owned()))?;
    let value = match data.result_type.as_str() {
        "vector" => Value::Vector(list(body)?.into_iter().map(sample).collect::<Result<_, _>>()?),
        "matrix" => Value::Matrix(list(body)?.into_iter().map(series).collect::<Result<_, _>>()?),
        "scalar" => Value::Scalar(point(&parse::<Body<Pair>>(body)?.data.result)?.1),
        "string" => Value::String(parse::<Body<Pair>>(body)?.data.result.1),
        other => return Err(AnswerError::Malformed(format!("there is no result type {other:?}"))),
    };
    Ok(Answer { value, warnings: head.warnings, infos: head.infos })
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(body).map_err(|error| AnswerError::Malformed(error.to_string()))
}

fn list(body: &[u8]) -> Result<Vec<Series>, AnswerError> {
    let result = parse::<Body<Vec<Series>>>(body)?.data.result;
    match result.iter().any(|series| series.histogram.is_some() || series.histograms.is_some()) {
        true => Err(AnswerError::Histograms),
        false => Ok(result),
    }
}

fn sample(series: Series) -> Result<VectorSample, AnswerError> {
    let value = series.value.ok_or_else(|| AnswerError::Malformed("an element has no `value`".to_owned()))?;
    let (timestamp, value) = point(&value)?;
    Ok(VectorSample { labels: Labels::from_pairs(series.metric), timestamp, value: SampleValue::Float(value) })
}

fn series(series: Series) -> Result<MatrixSeries, AnswerError> {
    let samples = series.values.iter().map(|pair| point(pair).map(|(at, value)| (at, SampleValue::Float(value))));
    Ok(MatrixSeries { samples: samples.collect::<Result<_, _>>()?, labels: Labels::from_pairs(series.metric) })
}

fn point((seconds, text): &Pair) -> Result<(Timestamp, f64), AnswerError> {
    let value = text.parse().map_err(|_| AnswerError::Malformed(format!("{text:?} is not a number")))?;
    Ok((Timestamp::from_millis((seconds * 1000.0).round() as i64), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whatever_their_order() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let at = Timestamp::from_millis(1_767_571_200_250);
        let float = SampleValue::Float;
        let table = [
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"a","__name__":"up"},"value":[1767571200.25,"+Inf"]}]},"warnings":["w"],"infos":["i"]}"#,
                Value::Vector(vec![VectorSample {
                    labels: labels.clone(),
                    timestamp: at,
                    value: float(f64::INFINITY),
                }]),
            ),
            (
                r#"{"status":"success","data":{"result":[{"metric":{"job":"a","__name__":"up"},"values":[[1767571200.25,"1"],[1767571201,"-2.5e-3"]]}],"resultType":"matrix"},"warnings":["w"],"infos":["i"]}"#,
                Value::Matrix(vec![MatrixSeries {
                    labels,
                    samples: vec![(at, float(1.0)), (Timestamp::from_millis(1_767_571_201_000), float(-0.0025))],
                }]),
            ),
            (
                r#"{"data":{"resultType":"scalar","result":[1,"2"]},"status":"success","warnings":["w"],"infos":["i"],"stats":{}}"#,
                Value::Scalar(2.0),
            ),
            (
                r#"{"status":"success","data":{"resultType":"string","result":[1,"text"]},"warnings":["w"],"infos":["i"]}"#,
                Value::String("text".to_owned()),
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["w"],"infos":["i"]}"#,
                Value::Vector(Vec::new()),
            ),
        ];
        for (body, value) in table {
            let expected = Answer { value, warnings: vec!["w".to_owned()], infos: vec!["i".to_owned()] };
            assert_eq!(decode_answer(body.as_bytes()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer_says_why() {
        for (body, expected) in [
            (r#"{"status":"error","errorType":"bad_data","error":"1:4: parse error"}"#, "bad_data: 1:4: parse error"),
            ("<html>", "not an answer of Prometheus' query API: expected value at line 1 column 1"),
            ("", "not an answer of Prometheus' query API: EOF while parsing a value at line 1 column 0"),
            (r#"{"status":"success"}"#, "not an answer of Prometheus' query API: there is no `data`"),
            (
                r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#,
                "not an answer of Prometheus' query API: there is no result type \"streams\"",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]}}"#,
                "not an answer of Prometheus' query API: \"x\" is not a number",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}"#,
                "not an answer of Prometheus' query API: an element has no `value`",
            ),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}"#,
                "the result holds native histograms, which cannot be taken over; ask for numbers, as with \
                 histogram_quantile",
            ),
        ] {
            assert_eq!(decode_answer(body.as_bytes()).unwrap_err().to_string(), expected, "{body}");
        }
    }
}
