"""How far confidences are from the shares of right answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow.evaluation.records import Record


def expected_calibration_error(record: Record, n_bins: int = 15) -> float:
    """ECE: ``sum_b n_b / n * |accuracy_b - confidence_b|`` over bins of equal width, in [0, 1].

    Args:
        record: answers on one cell.
        n_bins: bins of the confidence in (0, 1]; a confidence on an edge belongs to the lower bin.
    """
    right, confidence = record.correct.astype(np.float64), record.confidence.astype(np.float64)
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    gap = np.bincount(bins, right - confidence, n_bins)
    return float(np.abs(gap).sum() / len(right))


def rms_calibration_error(record: Record, bin_size: int = 100) -> float:
    """``sqrt(sum_b n_b / n * (accuracy_b - confidence_b)^2)`` over bins of ``bin_size`` images by rank of confidence.

    The form of the AugMix line of work (Hendrycks et al. 2019, arXiv:1912.02781). The last bin takes what is left over.
    """
    order = np.argsort(record.confidence, kind="stable")
    gap: npt.NDArray[np.float64] = record.correct[order].astype(np.float64) - record.confidence[order]
    starts = np.arange(0, max(1, len(gap) // bin_size)) * bin_size
    sizes = np.diff(np.append(starts, len(gap)))
    sums = np.add.reduceat(gap, starts)
    return float(np.sqrt((sums**2 / sizes).sum() / len(gap)))


def brier_score(record: Record) -> float:
    """Mean over images of ``sum_k (p_k - [k is the label])^2``, in [0, 2]."""
    return float(record.brier.mean())


def negative_log_likelihood(record: Record) -> float:
    """Mean cross entropy in nats."""
    return float(record.loss.mean())
