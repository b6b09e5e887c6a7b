//! Products of row-major matrices by cuBLASLt: bf16 in, sums in f32, f32 or bf16 out.
//!
//! The same product gives the same bits on the same card: sums are cut into parts only where the
//! parts are added up in a fixed order.
#![expect(unsafe_code, reason = "a library of C")]

use std::collections::HashMap;
use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    cublasComputeType_t, cublasLtHandle_t, cublasLtMatmulAlgo_t, cublasLtMatmulDesc_t,
    cublasLtMatmulDescAttributes_t as DescAttribute, cublasLtMatmulPreference_t,
    cublasLtMatmulPreferenceAttributes_t as Pref, cublasLtMatrixLayout_t,
    cublasLtReductionScheme_t, cudaDataType_t,
};

use super::failure::gpu;
use super::memory::{Block, Memory};
use super::{Address, Device};
use crate::ModelError;

/// What cuBLAS's authors recommend for Hopper cards; others are served by less.
const WORKSPACE: usize = 32 << 20;

/// Shapes whose plans are kept: more than a run's batches have, unless each is of another size.
const MOST_PLANS: usize = 4096;

/// One matrix of a product: bf16, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Its first number.
    pub at: Address,
    /// Numbers from one row to the next, as it is stored.
    pub stride: usize,
    /// Whether the product takes it with rows and columns exchanged.
    pub transposed: bool,
}

/// `out[m, n] (= or +=) scale * a[m, k] b[k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// What is summed over.
    pub k: usize,
    /// The first number of the result, f32 or bf16.
    pub out: Address,
    /// Numbers from one row of the result to the next.
    pub stride: usize,
    /// Whether the result is added to what is there.
    pub accumulate: bool,
    /// What every sum is multiplied with.
    pub scale: f32,
    /// `[m, k]`, or `[k, m]` if it is transposed.
    pub a: Side,
    /// `[k, n]`, or `[n, k]` if it is transposed.
    pub b: Side,
}

impl Device {
    /// Takes the memory that algorithms may need, before any product.
    pub(super) fn take_workspace(&self) -> Result<(), ModelError> {
        let workspace = self.take("workspace", WORKSPACE)?;
        self.products().workspace = Some(workspace);
        Ok(())
    }

    /// Asks for a product.
    ///
    /// # Errors
    /// If cuBLASLt knows no way to compute it, or work before this has failed.
    ///
    /// # Panics
    /// If a stride is shorter than a row, the sum is over nothing, or a type is not one of these.
    pub fn gemm(&self, product: &Product) -> Result<(), ModelError> {
        product.check();
        if product.m == 0 || product.n == 0 || product.k == 0 {
            return Ok(());
        }
        let stream = self.bound_stream()?;
        let mut products = self.products();
        let workspace = products
            .workspace
            .expect("a device that is open has a workspace");
        let handle = products.handle;
        let plan = products.plan(product)?;
        let beta = if product.accumulate { 1.0_f32 } else { 0.0 };
        let (alpha, beta) = ((&raw const product.scale).cast(), (&raw const beta).cast());
        let out = product.out.value as *mut c_void;
        // Columns of cuBLAS's matrices are rows of ours, so that it sees every matrix
        // transposed, and computes the transposed result of the sides exchanged.
        // SAFETY: the descriptors live in the plan; the arrays are as large as the shape says,
        // which is the caller's to know and emulation's to hold; the scales are on this stack and
        // read before the call returns; the workspace is used by this stream only.
        unsafe {
            result::matmul(
                handle,
                plan.operation,
                alpha,
                beta,
                product.b.at.value as *const c_void,
                plan.b,
                product.a.at.value as *const c_void,
                plan.a,
                out,
                plan.out,
                out,
                plan.out,
                &raw const plan.algorithm,
                workspace.address as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        }
        .map_err(cannot(product))
    }
}

impl Product {
    fn check(&self) {
        let columns = |side: &Side, rows, columns| if side.transposed { rows } else { columns };
        assert!(
            self.k > 0 || self.accumulate,
            "a result that is a sum over nothing"
        );
        assert!(self.stride >= self.n, "rows of the result overlap");
        assert!(
            self.a.stride >= columns(&self.a, self.m, self.k),
            "rows of `a` overlap"
        );
        assert!(
            self.b.stride >= columns(&self.b, self.k, self.n),
            "rows of `b` overlap"
        );
        assert_eq!(
            (self.a.at.number, self.b.at.number),
            ("bf16", "bf16"),
            "sides are bf16"
        );
        assert!(
            matches!(self.out.number, "float" | "bf16"),
            "a result is f32 or bf16"
        );
    }

