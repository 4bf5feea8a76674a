"""The guards of files, folders, settings and outputs, as those of `tests/guard_table.py`."""

from __future__ import annotations

from tests.guard_table import tested

_CHECKPOINT_TESTS = "utils/training/test_checkpoints.py"
_FILES = "utils/runs/files.py"
_LOCKING = "utils/runs/locking.py"
_NOTHING = "except ZeroDivisionError as error:"
_SAFETY = "tests/test_safety.py"

AROUND = (
    tested(
        16,
        "data/brats/preparation.py",
        "kept = np.flatnonzero(np.ptp(images, axis=(1, 2)).any(axis=-1))",
        "kept = np.arange(len(images))",
        "data/test_shards.py::test_empty_slices_are_skipped_and_counted",
    ),
    tested(
        26,
        "data/brats/namings.py",
        "            return match[1]\n",
        "            return case_id\n",
        "data/test_splits.py::test_scans_of_one_patient_stay_on_one_side",
    ),
    tested(
        26,
        "data/splits.py",
        "        if wrong:",
        "        if False:",
        "data/test_splits.py::test_a_leaking_or_empty_split_is_refused",
    ),
    tested(
        27,
        "data/shards.py",
        'path = folder / f"{number:04d}.tfrecord"',
        'path = folder / f"{case.id}.tfrecord"',
        "experiments/test_names.py::test_hostile_names_are_data_like_any_other",
    ),
    tested(
        29,
        _LOCKING,
        'except OSError as error:\n        raise UserError(\n            f"Cannot write',
        f'{_NOTHING}\n        raise UserError(\n            f"Cannot write',
        "utils/runs/test_locking.py::test_a_read_only_folder_is_told_before_anything_else",
    ),
    tested(
        29,
        "data/brats/phantom.py",
        "    except OSError as error:",
        f"    {_NOTHING}",
        "experiments/engine/test_starting.py::"
        "test_a_cache_that_cannot_be_written_is_told_before_training",
    ),
    tested(
        30,
        _FILES,
        "full = any(words in str(error) for words in _FULL)",
        "full = False",
        f"{_CHECKPOINT_TESTS}::test_a_full_disk_leaves_the_earlier_checkpoints_and_is_named",
        "data/test_full_disk.py::test_a_full_disk_leaves_whole_samples_and_the_set_goes_on",
    ),
    tested(
        32,
        "data/shards.py",
        "with making_folder(directory, _bytes(dataset, len(cases), config)) as building:",
        "directory.mkdir(parents=True)\n        for building in [directory]:",
        "data/test_shards.py::test_kill_9_half_way_is_made_good_by_the_next_build",
    ),
    tested(
        34,
        _FILES,
        "            sync(temporary)\n        for temporary, path",
        "            pass\n        for temporary, path",
        "utils/runs/test_files.py::test_a_file_is_on_the_disk_before_it_gets_its_name",
    ),
    tested(
        38,
        _LOCKING,
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "experiments/engine/test_starting.py::test_a_second_start_ends_with_2_and_touches_nothing",
    ),
    tested(
        38,
        _LOCKING,
        "os.O_RDWR | os.O_CREAT, 0o644",
        "os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644",
        "utils/runs/test_locking.py::test_what_a_killed_process_leaves_locks_nobody_out",
    ),
    tested(
        48,
        "utils/runs/environment.py",
        "    if found:",
        "    if False:",
        "utils/runs/test_environment.py::test_wrong_packages_are_named_with_their_remedy",
    ),
    tested(
        50,
        "experiments/engine/cli.py",
        "{secrets.token_hex(3)}",
        "000000",
        "experiments/engine/test_cli.py::test_runs_of_the_same_second_have_folders_of_their_own",
    ),
    tested(
        51,
        "data/shards.py",
        "description, asdict(config), sources]",
        "description, sources]",
        "data/test_shards.py::test_other_settings_or_sources_get_another_directory",
    ),
    tested(
        52,
        "utils/metrics/features.py",
        "    check_inception_weights(weights)\n",
        "",
        "utils/metrics/test_features.py::test_inception_weights_are_checked_before_use",
    ),
    tested(
        53,
        "utils/metrics/distributions.py",
        "if is_rank_deficient(smaller, width):",
        "if False:",
        "utils/metrics/test_distributions.py::test_too_few_samples_are_warned_about",
    ),
    tested(
        56,
        "utils/runs/reading.py",
        "np.load(file, allow_pickle=False)",
        "np.load(file, allow_pickle=True)",
        "test_safety.py::test_no_source_runs_what_it_reads",
        "data/synthetic_sets/test_files.py::test_a_pickled_object_in_a_sample_is_not_run",
    ),
    tested(
        56,
        "utils/runs/reading.py",
        "EOFError, BadZipFile)",
        "EOFError)",
        "data/synthetic_sets/test_files.py::test_a_sample_that_is_no_archive_of_arrays_is_named",
    ),
    tested(
        56,
        _SAFETY,
        "or forbidden(name)\n",
        "\n",
        "test_safety.py::test_the_search_finds_it[from keras.models import load_model as read]",
    ),
    tested(
        57,
        "experiments/engine/cli.py",
        "check_yaml(Path(file))",
        "pass",
        "experiments/engine/test_hostile_settings.py::test_a_file_that_is_no_plain_yaml_is_named",
    ),
    tested(
        59,
        "utils/runs/names.py",
        '"_" if x in _MARKUP else x for x in printable(name)',
        "x for x in printable(name)",
        "experiments/test_names.py::test_hostile_names_are_data_like_any_other",
    ),
    tested(
        60,
        "utils/reporting/tables.py",
        """f"'{text}" if""",
        "text if",
        "utils/reporting/test_tables.py::test_a_formula_becomes_text_and_other_texts_stay",
    ),
    tested(
        60,
        "experiments/verify_data.py",
        "writer.writerow([spreadsheet_text(cell) for cell in row])",
        "writer.writerow(row)",
        "experiments/test_verify_data.py::test_names_of_cases_cannot_harm_terminal_or_spreadsheet",
    ),
    tested(
        60,
        "utils/reporting/report.py",
        "escape=True",
        "escape=False",
        "utils/reporting/test_report.py::test_text_from_outside_never_becomes_markup",
    ),
    tested(
        61,
        "utils/runs/outputs.py",
        "if path.exists() and not overwrite:",
        "if False:",
        "utils/runs/test_outputs.py::test_a_file_is_made_only_where_none_is",
    ),
    tested(
        61,
        "experiments/verify_data.py",
        'check_output_file("--out", options.out, options.overwrite)',
        "pass",
        "experiments/test_verify_data.py::test_a_table_is_replaced_only_when_told",
    ),
)
