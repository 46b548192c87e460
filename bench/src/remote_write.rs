//! Remote-write 1.0 requests, written by hand: <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use anyhow::Result;

/// One series with one sample.
pub(crate) struct Sample<'a> {
    pub(crate) labels: &'a Encoded,
    pub(crate) value: f64,
    pub(crate) millis: i64,
}

/// Labels as they go over the wire: made once for each series, so that the load costs the machine little.
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    pub(crate) fn new(labels: &[(String, String)]) -> Encoded {
        let mut series = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            bytes(&mut label, 1, name.as_bytes());
            bytes(&mut label, 2, value.as_bytes());
            bytes(&mut series, 1, &label);
        }
        series.shrink_to_fit();
        Encoded(series)
    }
}

/// A snappy-compressed `prometheus.WriteRequest`.
pub(crate) fn request<'a>(samples: impl Iterator<Item = Sample<'a>>) -> Result<Vec<u8>> {
    let (mut message, mut series, mut point) = (Vec::new(), Vec::new(), Vec::new());
    for sample in samples {
        point.clear();
        point.push(9);
        point.extend_from_slice(&sample.value.to_le_bytes());
        point.push(16);
        varint(&mut point, sample.millis.cast_unsigned());
        series.clear();
        series.extend_from_slice(&sample.labels.0);
        bytes(&mut series, 2, &point);
        bytes(&mut message, 1, &series);
    }
    Ok(snap::raw::Encoder::new().compress_vec(&message)?)
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// POSTs a request.
pub(crate) async fn post(client: &reqwest::Client, url: &str, body: Vec<u8>) -> Result<()> {
    let answer = client
        .post(url)
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body)
        .send()
        .await?;
    let (status, text) = (answer.status(), answer.text().await?);
    anyhow::ensure!(status.is_success(), "{url}: {status}: {text}");
    Ok(())
}
