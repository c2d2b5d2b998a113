"""Videos by their addresses into a folder that outlives runs: politely, resumably, one status row an item."""
