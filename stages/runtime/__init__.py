"""What a stage runs with: its job (inputs, outputs, parameters, random state), threads, device, memory and locks,
and how it tells progress and timings.

`runner` wraps every stage, whether DVC or `pipeline run` starts it. What a stage computes is not here.
"""
