"""The guards of trainings and their checkpoints, as those of `tests/guard_table.py`."""

from __future__ import annotations

from tests.guard_table import tested

_CHECKPOINTS = "utils/training/checkpoints.py"
_CHECKPOINT_TESTS = "utils/training/test_checkpoints.py"
_CLUSTER = "utils/runs/cluster.py"
_CLUSTER_TESTS = "utils/runs/test_cluster.py"
_TRAINER = "utils/training/trainer.py"
_FAULT_TESTS = "utils/training/test_faults.py"
_NOTHING = "except ZeroDivisionError as error:"

TRAINING = (
    tested(
        31,
        _CHECKPOINTS,
        "unfinished = _never_complete(directory)",
        "unfinished = set()",
        f"{_CHECKPOINT_TESTS}::test_a_killed_save_leaves_the_checkpoint_before_it",
    ),
    tested(
        33,
        "utils/training/signals.py",
        "elif time.monotonic() - first > SAME_REQUEST:",
        "elif False:",
        "utils/training/test_signals.py::test_the_second_signal_stops_at_once",
    ),
    tested(
        33,
        "utils/training/signals.py",
        "self._previous[number] = signal.signal(number, self._note)",
        "pass",
        "utils/training/test_signals.py::test_one_signal_lets_the_loop_come_to_its_end",
    ),
    tested(
        34,
        _CHECKPOINTS,
        "                sync(file)\n",
        "                pass\n",
        f"{_CHECKPOINT_TESTS}::test_both_files_are_on_the_disk_before_the_index_gets_its_name",
    ),
    tested(
        35,
        "experiments/engine/resuming.py",
        "if changes and not options.allow_config_change:",
        "if False:",
        "experiments/engine/test_resuming.py::test_a_change_has_to_be_allowed",
    ),
    tested(
        36,
        _CHECKPOINTS,
        "_RESTORE_ERRORS = (AssertionError, *_READ_ERRORS)",
        "_RESTORE_ERRORS = (AssertionError,)",
        f"{_CHECKPOINT_TESTS}::test_networks_that_do_not_fit_are_named",
    ),
    tested(
        36,
        _CHECKPOINTS,
        "loaded.assert_consumed()",
        "pass",
        f"{_CHECKPOINT_TESTS}::test_a_checkpoint_of_less_than_the_system_is_refused",
        f"{_CHECKPOINT_TESTS}::"
        "test_a_checkpoint_of_more_than_the_system_is_refused_where_training_goes_on",
    ),
    tested(
        36,
        _CHECKPOINTS,
        "state.restore(newest).expect_partial().assert_existing_objects_matched()",
        "state.restore(newest).expect_partial()",
        f"{_CHECKPOINT_TESTS}::test_a_checkpoint_of_less_than_the_system_is_refused",
    ),
    tested(
        37,
        _CHECKPOINTS,
        "reason = _damage(str(directory / prefix))",
        "reason = None",
        f"{_CHECKPOINT_TESTS}::test_all_readers_pass_by_a_damaged_checkpoint_and_say_so",
    ),
    tested(
        39,
        _TRAINER,
        "if last or overdue or stopping:",
        "if last or overdue:",
        "utils/training/test_trainer.py::"
        "test_stop_and_resume_equal_an_uninterrupted_run_bit_by_bit",
    ),
    tested(
        40,
        "utils/training/distribute.py",
        "finite = tf.reduce_all(tf.math.is_finite([update.norm for update in guarded]))",
        "finite = tf.constant(True)",
        f"{_FAULT_TESTS}::test_the_state_before_a_bad_step_is_saved_and_all_is_written_down",
    ),
    tested(
        40,
        _TRAINER,
        "        if not finite:",
        "        if False:",
        f"{_FAULT_TESTS}::test_the_state_before_a_bad_step_is_saved_and_all_is_written_down",
    ),
    tested(
        41,
        _TRAINER,
        'self._alarms.see({k: v for k, v in terms.items() if k.startswith("loss_scale/")})',
        "pass",
        "utils/training/test_alarms.py::test_a_storm_of_overflows_is_told",
    ),
    tested(
        42,
        _TRAINER,
        "self._alarms.see(figures)",
        "pass",
        "utils/training/test_alarms.py::"
        "test_a_constant_generator_is_told_once_and_a_healthy_one_never",
    ),
    tested(
        43,
        "utils/training/faults.py",
        "except tf.errors.ResourceExhaustedError as error:",
        _NOTHING,
        f"{_FAULT_TESTS}::test_too_little_memory_is_told_and_the_checkpoint_kept",
    ),
    tested(
        44,
        "utils/training/distribute.py",
        '        return "training on the CPU: TensorFlow sees no GPU"\n',
        "        return None\n",
        "utils/training/test_distribute.py::test_a_run_without_gpu_says_so",
    ),
    tested(
        45,
        _CLUSTER,
        "except tf.errors.OpError as error:",
        _NOTHING,
        f"{_CLUSTER_TESTS}::test_a_lost_process_is_named",
    ),
    tested(
        46,
        _CLUSTER,
        "    _check_port(cluster)\n",
        "",
        f"{_CLUSTER_TESTS}::test_a_second_process_with_the_same_index_is_told",
    ),
    tested(
        46,
        _CLUSTER,
        "except ValueError as problem:",
        "except ZeroDivisionError as problem:",
        f"{_CLUSTER_TESTS}::test_an_unusable_description_is_told",
    ),
    tested(
        47,
        "data/pipeline.py",
        "    if pipelines > 1:",
        "    if False:",
        "data/test_sharding.py::test_one_file_feeds_any_number_of_workers",
    ),
)
