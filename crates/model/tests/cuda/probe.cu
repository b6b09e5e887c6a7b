// Kernels that show whether what the host asked for arrives.

extern "C" __global__ void scale_all(float* out, const float* x, int n, float factor) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = factor * x[i] + OFFSET;
}

/// Where each block is in the grid, through dynamic shared memory.
extern "C" __global__ void __launch_bounds__(64) places(int* out, int bytes) {
    DYNAMIC_SHARED(shared);
    int* last = reinterpret_cast<int*>(shared + bytes) - 1;
    if (threadIdx.x == 0) *last = 1000 * blockIdx.y + blockIdx.x;
    __syncthreads();
    if (threadIdx.x == 63) out[blockIdx.y * gridDim.x + blockIdx.x] = *last;
}

/// Arguments of every kind; `missing` is null.
extern "C" __global__ void kinds(double* out, const bf16* x, const unsigned* n, const float* missing, long long large,
                                 double exact) {
    out[0] = to_float(x[0]);
    out[1] = n[0];
    out[2] = missing == nullptr ? 1 : 0;
    out[3] = static_cast<double>(large);
    out[4] = exact;
}
