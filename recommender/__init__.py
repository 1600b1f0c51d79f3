"""A nightly batch recommender: validated data in, point-in-time features, a gated model, answers in PostgreSQL."""

__version__ = "0.1.0"
