"""Records per second of CPU time of River's own HalfSpaceTrees: trees.py n_trees height < rows.json."""

import json
import sys
import time

from river import anomaly

n_trees, height = map(int, sys.argv[1:])
rows = [{str(i): v for i, v in enumerate(row)} for row in json.load(sys.stdin)]
trees = anomaly.HalfSpaceTrees(n_trees=n_trees, height=height, window_size=250, seed=42)
trees.learn_one(rows[0])
started = time.process_time()
for row in rows:
    trees.score_one(row)
    trees.learn_one(row)
json.dump(len(rows) / (time.process_time() - started), sys.stdout)
