"""Great Expectations' Data Docs: static pages of the last nights' checks, one site a world."""

import re
from datetime import date
from pathlib import Path
from typing import Any

from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.data.quality_index import GX_INDEX, write_quality_index

_SITE = "site"
_NIGHTS = 30
"""Nights that stay on the site."""
_REMOTE_LOGO = re.compile(r"https://great-expectations-web-assets[^\"']*")
"""Pages load their logo from GX's own server, with an id: each view would be reported to it."""


def data_docs_context(settings: Settings) -> Any:
    """A context in memory whose results and site are on disk, so that the site holds earlier nights too."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    def on_disk(name: str) -> dict[str, str]:
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder / name)}

    folder = settings.world / "great_expectations"
    defaults = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    stores = {
        **defaults.stores,
        "expectations_store": {"class_name": "ExpectationsStore", "store_backend": on_disk("suites")},
        "validation_results_store": {"class_name": "ValidationResultsStore", "store_backend": on_disk("results")},
    }
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {**on_disk(""), "base_directory": str(settings.data_docs)},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return gx.get_context(
        project_config=DataContextConfig(
            store_backend_defaults=defaults,
            stores=stores,
            data_docs_sites={_SITE: site},
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
    )


def write_data_docs(
    context: Any,
    suite: Any,
    found: Any,
    ds: date,
    settings: Settings,
) -> None:
    """Keep the result under the night's name and build its pages and the index; old nights make way."""
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

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
    context.build_data_docs(site_names=[_SITE], resource_identifiers=[suite_id, result_id])
    root = settings.data_docs
    (root / "index.html").replace(root / GX_INDEX)
    for page in (root / GX_INDEX, root / "expectations" / f"{suite.name}.html", *_pages_of(result_id, root)):
        up = "../" * (len(page.relative_to(root).parts) - 1)
        text = _REMOTE_LOGO.sub(f"{up}static/images/logo-long.png", page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    write_quality_index(settings.world / "great_expectations" / "results", root)


def _pages_of(result_id: Any, root: Path) -> list[Path]:
    return list(root.joinpath("validations", *result_id.to_tuple()[:-1]).glob("*.html"))
