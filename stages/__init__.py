"""The stages of the reproduction: plain programs that read params.yaml and files, and write files."""

import os

# No tool calls anybody; set before any of them is imported.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
