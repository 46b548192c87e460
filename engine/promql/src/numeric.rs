//! Sums and quantiles with Prometheus' rounding.

/// From here on the one under the root of these functions is lost, and their sum may overflow.
const HUGE: f64 = (1u64 << 28) as f64;

/// The inverse hyperbolic sine, of numbers near the largest too.
pub(crate) fn asinh(x: f64) -> f64 {
    if x.abs() > HUGE { (x.abs().ln() + std::f64::consts::LN_2).copysign(x) } else { x.asinh() }
}

/// The inverse hyperbolic cosine, of numbers near the largest too.
pub(crate) fn acosh(x: f64) -> f64 {
    if x > HUGE { x.ln() + std::f64::consts::LN_2 } else { x.acosh() }
}

/// A sum with the error of every addition carried along (Neumaier's form of Kahan's sum).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KahanSum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl KahanSum {
    pub(crate) fn new(first: f64) -> KahanSum {
        KahanSum { sum: first, lost: 0.0 }
    }

    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub(crate) fn value(self) -> f64 {
        self.sum + self.lost
    }
}

/// A mean that is computed from the sum as long as that is finite, and step by step once it would not be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: KahanSum,
    count: f64,
    stepwise: bool,
}

impl Mean {
    pub(crate) fn new(first: f64) -> Mean {
        Mean { sum: KahanSum::new(first), count: 1.0, stepwise: false }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.stepwise {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.stepwise = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.lost /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum = KahanSum { sum: weight * self.sum.sum, lost: weight * self.sum.lost };
        self.sum.add(value / self.count);
    }

    pub(crate) fn value(&self) -> f64 {
        if self.stepwise { self.sum.value() } else { self.sum.sum / self.count + self.sum.lost / self.count }
    }
}

/// Ascending, NaN first.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The quantile of some numbers, which are sorted by this; between two of them their weighted mean.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let last = values.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor().max(0.0) as usize).min(last);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[(lower + 1).min(last)] * weight
}

/// Equal up to a relative difference, as Prometheus' `almost.Equal`.
pub(crate) fn almost_equal(a: f64, b: f64, tolerance: f64) -> bool {
    const SMALLEST_NORMAL: f64 = f64::MIN_POSITIVE;
    if a.is_nan() && b.is_nan() {
        return true;
    }
    if a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < SMALLEST_NORMAL {
        return difference < tolerance * SMALLEST_NORMAL;
    }
    difference / sum.min(f64::MAX) < tolerance
}

/// The slope and the value at `at` of the line that fits the samples best.
pub(crate) fn linear_regression(samples: &[(i64, f64)], at: i64) -> (f64, f64) {
    let first = samples.first().map_or(f64::NAN, |s| s.1);
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (KahanSum::default(), KahanSum::default(), KahanSum::default(), KahanSum::default());
    let mut constant = true;
    for (i, (time, y)) in samples.iter().enumerate() {
        constant &= i == 0 || *y == first;
        let x = (time - at) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = samples.len() as f64;
    let (x, y, xy, xx) = (x_sum.value(), y_sum.value(), xy_sum.value(), xx_sum.value());
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}
