"""Weighted Gram matrix of a block: Σ r_i (x_i, 1)(x_i, 1)ᵀ, the Hessian's sum over rows."""

from fastlogreg.kernels import csr
from fastlogreg.kernels.blocks import _implementation, by_storage, pack, prefetch_next
from fastlogreg.kernels.jit import kernel
from fastlogreg.kernels.panels import scale_panel
from fastlogreg.kernels.tiles import TILE_ROWS, add_products

# Sparse rows are multiplied entry by entry where that is so many times fewer products than a dense panel has: one
# scattered product takes as long as some 25 in registers.
SCATTER = 25


@kernel
def add_packed_gram(X, first, last, root, panel, gram):
    """As add_block_gram, of a block that the panel holds already; it is scaled."""
    scale_panel(root, panel)
    q = panel.shape[0]
    n_parts = (q + TILE_ROWS - 1) // TILE_ROWS
    for part in range(n_parts):
        k = part * TILE_ROWS
        prefetch_next(X, first, last, part, n_parts)
        add_products(panel[k : k + TILE_ROWS], panel, k, gram[k : k + TILE_ROWS])


@kernel
def _gram_dense(X, first, last, root, panel, gram):
    pack(X, first, last, panel)
    add_packed_gram(X, first, last, root, panel, gram)


@kernel
def _gram_csr(X, first, last, root, panel, gram):
    entries = X.indptr[last] - X.indptr[first]
    dense = panel.shape[0] * (last - first)
    if SCATTER * entries * entries > dense * dense:
        _gram_dense(X, first, last, root, panel, gram)
        return
    csr.add_gram(X, first, last, root, gram)


_GRAM = _gram_dense, _gram_dense, _gram_csr


def add_block_gram(X, first, last, root, panel, gram):
    """Add Σ root_i² (x_i, 1)(x_i, 1)ᵀ to gram (q, q), on and above the diagonal; panel (q, size) is workspace."""
    _implementation(X, _GRAM)(X, first, last, root, panel, gram)


by_storage(add_block_gram, _GRAM)
