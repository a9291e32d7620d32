"""The ml-service's loop over a model.pkl, and nothing else: score_model.py model.pkl records.json

records.json: [features, ...], a feature being absent from a dict when missing. Prints {mode: [score, ...]}.
"""

import json
import pickle
import sys

from river import compose

path, records_path = sys.argv[1:]
with open(path, "rb") as file:
    model = pickle.load(file)
with open(records_path) as file:
    records = json.load(file)

assert tuple(model) == ("heating", "cooling", "water", "standby")
assert all(type(p) is compose.Pipeline for p in model.values())

scores = {mode: [] for mode in model}
for mode, pipeline in model.items():
    for x in records:
        scores[mode].append(pipeline.score_one(x))
        pipeline.learn_one(x)
json.dump(scores, sys.stdout)
