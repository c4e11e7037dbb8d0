"""How the Celery application is set up, and how a worker is laid out over a machine."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.queue import CLASSIFY, EXPLAIN, REPORT
from core.settings import Settings
from core.states import Lane
from ml.serving.inference import gpu_possible
from worker.app import HARD_SECONDS, Shape, create_app, settings_of
from worker.main import gpu_expected, serve, shape
from worker.tasks import classify_shard, explain_image, make_report


def test_the_settings_that_keep_work_alive_stand() -> None:
    conf = create_app(Settings(), Shape(2, 1)).conf
    assert conf.task_acks_late and conf.task_reject_on_worker_lost and conf.task_ignore_result
    assert not conf.task_retry_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert (conf.task_soft_time_limit, conf.task_time_limit) == (120, 180)
    assert conf.worker_proc_alive_timeout == 120
    assert conf.worker_soft_shutdown_timeout > 0
    assert conf.result_backend is None
    assert conf.broker_connection_max_retries is None


def test_only_a_forked_process_is_replaced_when_it_has_grown() -> None:
    assert create_app(Settings(), Shape(2, 1)).conf.worker_max_memory_per_child
    assert not create_app(Settings(), Shape(1, 8, "spawn")).conf.worker_max_memory_per_child


def test_no_task_outlives_the_time_after_which_its_message_comes_again() -> None:
    options = create_app(Settings(), Shape(2, 1)).conf.broker_transport_options
    for seconds in (HARD_SECONDS, classify_shard.time_limit, make_report.time_limit):
        assert (seconds or 0) < options["visibility_timeout"]


def test_the_lanes_are_served_in_their_order() -> None:
    app = create_app(Settings(), Shape(2, 1))
    assert list(app.amqp.queues) == [lane.value for lane in Lane]
    assert app.conf.broker_transport_options["queue_order_strategy"] == "priority"


def test_the_tasks_go_by_the_names_that_are_rung_for() -> None:
    names = (classify_shard.name, make_report.name, explain_image.name)
    assert names == (CLASSIFY, REPORT, EXPLAIN)


def test_a_process_that_is_started_afresh_gets_the_same_settings(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, laboratory="Somewhere", secret_key="s" * 32)
    app = create_app(settings, Shape(1, 3, "spawn"))
    again = pickle.loads(pickle.dumps(app))
    assert settings_of(again) == settings
    assert again.conf.hematovision_threads == 3


def test_cores_are_shared_out_over_the_processes() -> None:
    assert shape(0, 0, cores=4, gpu=lambda: False) == Shape(4, 1, "fork")
    assert shape(2, 0, cores=8, gpu=lambda: False) == Shape(2, 4, "fork")
    assert shape(3, 0, cores=2, gpu=lambda: False) == Shape(3, 1, "fork")
    assert shape(2, 5, cores=2, gpu=lambda: False) == Shape(2, 5, "fork")


def test_a_gpu_is_served_by_one_process_that_is_not_forked() -> None:
    assert shape(0, 0, cores=16, gpu=lambda: True) == Shape(1, 16, "spawn")
    assert shape(4, 2, cores=16, gpu=lambda: True) == Shape(1, 2, "spawn")


def test_a_device_file_beside_a_tensorflow_that_sees_no_gpu_is_no_gpu(tmp_path: Path) -> None:
    """TensorFlow is asked for real: a file says that there is a GPU, and it sees none."""
    (tmp_path / "nvidia0").touch()
    assert gpu_possible({}, tmp_path)
    assert not gpu_expected(tmp_path)
    assert not gpu_expected(tmp_path, seconds=0.01)


def test_only_where_a_gpu_is_expected_do_processes_look_for_one() -> None:
    assert Shape(4, 1).device == "cpu"
    assert Shape(1, 16, "spawn").device == "auto"


def test_a_missing_model_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="The model can't be used"):
        serve(Settings(data=tmp_path, bundle=str(tmp_path / "none")), processes=1, threads=1)


def test_the_parent_loads_neither_tensorflow_nor_onnx_runtime() -> None:
    code = (
        "import sys, worker.main, worker.tasks, worker.parent\n"
        "worker.main.shape(0, 0)\n"
        "print([m for m in ('tensorflow', 'onnxruntime', 'flask') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
