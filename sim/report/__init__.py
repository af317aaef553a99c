"""Reports of runs, on the terminal and as HTML."""
