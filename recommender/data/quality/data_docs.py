"""Data Docs of Great Expectations: static pages of the last nights, one site a world, readable without a network."""

import re
import shutil
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.data.quality.data_docs_style import STYLE
from recommender.data.quality.quality_index import write_quality_index

_NIGHTS = 30
"""Nights that stay on the site."""
_REMOTE = re.compile(
    r"""<script[^>]*\ssrc="https?:[^>]*>\s*</script>|<link[^>]*\shref="https?:[^>]*>|<footer>.*?</footer>"""
    r"""|<script>.*?</script>""",
    re.DOTALL,
)
"""Pages load styles, scripts and fonts from half a dozen servers, and end in an advertisement."""
_REMOTE_LOGO = re.compile(r"""https://great-expectations-web-assets[^"']*""")
"""Their logo comes from GX's own server, with an id: each view would be reported to it."""

_ICON = re.compile(r"""[./]*static/images/favicon\.ico""")
"""Looked for one folder too low."""


def data_docs_context(settings: Settings) -> Any:
    """A context in memory whose results and site are on disk, so that the site holds earlier nights too."""
    return _site(settings.world / "great_expectations", settings.data_docs)[0]


@lru_cache(maxsize=1)  # a builder compiles its templates: 0.2 s that a night's tables share
def _site(folder: Path, pages: Path) -> tuple[Any, Any]:
    """The context and the builder of its site."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )
    from great_expectations.render.renderer.site_builder import SiteBuilder

    def on_disk(directory: Path) -> dict[str, str]:
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(directory)}

    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    stores = {
        **defaults.stores,
        "expectations_store": {"class_name": "ExpectationsStore", "store_backend": on_disk(folder / "suites")},
        "validation_results_store": {
            "class_name": "ValidationResultsStore",
            "store_backend": on_disk(folder / "results"),
        },
    }
    context = gx.get_context(
        project_config=DataContextConfig(
            store_backend_defaults=defaults,
            stores=stores,
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
    )
    return context, SiteBuilder(context, on_disk(pages), show_how_to_buttons=False, runtime_environment={})


def write_data_docs(suite: Any, found: Any, ds: date, settings: Settings) -> None:
    """Keep the result under the night's name and build its pages and the front page; old nights make way."""
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    folder, root = settings.world / "great_expectations", settings.data_docs
    context, builder = _site(folder, root)
    run = RunIdentifier(run_name=ds.isoformat(), run_time=night_end(ds))
    suite_id = ExpectationSuiteIdentifier(suite.name)
    result_id = ValidationResultIdentifier(suite_id, run, suite.name)
    found.meta |= {"run_id": run, "validation_time": run.run_time, "batch_parameters": None}
    context.suites.add_or_update(suite)
    store = context.validation_results_store
    store.store_validation_results(
        suite_validation_result=found,
        suite_validation_result_identifier=result_id,
        expectation_suite_identifier=suite_id,
    )
    nights = sorted({key.run_id.run_name for key in store.list_keys()})
    shown = {ds.isoformat(), *nights[-_NIGHTS:]}
    for key in store.list_keys():
        if key.run_id.run_name not in shown:
            store.remove_key(key)
            shutil.rmtree(_page_of(key, root).parent, ignore_errors=True)
    builder.build([suite_id, result_id], build_index=False)
    for page in (root / "expectations" / f"{suite.name}.html", _page_of(result_id, root)):
        page.write_text(_self_contained(page.read_text(encoding="utf-8"), page, root), encoding="utf-8")
    write_quality_index(folder / "results", root)


def _page_of(result_id: Any, root: Path) -> Path:
    return root.joinpath("validations", *result_id.to_tuple()).with_suffix(".html")


def _self_contained(text: str, page: Path, root: Path) -> str:
    up = "../" * (len(page.relative_to(root).parts) - 1)
    text = _REMOTE_LOGO.sub(f"{up}static/images/logo-long.png", text)
    text = _ICON.sub(f"{up}static/images/favicon.ico", text)
    return _REMOTE.sub("", text).replace("</head>", f"<style>{STYLE}</style></head>", 1)
