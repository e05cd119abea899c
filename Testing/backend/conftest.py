"""One thread for torch: two that wait for each other on a busy machine cost five times as much."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
