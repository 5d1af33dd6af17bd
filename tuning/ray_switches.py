"""Switches of Ray that it reads from the environment as it is imported; commands set them."""

import os

_SWITCHES = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the user's machines
    "RAY_enable_metrics_collection": "0",
    "RAY_worker_niceness": "0",  # that of the command: Ray's 15 starves them on a busy machine
    # Ray starts a worker for each core, and Tune's actors take none: they bring an environment.
    "RAY_prestart_worker_first_driver": "0",
    # Each is 30 s, too few on a busy machine.
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_AIR_NEW_OUTPUT": "0",  # our rows are the only log, and our display the only one
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


def set_switches() -> None:
    """Set what the user has not set; to be called before Ray is imported."""
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
