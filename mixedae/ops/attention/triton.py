"""Fused homologous attention, Eq. (6) of MixedAE (arXiv 2303.17152), as Triton kernels: no N x N tensor in memory.

A program holds the scores of a tile of queries against *all* keys on chip, finds each query's K-th largest score by
bisection, and attends to what is kept. Scores, selection and softmax are fp32 whatever the inputs. The forward pass
saves three numbers per query: the threshold, the last kept column among the keys tied with it (so that exactly K are
kept), and the log-sum-exp. Both backward kernels compute the same scores with the same instructions and therefore keep
the same keys.

Symbols: B samples, H heads, N tokens, D channels per head, K kept keys. BLOCK_M queries per tile; BLOCK_N keys per row
(N rounded up to a power of two); BLOCK_K keys per tile of the key gradient; BLOCK_D (D rounded up to a power of two).
"""

# mypy: disallow-untyped-defs=false, disallow-incomplete-defs=false
import triton
import triton.language as tl


@triton.jit
def _to_order(x):
    """Map fp32 to int32 so that the order stays: a bisection on integers ends after the 32 bits of a score."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _from_order(key):
    return tl.where(key < 0, key ^ 0x7FFFFFFF, key).to(tl.float32, bitcast=True)


@triton.jit
def _select(scores, cols, valid, pool, topk, BLOCK_N: tl.constexpr):
    """Threshold and last kept tied column of each row; ``_left_out`` with them leaves exactly ``topk`` keys.

    Invariant: at least ``topk`` scores are >= lo, fewer are >= hi. The loop ends once exactly ``topk`` are >= lo (the
    common case, after about 14 steps) or lo and hi are neighbours in fp32 (exact ties). The first steps halve values,
    which suits scores of one magnitude. The others halve ordered integers, which ends after 32 steps for any scores.
    """
    lo = _to_order(tl.min(tl.where(scores == float("-inf"), float("inf"), scores), 1))
    hi = _to_order(tl.max(scores, 1)) + 1
    count = tl.where(valid, pool, topk)  # how many scores are >= lo; rows of padding are done
    step = 0
    while tl.max(((lo + 1 < hi) & (count > topk)).to(tl.int32), 0) > 0:
        halved = (lo & hi) + ((lo ^ hi) >> 1)  # floor((lo + hi) / 2) without overflow
        if step < 16:
            halved = _to_order(0.5 * _from_order(lo) + 0.5 * _from_order(hi))
        middle = tl.minimum(tl.maximum(halved, lo + 1), hi - 1)
        below = tl.where(scores < _from_order(middle)[:, None], 1.0, 0.0)  # FSET and FADD; integers would take SEL too
        above = BLOCK_N - tl.sum(below, 1).to(tl.int32)
        up = above >= topk
        lo = tl.where(up, middle, lo)
        hi = tl.where(up, hi, middle)
        count = tl.where(up & valid, above, count)
        step += 1
    threshold = _from_order(lo)
    last = tl.full(threshold.shape, BLOCK_N - 1, tl.int32)
    if tl.max(count, 0) > topk:  # a row has more keys tied at its threshold than it may keep: the first ones stay
        tied = scores == threshold[:, None]
        wanted = topk - tl.sum((scores > threshold[:, None]).to(tl.int32), 1)
        before = tl.full(threshold.shape, -1, tl.int32)
        while tl.max(last - before, 0) > 1:
            middle = (before + last) >> 1
            enough = tl.sum((tied & (cols[None, :] <= middle[:, None])).to(tl.int32), 1) >= wanted
            last = tl.where(enough, middle, last)
            before = tl.where(enough, before, middle)
    return threshold, last


@triton.jit
def _left_out(scores, threshold, last, cols):
    """The keys that ``_select`` did not choose. All keys outside the pool are among them: their score is -inf.

    A NaN score compares as not smaller: it is kept, so that it reaches the loss and is noticed.
    """
    return (scores < threshold[:, None]) | ((scores == threshold[:, None]) & (cols[None, :] > last[:, None]))


@triton.jit
def _rows(base, rows, stride, n, first, D: tl.constexpr, WIDTH: tl.constexpr):
    """Load ``rows`` of an (N, D) matrix from channel ``first`` on, zero outside of it: (rows, WIDTH)."""
    d = first + tl.arange(0, WIDTH)
    return tl.load(base + rows[:, None] * stride + d[None, :], mask=(rows < n)[:, None] & (d < D)[None, :], other=0.0)


@triton.jit
def _store_rows(base, rows, stride, n, first, value, D: tl.constexpr, WIDTH: tl.constexpr):
    d = first + tl.arange(0, WIDTH)
    mask = (rows < n)[:, None] & (d < D)[None, :]
    tl.store(base + rows[:, None] * stride + d[None, :], value.to(base.dtype.element_ty), mask=mask)


@triton.jit
def _scale(products, cols, n, prefix, scale_log2):
    """Scores in units of log2, so that the softmax can use exp2; -inf for keys outside the pool."""
    return tl.where(((cols >= prefix) & (cols < n))[None, :], products * scale_log2, float("-inf"))


@triton.jit
def forward_kernel(
    q, k, v, out, threshold, last, lse,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, o_b, o_h, o_n,
    heads, n, topk, prefix, scale_log2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, WIDTH: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head: select, softmax over the kept keys, times V."""
    tiles = tl.cdiv(n, BLOCK_M)
    head = tl.program_id(0) // tiles
    b, h = (head // heads).to(tl.int64), (head % heads).to(tl.int64)
    rows = (tl.program_id(0) % tiles) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.arange(0, BLOCK_N)
    valid = rows < n
    q_base, k_base, v_base = q + b * q_b + h * q_h, k + b * k_b + h * k_h, v + b * v_b + h * v_h
    products = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for first in tl.static_range(0, BLOCK_D, WIDTH):
        q_tile = _rows(q_base, rows, q_n, n, first, D, WIDTH)
        k_rows = _rows(k_base, cols, k_n, n, first, D, WIDTH)
        products = tl.dot(q_tile, tl.trans(k_rows), products, input_precision="ieee")
    v_rows = _rows(v_base, cols, v_n, n, 0, D, WIDTH)
    scores = _scale(products, cols, n, prefix, scale_log2)
    row_threshold, row_last = _select(scores, cols, valid, n - prefix, topk, BLOCK_N)
    largest = tl.max(scores, 1)
    p = tl.exp2(scores - largest[:, None])
    p = tl.where(_left_out(scores, row_threshold, row_last, cols), 0.0, p)
    total = tl.sum(p, 1)
    for first in tl.static_range(0, BLOCK_D, WIDTH):
        if first > 0:
            v_rows = _rows(v_base, cols, v_n, n, first, D, WIDTH)
        value = tl.dot(p.to(v_rows.dtype), v_rows, input_precision="ieee") / total[:, None]
        _store_rows(out + b * o_b + h * o_h, rows, o_n, n, first, value, D, WIDTH)
    at = head.to(tl.int64) * n + rows
    tl.store(threshold + at, row_threshold, mask=valid)
    tl.store(last + at, row_last, mask=valid)
    tl.store(lse + at, largest + tl.log2(total), mask=valid)


@triton.jit
def query_gradient_kernel(
    q, k, v, out, d_out, d_q, threshold, last, lse, delta,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, o_b, o_h, o_n, do_b, do_h, do_n, dq_b, dq_h, dq_n,
    heads, n, prefix, scale, scale_log2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Gradient of one tile of queries, over all tiles of keys; stores ``delta``, sum_j P_ij dP_ij."""
    tiles = tl.cdiv(n, BLOCK_M)
    head = tl.program_id(0) // tiles
    b, h = (head // heads).to(tl.int64), (head % heads).to(tl.int64)
    rows = (tl.program_id(0) % tiles) * BLOCK_M + tl.arange(0, BLOCK_M)
    valid = rows < n
    at = head.to(tl.int64) * n + rows
    row_threshold = tl.load(threshold + at, mask=valid, other=float("inf"))
    row_last = tl.load(last + at, mask=valid, other=0)
    row_lse = tl.load(lse + at, mask=valid, other=0.0)
    q_tile = _rows(q + b * q_b + h * q_h, rows, q_n, n, 0, D, BLOCK_D)
    do_tile = _rows(d_out + b * do_b + h * do_h, rows, do_n, n, 0, D, BLOCK_D)
    out_tile = _rows(out + b * o_b + h * o_h, rows, o_n, n, 0, D, BLOCK_D)
    row_delta = tl.sum(out_tile.to(tl.float32) * do_tile.to(tl.float32), 1)
    tl.store(delta + at, row_delta, mask=valid)
    d_q_tile = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    for start in range(0, n, BLOCK_K):
        cols = start + tl.arange(0, BLOCK_K)
        k_rows = _rows(k + b * k_b + h * k_h, cols, k_n, n, 0, D, BLOCK_D)
        v_rows = _rows(v + b * v_b + h * v_h, cols, v_n, n, 0, D, BLOCK_D)
        products = tl.dot(q_tile, tl.trans(k_rows), input_precision="ieee")
        scores = _scale(products, cols, n, prefix, scale_log2)
        p = tl.exp2(scores - row_lse[:, None])
        p = tl.where(_left_out(scores, row_threshold, row_last, cols), 0.0, p)
        ds = p * (tl.dot(do_tile, tl.trans(v_rows), input_precision="ieee") - row_delta[:, None])
        d_q_tile = tl.dot(ds.to(k_rows.dtype), k_rows, d_q_tile, input_precision="ieee")
    _store_rows(d_q + b * dq_b + h * dq_h, rows, dq_n, n, 0, d_q_tile * scale, D, BLOCK_D)


@triton.jit
def key_gradient_kernel(
    q, k, v, d_out, d_k, d_v, threshold, last, lse, delta,
    q_b, q_h, q_n, k_b, k_h, k_n, v_b, v_h, v_n, do_b, do_h, do_n, dk_b, dk_h, dk_n,
    heads, n, prefix, scale, scale_log2,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Gradients of one tile of keys and values, over all tiles of queries in order, without atomic additions."""
    tiles = tl.cdiv(n, BLOCK_K)
    head = tl.program_id(0) // tiles
    b, h = (head // heads).to(tl.int64), (head % heads).to(tl.int64)
    cols = (tl.program_id(0) % tiles) * BLOCK_K + tl.arange(0, BLOCK_K)
    k_rows = _rows(k + b * k_b + h * k_h, cols, k_n, n, 0, D, BLOCK_D)
    v_rows = _rows(v + b * v_b + h * v_h, cols, v_n, n, 0, D, BLOCK_D)
    d_k_tile = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    d_v_tile = tl.zeros([BLOCK_K, BLOCK_D], tl.float32)
    for start in range(0, n, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        valid = rows < n
        at = head.to(tl.int64) * n + rows
        row_threshold = tl.load(threshold + at, mask=valid, other=float("inf"))  # padding rows keep no key
        row_last = tl.load(last + at, mask=valid, other=0)
        row_lse = tl.load(lse + at, mask=valid, other=0.0)
        row_delta = tl.load(delta + at, mask=valid, other=0.0)
        q_tile = _rows(q + b * q_b + h * q_h, rows, q_n, n, 0, D, BLOCK_D)
        do_tile = _rows(d_out + b * do_b + h * do_h, rows, do_n, n, 0, D, BLOCK_D)
        products = tl.dot(q_tile, tl.trans(k_rows), input_precision="ieee")
        scores = _scale(products, cols, n, prefix, scale_log2)
        p = tl.exp2(scores - row_lse[:, None])
        p = tl.where(_left_out(scores, row_threshold, row_last, cols), 0.0, p)
        d_v_tile = tl.dot(tl.trans(p.to(do_tile.dtype)), do_tile, d_v_tile, input_precision="ieee")
        ds = p * (tl.dot(do_tile, tl.trans(v_rows), input_precision="ieee") - row_delta[:, None])
        d_k_tile = tl.dot(tl.trans(ds.to(q_tile.dtype)), q_tile, d_k_tile, input_precision="ieee")
    _store_rows(d_k + b * dk_b + h * dk_h, cols, dk_n, n, 0, d_k_tile * scale, D, BLOCK_D)
    _store_rows(d_v + b * dk_b + h * dk_h, cols, dk_n, n, 0, d_v_tile, D, BLOCK_D)
