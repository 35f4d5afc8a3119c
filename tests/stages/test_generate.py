"""stages/generate.py run alone: more pictures."""

import pandas as pd
from stage_helpers import N, Stopping, files


def test_more_pictures_leave_the_first_as_they_are(finished_copy):
    from stages.dag.data import dataset_nodes
    from stages.generate import generate
    from stages.runtime.job import data_job, load_dataset_params
    from stages.runtime.runner import execute

    project = finished_copy
    folder = project.root / "data/images/demo/pictures"
    before = files(folder)
    project.edit({"datasets": {"demo": {"generate": {"images": N + 10}}}})
    execute(
        generate,
        data_job(project.root, dataset_nodes(load_dataset_params(project.root, "demo"))[0], Stopping()),
        None,
    )
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == N + 10
    sizes = pd.Series([name.partition("/")[0] for name in after]).value_counts()
    assert sizes.tolist() == [18] * 10
