"""One model of one problem with one seed, in a process of its own: `python -m benchmarks.quality.one SET MODEL SEED`.

Prints its figures as one line of JSON, the last line of its output.
"""

import json
import resource
import sys
import time
from typing import Any

from pydantic import TypeAdapter

from benchmarks.quality.configurations import configurations
from benchmarks.quality.problems import opened
from recommender.config.models import ModelConfig
from recommender.config.training import Training
from recommender.evaluation.evaluate import evaluate
from recommender.models.base import Support
from recommender.models.registry import new_model

K = (20,)
_KIB = 1024


def run(problem: str, name: str, seed: int) -> dict[str, Any]:
    """Fit on everything before the cut, for as long as the configuration says, and judge once."""
    comparison = configurations()[problem]
    config: Any = TypeAdapter(ModelConfig).validate_python(comparison.models[name])
    with opened(problem) as world:
        changed = {**comparison.training, "seed": seed, "threads": None}
        profile = world.profile.model_copy(
            update={"training": Training.model_validate(world.profile.training.model_dump() | changed)}
        )
        model = new_model(config, profile)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, processor = time.monotonic(), time.process_time()
        epochs = getattr(config, "max_epochs", None)
        model.fit(
            world.dataset,
            world.rows,
            epochs=epochs,
            progress=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
            support=Support(past=world.past),
        )
        seconds, processor = time.monotonic() - started, time.process_time() - processor
        figures = evaluate(model, world.truth, K)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "set": problem,
        "model": name,
        "seed": seed,
        "recall@20": figures["recall@20"],
        "ndcg@20": figures["ndcg@20"],
        "users": int(figures["users"]),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(processor, 1),
        "gib": round(peak * _KIB / 2**30, 2),
        "gib_before": round(before * _KIB / 2**30, 2),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
