"""Who is in which arm of an experiment."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_BYTES = 4


def in_challenger(user_ids: Iterable[str], salt: str, share: float) -> npt.NDArray[np.bool_]:
    """(users,) True for those in the challenger's arm, as `reco.in_challenger` says in SQL.

    The first four bytes of SHA-256 over `salt:user` in UTF-8, as a share of 2^32, are below `share`.
    """
    prefix = f"{salt}:".encode()
    digests = b"".join([hashlib.sha256(prefix + user_id.encode()).digest()[:_BYTES] for user_id in user_ids])
    below: npt.NDArray[np.bool_] = np.frombuffer(digests, ">u4") / 2.0 ** (8 * _BYTES) < share
    return below
