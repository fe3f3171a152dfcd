"""How data lies in files: image files, masks, lists of classes and splits, and what other tools write."""
