"""A job whose cases are of two kinds of image, through the real server and worker."""

from __future__ import annotations

import numpy as np
import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest, PreviewReady, Warned
from training_backend.data.phantom import CONTRACT, phantom

AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_assistants_teach_and_are_never_previewed(tmp_path, until):
    with (
        LocalBackend(tmp_path / "root", options=["--no-probe"]) as backend,
        BackendClient(backend.url, backend.token) as client,
    ):
        cases = []
        for seed in range(3):
            image, labels = phantom((8, 32, 32), seed=seed)
            case = client.upload_case(image if seed == 0 else 500.0 - image, AFFINE)
            revision = client.upload_annotation(case, labels, CONTRACT, kind="dense")
            cases.append(CaseInUse(case, revision, "dense", role="target" if seed == 0 else "assistant"))
        settings = {"steps": 6, "device": "cpu", "threads": 1, "channels": 4, "levels": 3, "slice_size": 32}
        job = client.start_job(JobRequest("cross_modality", CONTRACT, tuple(cases), settings=settings)).id
        status = until(client, job, seconds=200)
        assert (status.state, status.model) == ("done", 1), status
        events = [event.payload for event in client.history(job)]
        shown = {payload.case for payload in events if isinstance(payload, PreviewReady)}
        assert shown == {cases[0].case}
        assert not any("no assistant cases" in payload.sentence for payload in events if isinstance(payload, Warned))
