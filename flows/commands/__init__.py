"""The commands of ``dreamtalk``, a module for each subject; ``flows.cli`` gathers them."""
