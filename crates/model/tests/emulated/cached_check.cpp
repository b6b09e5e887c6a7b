// Attention over a cache in blocks against the same in double precision: prompts that several rows share, rows that
// read a prompt's next tokens together, pieces cut anywhere, and a cache that is NaN wherever nothing was written.

#include "check.h"

namespace cached {
#include "cached.cu"
}

/// Sequences that begin with a shared prompt and go on alone, in a cache.
struct Cache {
    int heads, kv_heads, count = 0;
    std::vector<bf16> data;

    int rotated() const { return (heads + kv_heads) * HEAD_DIM; }
    int columns() const { return (heads + 2 * kv_heads) * HEAD_DIM; }

    int allocate() { return count++; }

    /// The vector of a position of a path; `of` 0 is the key, 1 the value.
    const bf16* at(const std::vector<int>& path, int position, int kv, int of) const {
        return &data[(((size_t(path[position / TILE]) * kv_heads + kv) * 2 + of) * TILE + position % TILE) * HEAD_DIM];
    }
};

/// One row of a decoding step: where it is, and the blocks of its path.
struct Row {
    int position;
    std::vector<int> path;
};

static void fill(Cache& cache, const std::vector<std::pair<std::vector<int>, std::pair<int, int>>>& written) {
    cache.data = unwritten<bf16>(size_t(cache.count) * cache.kv_heads * 2 * TILE * HEAD_DIM);
    std::vector<int> slots;
    for (const auto& [path, range] : written)
        for (int p = range.first; p < range.second; p++) slots.push_back(path[p / TILE] * TILE + p % TILE);
    int rows = slots.size();
    auto rotated = random_bf16(rows * cache.rotated(), 3.0), projected = random_bf16(rows * cache.columns());
    launch(cached::cache_write, {unsigned(rows)}, cache.data.data(), rotated.data(), projected.data(), slots.data(),
           rows, cache.heads, cache.kv_heads);
    for (int r = 0; r < rows; r++)
        for (int kv = 0; kv < cache.kv_heads; kv++)
            for (int i = 0; i < HEAD_DIM; i++) {
                const bf16* key = cache.at({slots[r] / TILE}, slots[r] % TILE, kv, 0);
                const bf16* value = cache.at({slots[r] / TILE}, slots[r] % TILE, kv, 1);
                int k = (cache.heads + kv) * HEAD_DIM + i, v = k + cache.kv_heads * HEAD_DIM;
                check(key[i].bits == rotated[r * cache.rotated() + k].bits, "cache_write's keys");
                check(value[i].bits == projected[r * cache.columns() + v].bits, "cache_write's values");
            }
}

/// Rows that follow one another, and the levels of their common blocks, cut at random.
struct Pieces {
    std::vector<int> pieces, blocks;
    std::vector<std::vector<int>> of_rows;
    int partials = 0;

    void add(const std::vector<Row>& rows, int first, int count, int from, int to, int most_rows) {
        of_rows.resize(rows.size());
        for (int row = first; row < first + count; row += most_rows)
            for (int level = from, next; level < to; level = next) {
                next = std::min(to, level + 1 + any_of(3));
                int taken = std::min(most_rows, first + count - row);
                pieces.insert(pieces.end(), {row, taken, int(blocks.size()), next - level, level * TILE, partials});
                for (int l = level; l < next; l++) blocks.push_back(rows[row].path[l]);
                for (int r = row; r < row + taken; r++) of_rows[r].push_back(partials++);
            }
    }
};

