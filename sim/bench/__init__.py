"""The measurements behind the stated figures: ratios, side by side in one run."""