    fn shape(&self) -> Shape {
        let side = |side: &Side| (side.stride, side.transposed, alignment(side.at));
        Shape {
            size: [self.m, self.n, self.k],
            out: (self.stride, self.out.number, alignment(self.out)),
            a: side(&self.a),
            b: side(&self.b),
        }
    }
}

/// The power of two that an address is a multiple of, up to what cuBLASLt makes use of.
fn alignment(at: Address) -> u32 {
    1 << at.value.trailing_zeros().min(8)
}

/// All that the choice of an algorithm depends on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    size: [usize; 3],
    out: (usize, &'static str, u32),
    a: (usize, bool, u32),
    b: (usize, bool, u32),
}

/// cuBLASLt, and how it computes the shapes that were asked for.
pub(super) struct Products {
    handle: cublasLtHandle_t,
    plans: HashMap<Shape, Plan>,
    workspace: Option<Block>,
}

// SAFETY: a handle may be used by any thread; what the pointers lead to is this value's alone.
unsafe impl Send for Products {}

impl Products {
    /// The card's context is the thread's.
    pub(super) fn new() -> Result<Self, ModelError> {
        let handle = result::create_handle().map_err(|error| {
            gpu(
                format!("cuBLASLt cannot start: {:?}", error.0),
                "`nvidia-smi` says whether other processes have the card's memory",
            )
        })?;
        Ok(Self {
            handle,
            plans: HashMap::new(),
            workspace: None,
        })
    }

    /// Ends it. Nothing is asked for afterwards.
    pub(super) fn close(&mut self, memory: &mut Memory) {
        self.plans.clear();
        if let Some(block) = self.workspace.take() {
            memory.give("workspace", block);
        }
        // SAFETY: it is destroyed once, since this is called by the one who drops it.
        // What can fail here has failed before, of which that call told.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }

    fn plan(&mut self, product: &Product) -> Result<&Plan, ModelError> {
        let shape = product.shape();
        if self.plans.len() >= MOST_PLANS && !self.plans.contains_key(&shape) {
            self.plans.clear();
        }
        match self.plans.entry(shape) {
            std::collections::hash_map::Entry::Occupied(plan) => Ok(plan.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let plan = Plan::new(self.handle, &shape).map_err(cannot(product))?;
                Ok(place.insert(plan))
            }
        }
    }
}

/// How one shape is computed, with the descriptors that say what it is.
struct Plan {
    operation: cublasLtMatmulDesc_t,
    a: cublasLtMatrixLayout_t,
    b: cublasLtMatrixLayout_t,
    out: cublasLtMatrixLayout_t,
    algorithm: cublasLtMatmulAlgo_t,
}

impl Plan {
    fn new(handle: cublasLtHandle_t, shape: &Shape) -> Result<Self, CublasError> {
        let [m, n, k] = shape.size;
        let mut plan = Self {
            operation: std::ptr::null_mut(),
            a: std::ptr::null_mut(),
            b: std::ptr::null_mut(),
            out: std::ptr::null_mut(),
            algorithm: cublasLtMatmulAlgo_t { data: [0; 8] },
        };
        plan.operation = result::create_matmul_desc(
            cublasComputeType_t::CUBLAS_COMPUTE_32F,
            cudaDataType_t::CUDA_R_32F,
        )?;
        // Ours is theirs exchanged: their first side is our `b`.
        plan.set(
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSA,
            i32::from(shape.b.1),
        )?;
        plan.set(
            DescAttribute::CUBLASLT_MATMUL_DESC_TRANSB,
            i32::from(shape.a.1),
        )?;
        let bf16 = cudaDataType_t::CUDA_R_16BF;
        plan.a = layout(bf16, m, k, shape.a.0, shape.a.1)?;
        plan.b = layout(bf16, k, n, shape.b.0, shape.b.1)?;
        let out = match shape.out.1 {
            "bf16" => bf16,
            _ => cudaDataType_t::CUDA_R_32F,
        };
        plan.out = layout(out, m, n, shape.out.0, false)?;
        let preference = Preference::new(shape)?;
        // SAFETY: all descriptors were just made.
        let chosen = unsafe {
            result::get_matmul_algo_heuristic(
                handle,
                plan.operation,
                plan.b,
                plan.a,
                plan.out,
                plan.out,
                preference.0,
            )
        }?;
        plan.algorithm = chosen.algo;
        Ok(plan)
    }

