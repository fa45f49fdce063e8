//! Exact McNemar test: two classifiers on the same images.

/// Two-sided exact p of McNemar's test (McNemar 1947, exact binomial form).
///
/// `b` images are called right by the first classifier only, `c` by the second only. Under the null hypothesis that
/// both are equally often right, `b` is binomial with `b + c` trials and probability 1/2; p is twice the smaller tail,
/// at most 1. Without a disagreement p is 1.
///
/// ```
/// // The published tutorial run against always answering Positive: 29 against 20.
/// let p = emo_runner::evaluate::mcnemar_exact(29, 20);
/// assert!((p - 0.2529).abs() < 1e-4);
/// ```
pub fn mcnemar_exact(b: u64, c: u64) -> f64 {
    if b == c {
        return 1.0;
    }
    (2.0 * binomial_cumulative(b.min(c), b + c)).min(1.0)
}

/// P(X <= k) for X binomial with `n` trials and probability 1/2, accurate to about 1e-13 relative.
///
/// The largest term comes from log-factorials, the others from it by the ratio of neighbours.
pub fn binomial_cumulative(k: u64, n: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if 2 * k >= n {
        // The upper tail is the smaller one: P(X <= k) = 1 - P(X <= n - k - 1) by symmetry.
        return 1.0 - binomial_cumulative(n - k - 1, n);
    }
    let (mut term, mut sum) = (1.0f64, 1.0f64);
    for j in (1..=k).rev() {
        term *= j as f64 / (n - j + 1) as f64;
        sum += term;
        if term < sum * 1e-18 {
            break;
        }
    }
    sum * half_power_times_choose(k, n)
}

/// C(n, k) / 2^n as a product that stays in range.
fn half_power_times_choose(k: u64, n: u64) -> f64 {
    let (mut product, mut halvings) = (1.0f64, n);
    for i in 1..=k {
        product *= (n - k + i) as f64 / i as f64;
        while product > 1.0 && halvings > 0 {
            product *= 0.5;
            halvings -= 1;
        }
    }
    while halvings > 0 && product > 0.0 {
        let step = halvings.min(512);
        product *= 0.5f64.powi(step as i32);
        halvings -= step;
    }
    product
}
