"""All that knows how DVC records stages: generated dvc.yaml files, dvc.lock files, hashes, and the engine that runs.

`recorder` alone imports DVC. Here it is known what is up to date; what a user asks for, and refusing it, is above.
"""
