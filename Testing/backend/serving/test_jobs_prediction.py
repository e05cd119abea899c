"""The worker with the real training, small: what is trained can be run on a case, here and by the backend."""

from __future__ import annotations

import numpy as np
import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import CaseInUse, HeldOut, JobRequest, PreviewReady, Progress

AFFINE = np.diag([1.0, 1.0, 4.0, 1.0])


def a_bright_ball() -> tuple[np.ndarray, np.ndarray]:
    """An image (10, 48, 48) and strokes on three of its slices."""
    z, y, x = np.ogrid[:10, :48, :48]
    ball = ((z - 5) / 4) ** 2 + ((y - 24) / 14) ** 2 + ((x - 24) / 14) ** 2 < 1
    image = (100 * ball + np.random.default_rng(0).normal(0, 10, ball.shape)).astype(np.float32)
    strokes = np.full(ball.shape, 255, np.uint8)
    for index in (3, 5, 7):
        strokes[index, 23:25, 18:30] = 1
        strokes[index, 3:5, 5:40] = 0
        strokes[index, 5:40, 3:5] = 0
    return image, strokes


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_trained_model_predicts_in_a_worker_what_it_predicts_here(tmp_path, contract, until):
    from training_backend.export.model import load_model

    image, strokes = a_bright_ball()
    with (
        LocalBackend(tmp_path / "root", options=["--no-probe"]) as backend,
        BackendClient(backend.url, backend.token) as client,
    ):
        case = client.upload_case(image, AFFINE)
        revision = client.upload_annotation(case, strokes, contract)
        settings = {"seconds": 60.0, "steps": 12, "device": "cpu", "threads": 1, "channels": 8, "slice_size": 48}
        cases = (CaseInUse(case, revision),)
        job = client.start_job(JobRequest("scribble", contract, cases, settings=settings)).id
        status = until(client, job, seconds=120)
        assert (status.state, status.model) == ("done", 1), status
        kinds = {type(event.payload) for event in client.history(job)}
        assert {PreviewReady, Progress, HeldOut} <= kinds

        prediction = client.predict(1, case)
        assert prediction.method == "predict"
        assert until(client, prediction.id, seconds=100).state == "done"
        labels = client.preview(prediction.id, 1).labels
        model = load_model(client.download_model(1, tmp_path / "model"), "cpu")
        # Not every voxel: another number of threads adds up in another order.
        assert np.mean(labels == model.predict(image, AFFINE)) > 0.99
        assert 0 < (labels == 1).sum() < labels.size


def test_a_prediction_that_cannot_run_says_why(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = until(client, start_job(client, 1.0, 6).id)
        case = client.upload_case(a_bright_ball()[0], AFFINE)
        status = until(client, client.predict(job.model, case).id, seconds=60)
        assert status.state == "failed"
        assert "not a model folder" in status.sentence
        assert client.predict(job.model, case).sentence == ""
