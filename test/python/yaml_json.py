"""Prints the YAML files it is given, anchors and merges resolved, as a JSON array."""

import json
import sys

from ruamel.yaml import YAML

print(json.dumps([YAML(typ="safe").load(open(file)) for file in sys.argv[1:]]))
