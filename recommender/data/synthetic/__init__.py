"""A generated world: for fresh machines, scale tests and property tests.

Users with tastes that drift and go with who they are; items with creators, categories and a skewed popularity; new
users and items every day; unusable rows of every kind; and `truth/`, what all of it was drawn from.
The same parameters give the same files.
"""

from recommender.data.synthetic.files import ensure_world, is_somebodys, write_world
from recommender.data.synthetic.summary import Skew, Summary
from recommender.data.synthetic.truth import Truth

__all__ = ["Skew", "Summary", "Truth", "ensure_world", "is_somebodys", "write_world"]