static void check_cached(int heads, int kv_heads, int prompt, int group, int span) {
    setting = "cached attention, " + std::to_string(heads) + " / " + std::to_string(kv_heads) + " heads of " +
              std::to_string(HEAD_DIM) + ", a prompt of " + std::to_string(prompt) + " for " + std::to_string(group);
    Cache cache{heads, kv_heads, 0, {}};
    std::vector<Row> rows;
    std::vector<std::pair<std::vector<int>, std::pair<int, int>>> written;
    int shared = prompt / TILE, of_group = heads / kv_heads, most_rows = 64 / of_group;
    std::vector<int> common;
    for (int i = 0; i < shared; i++) common.push_back(cache.allocate());
    if (shared) written.push_back({common, {0, shared * TILE}});
    Pieces pieces;
    for (int r = 0; r < group; r++) {
        int position = shared * TILE + any_of(2 * TILE);
        std::vector<int> path = common;
        for (int level = shared; level <= position / TILE; level++) path.push_back(cache.allocate());
        written.push_back({path, {shared * TILE, position + 1}});
        rows.push_back({position, path});
    }
    // A sequence whose last `span` tokens are read at once.
    std::vector<int> path;
    for (int level = 0; level <= (prompt + span) / TILE; level++) path.push_back(cache.allocate());
    written.push_back({path, {0, prompt + span}});
    for (int i = 0; i < span; i++) rows.push_back({prompt + i, path});
    if (shared) pieces.add(rows, 0, group, 0, shared, most_rows);
    for (int r = 0; r < group; r++) pieces.add(rows, r, 1, shared, rows[r].path.size(), 1);
    pieces.add(rows, group, span, 0, (prompt + span - 1) / TILE + 1, most_rows);
    fill(cache, written);

    int count = rows.size();
    float scale = 1.0f / std::sqrt(float(HEAD_DIM));
    auto rotated = random_bf16(count * cache.rotated(), 3.0);
    std::vector<double> expected(count * heads * HEAD_DIM);
    for (int r = 0; r < count; r++)
        for (int head = 0; head < heads; head++) {
            int kv = head / of_group;
            const bf16* q = &rotated[r * cache.rotated() + head * HEAD_DIM];
            double* out = &expected[(r * heads + head) * HEAD_DIM];
            double sum = 0.0;
            for (int p = 0; p <= rows[r].position; p++) {
                double score = 0.0;
                const bf16 *k = cache.at(rows[r].path, p, kv, 0), *v = cache.at(rows[r].path, p, kv, 1);
                for (int i = 0; i < HEAD_DIM; i++) score += to_float(q[i]) * to_float(k[i]);
                double weight = std::exp(score * scale);
                sum += weight;
                for (int i = 0; i < HEAD_DIM; i++) out[i] += weight * to_float(v[i]);
            }
            for (int i = 0; i < HEAD_DIM; i++) out[i] /= sum;
        }

    std::vector<int> positions, at{0}, of;
    for (int r = 0; r < count; r++) {
        positions.push_back(rows[r].position);
        of.insert(of.end(), pieces.of_rows[r].begin(), pieces.of_rows[r].end());
        at.push_back(of.size());
    }
    auto out = unwritten<float>(pieces.partials * heads * HEAD_DIM), peaks = unwritten<float>(pieces.partials * heads);
    auto sums = peaks;
    Grid grid{unsigned(pieces.pieces.size() / PIECE), unsigned(kv_heads), THREADS, 512 * HEAD_DIM};
    launch(cached::cached_attention, grid, out.data(), peaks.data(), sums.data(), rotated.data(), cache.data.data(),
           pieces.pieces.data(), pieces.blocks.data(), positions.data(), heads, kv_heads, scale);
    auto attended = unwritten<bf16>(count * heads * HEAD_DIM);
    launch(cached::merge_pieces, {unsigned(count)}, attended.data(), out.data(), peaks.data(), sums.data(), at.data(),
           of.data(), heads);
    near(attended, expected, BF16, "cached_attention and merge_pieces");
}

int main() {
    return run([] {
        check_cached(4, 2, 150, 7, 40);
        check_cached(2, 2, 64, 40, 3);
        check_cached(8, 1, 300, 11, 9);
        check_cached(3, 1, 10, 1, 1);
    });
}
