"""The report of a judgement: one HTML page that needs no network, the same as Markdown, and the findings as JSON."""

from recommender.evaluation.report.render import forget_examples, render_html, render_markdown, write_report

__all__ = ["forget_examples", "render_html", "render_markdown", "write_report"]