    fn set(&self, which: DescAttribute, value: i32) -> Result<(), CublasError> {
        // SAFETY: both attributes are numbers of 32 bits, and the descriptor was just made.
        unsafe {
            result::set_matmul_desc_attribute(
                self.operation,
                which,
                (&raw const value).cast(),
                size_of::<i32>(),
            )
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: each descriptor that was made is destroyed once; work that was asked for has
        // what it needs of them. That it can fail says nothing that could be acted upon.
        unsafe {
            for layout in [self.a, self.b, self.out] {
                if !layout.is_null() {
                    let _ = result::destroy_matrix_layout(layout);
                }
            }
            if !self.operation.is_null() {
                let _ = result::destroy_matmul_desc(self.operation);
            }
        }
    }
}

/// Describes `rows x columns`, stored row by row or, if `transposed`, column by column.
fn layout(
    number: cudaDataType_t,
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
) -> Result<cublasLtMatrixLayout_t, CublasError> {
    let (rows, columns) = if transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    result::create_matrix_layout(number, columns as u64, rows as u64, stride as i64)
}

/// What an algorithm may need and may do.
struct Preference(cublasLtMatmulPreference_t);

impl Preference {
    fn new(shape: &Shape) -> Result<Self, CublasError> {
        let preference = Self(result::create_matmul_pref()?);
        preference.set(
            Pref::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
            WORKSPACE as u64,
        )?;
        // Parts of a sum go to the workspace as f32 and are added up in order by a second kernel.
        let reduction = cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;
        preference.set(Pref::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction)?;
        for (which, alignment) in [
            (Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.b.2),
            (Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.a.2),
            (
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                shape.out.2,
            ),
            (
                Pref::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                shape.out.2,
            ),
        ] {
            preference.set(which, alignment)?;
        }
        Ok(preference)
    }

    fn set<T: Copy>(&self, which: Pref, value: T) -> Result<(), CublasError> {
        // SAFETY: the descriptor lives, and `value` is read before the call returns. cuBLASLt
        // refuses one whose size is not the attribute's.
        unsafe {
            result::set_matmul_pref_attribute(
                self.0,
                which,
                (&raw const value).cast(),
                size_of::<T>(),
            )
        }
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: it was made once, and is destroyed once.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

fn cannot(product: &Product) -> impl FnOnce(CublasError) -> ModelError {
    let Product { m, n, k, .. } = *product;
    move |error| {
        gpu(
            format!(
                "cuBLASLt cannot multiply [{m}, {k}] by [{k}, {n}]: {:?}",
                error.0
            ),
            "go on from the last checkpoint; if it comes again, try another version of \
             nvidia-cublas-cu12",
        )
    }
}
