//! Products of matrices, against the sums written out.

use half::bf16;
use model::cuda::{Array, Device, Number, Product, Side};

use crate::device::open;
use crate::emulated::emulated;

/// Numbers that products of a few add up exactly, in f32 and in bf16.
fn small(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + seed * 5) % 5) as f32 - 2.0)
        .collect()
}

pub(crate) fn narrow(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

/// A row-major `[rows, columns]` at stride and offset, as it is stored if it is `transposed`.
fn stored(
    values: &[f32],
    columns: usize,
    stride: usize,
    offset: usize,
    transposed: bool,
) -> Vec<f32> {
    let rows = values.len() / columns;
    let lines = if transposed { columns } else { rows };
    let mut all = vec![f32::NAN; offset + lines * stride];
    for (i, &value) in values.iter().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let (line, place) = if transposed {
            (column, row)
        } else {
            (row, column)
        };
        all[offset + line * stride + place] = value;
    }
    all
}

/// One product of `[3, 5]` by `[5, 4]` in a corner of larger matrices, against the sum written out.
fn check_product<T: Number>(
    device: &Device,
    transposed: (bool, bool),
    accumulate: bool,
    begin: &[T],
    wide: impl Fn(T) -> f32,
) {
    let (m, n, k) = (3, 4, 5);
    let (a, b) = (small(m * k, 1), small(k * n, 2));
    let upload = |values: &[f32]| device.upload("activations", &narrow(values)).unwrap();
    let stored_a = upload(&stored(&a, k, 9, 2, transposed.0));
    let stored_b = upload(&stored(&b, n, 7, 1, transposed.1));
    let out: Array<T> = device.upload("activations", begin).unwrap();
    let product = Product {
        m,
        n,
        k,
        out: out.at(1),
        stride: 6,
        accumulate,
        scale: 0.5,
        a: Side {
            at: stored_a.at(2),
            stride: 9,
            transposed: transposed.0,
        },
        b: Side {
            at: stored_b.at(1),
            stride: 7,
            transposed: transposed.1,
        },
    };
    device.gemm(&product).unwrap();
    device.gemm(&Product { m: 0, ..product }).unwrap();
    let mut expected: Vec<f32> = begin.iter().map(|&value| wide(value)).collect();
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let sum: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        let place = &mut expected[1 + i * 6 + j];
        *place = 0.5 * sum + if accumulate { *place } else { 0.0 };
    }
    let found: Vec<f32> = out.download().unwrap().into_iter().map(wide).collect();
    assert_eq!(
        found, expected,
        "transposed {transposed:?}, accumulate {accumulate}"
    );
}

#[test]
fn products_are_the_sums_written_out() {
    emulated(&[], || {
        let device = open();
        let begin: Vec<f32> = (0..19).map(|i| i as f32).collect();
        for transposed in [(false, false), (false, true), (true, false), (true, true)] {
            for accumulate in [false, true] {
                check_product(&device, transposed, accumulate, &begin, |value: f32| value);
                check_product(
                    &device,
                    transposed,
                    accumulate,
                    &narrow(&begin),
                    bf16::to_f32,
                );
            }
        }
    });
}

#[test]
fn a_result_that_is_not_added_to_may_be_anything_before() {
    emulated(&[], || {
        let device = open();
        let one = device.upload("activations", &[bf16::ONE]).unwrap();
        let out = device.upload("activations", &[f32::NAN]).unwrap();
        let side = Side {
            at: one.at(0),
            stride: 1,
            transposed: false,
        };
        device
            .gemm(&Product {
                m: 1,
                n: 1,
                k: 1,
                out: out.at(0),
                stride: 1,
                accumulate: false,
                scale: 3.0,
                a: side,
                b: side,
            })
            .unwrap();
        assert_eq!(out.download().unwrap(), [3.0]);
    });
}
