// Whole rows from one place to another.

/// x[t] = table[tokens[t]]. One block a row.
extern "C" __global__ void embed(float* x, const bf16* table, const int* tokens, int hidden) {
    const bf16* from = table + static_cast<long long>(tokens[blockIdx.x]) * hidden;
    float* to = x + static_cast<long long>(blockIdx.x) * hidden;
    for (int i = threadIdx.x; i < hidden; i += blockDim.x) to[i] = to_float(from[i]);
}
