//! The slope of a function, measured: what every derivative here is checked against.

/// The central difference of `function` at `x`.
pub(crate) fn central_difference(function: impl Fn(f64) -> f64, x: f64) -> f64 {
    const STEP: f64 = 1e-5;
    (function(x + STEP) - function(x - STEP)) / (2.0 * STEP)
}
