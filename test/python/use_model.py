"""Uses a model.pkl as the ml-service does and prints what it saw: use_model.py model.pkl records.json

records.json: {"score": [features, ...], "learn": [features, ...]}, a feature being absent from a dict when missing.
"""

import copy
import io
import json
import math
import pickle
import sys
import time

import joblib
from river import anomaly, compose, feature_extraction, preprocessing, stats, utils  # noqa: F401, loaded before timing

MODES = ("heating", "cooling", "water", "standby")


def use(pipeline, records, n_score=None, n_learn=None):
    """Scores, then the service's loop: score, then learn."""
    before = [pipeline.score_one(x) for x in records["score"][:n_score]]
    during = []
    for x in records["learn"][:n_learn]:
        during.append(pipeline.score_one(x))
        pipeline.learn_one(x)
    after = [pipeline.score_one(x) for x in records["score"][:n_score]]
    return {"before": before, "during": during, "after": after}


def mutable_ids(value, found):
    """The objects of one pipeline that live data can change."""
    if id(value) in found or not (isinstance(value, (dict, list)) or hasattr(value, "__dict__")):
        return
    if isinstance(value, type) or callable(value):
        return
    found.add(id(value))
    if isinstance(value, dict):
        for item in value.values():
            mutable_ids(item, found)
    elif isinstance(value, list):
        for item in value:
            mutable_ids(item, found)
    if hasattr(value, "__dict__"):
        for item in vars(value).values():
            for part in item if isinstance(item, tuple) else (item,):
                mutable_ids(part, found)


path, records_path = sys.argv[1:]
with open(records_path) as file:
    records = json.load(file)

started = time.perf_counter()
with open(path, "rb") as file:
    model = pickle.load(file)
load_seconds = time.perf_counter() - started

joblib_started = time.perf_counter()
by_joblib = joblib.load(path)
joblib_seconds = time.perf_counter() - joblib_started

assert type(model) is dict and tuple(model) == MODES
assert all(type(p) is compose.Pipeline for p in model.values())

owners = []
for pipeline in model.values():
    found = set()
    mutable_ids(pipeline, found)
    owners.append(found)
shared = sum(len(a & b) for i, a in enumerate(owners) for b in owners[:i])

for pipeline in model.values():
    scaler = pipeline["StandardScaler"]
    assert all(math.isfinite(scaler.means[f]) and math.isfinite(scaler.vars[f]) for f in scaler.counts)
    assert len(repr(pipeline)) > 0 and len(str(pipeline)) > 0
    pipeline.clone()

copies = copy.deepcopy(model)
again = pickle.loads(pickle.dumps(model, protocol=5))
buffer = io.BytesIO()
joblib.dump(model, buffer)

few = {mode: use(pipeline, records, 20, 40) for mode, pipeline in by_joblib.items()}
for name, other in (("deepcopy", copies), ("re-pickled", again)):
    for mode, pipeline in other.items():
        assert use(pipeline, records, 20, 40) == few[mode], f"{name} differs in {mode}"
# River takes a millisecond for each: one mode in full, a window's length of the others.
used = {mode: use(p, records, *((None, None) if mode == "heating" else (100, 210))) for mode, p in model.items()}
for mode, scores in few.items():
    assert scores["before"] == used[mode]["before"][:20], f"joblib differs in {mode}"
    assert scores["during"] == used[mode]["during"][:40], f"joblib differs in {mode}"

with open(path + ".fresh4", "wb") as file:
    file.write(buffer.getvalue())
for protocol in (4, 5):
    with open(f"{path}.used{protocol}", "wb") as file:
        pickle.dump(model, file, protocol=protocol)

json.dump(
    {"scores": used, "shared": shared, "load_seconds": load_seconds, "joblib_seconds": joblib_seconds},
    sys.stdout,
)
