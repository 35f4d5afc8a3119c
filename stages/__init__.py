"""The stages of the pipeline: one module = one DVC stage."""
