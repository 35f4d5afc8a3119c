"""Section 3 of the paper on arrays and tensors: no file name, no DVC, no command line."""
