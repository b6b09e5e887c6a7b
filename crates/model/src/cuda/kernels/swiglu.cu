// SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202): silu(gate) up, with silu(g) = g sigmoid(g). A row of
// gate_up is the gate, then up.

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + fast_exp2(-x * LOG2_E)); }

/// Grid: rows.
extern "C" __global__ void swiglu(bf16* gated, const bf16* gate_up, int rows, int ffn) {
    const bf16* gate = row_of(gate_up, 2LL * blockIdx.x, ffn);
    const bf16* up = gate + ffn;
    bf16* out = row_of(gated, blockIdx.x, ffn);
    for (int i = first_eight(); i < ffn; i += next_eight()) {
        float g[8], u[8];
        load_eight(g, gate + i, ffn - i);
        load_eight(u, up + i, ffn - i);
        for (int j = 0; j < 8; j++) u[j] *= g[j] * sigmoid(g[j]);
        store_eight(out + i, u, ffn - i);
    }
}

/// Puts the gradient in the place of gate_up's values. Grid: rows.
extern "C" __global__ void swiglu_backward(bf16* gate_up, const bf16* dgated, int rows, int ffn) {
    bf16* gate = row_of(gate_up, 2LL * blockIdx.x, ffn);
    bf16* up = gate + ffn;
    const bf16* dout = row_of(dgated, blockIdx.x, ffn);
    for (int i = first_eight(); i < ffn; i += next_eight()) {
        float g[8], u[8], d[8];
        load_eight(g, gate + i, ffn - i);
        load_eight(u, up + i, ffn - i);
        load_eight(d, dout + i, ffn - i);
        for (int j = 0; j < 8; j++) {
            float s = sigmoid(g[j]), silu = g[j] * s;
            g[j] = d[j] * u[j] * (s + silu * (1.0f - s));
            u[j] = d[j] * silu;
        }
        store_eight(gate + i, g, ffn - i);
        store_eight(up + i, u, ffn - i);
    }
}
