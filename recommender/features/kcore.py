"""Iterative minimum-interaction filtering: the (k, l)-core of the graph of users and items."""

import numpy as np
import numpy.typing as npt


def k_core(
    user: npt.NDArray[np.integer], item: npt.NDArray[np.integer], users: int, items: int
) -> npt.NDArray[np.bool_]:
    """Which interactions lie in the largest part where all users and all items have enough partners.

    Leaving out a user may leave an item with too few, and so on: both are filtered in turns until nothing changes
    (Seidman, Network structure and minimum degree, 1983). That largest part is unique, whatever the order. A pair
    that occurs several times counts once.

    Parameters
    ----------
    user, item
        (n,) indices of each interaction's user and item, at least 0.
    users
        Fewest different items of a user; 1 asks for nothing.
    items
        Fewest different users of an item.

    Returns
    -------
    (n,) True inside the core.
    """
    if len(user) == 0 or (users <= 1 and items <= 1):
        return np.ones(len(user), bool)
    pair = user.astype(np.int64) * (int(item.max()) + 1) + item
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    left = np.arange(len(first))
    kept = np.zeros(len(first), bool)
    while len(left):
        partners = user[first[left]], item[first[left]]
        enough = (np.bincount(partners[0])[partners[0]] >= users) & (np.bincount(partners[1])[partners[1]] >= items)
        if enough.all():
            kept[left] = True
            break
        left = left[enough]
    inside: npt.NDArray[np.bool_] = kept[inverse]
    return inside
