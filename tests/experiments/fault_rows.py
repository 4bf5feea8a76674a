"""Faults of `test_fault_table.py` that are no bad data sets, by their row, and their tests."""

ELSEWHERE = {
    1: ["data/test_integrity.py::test_compressed_voxels_count_what_they_decode_to"],
    16: ["data/test_shards.py::test_empty_slices_are_skipped_and_counted"],
    26: [
        "data/test_splits.py::test_scans_of_one_patient_stay_on_one_side",
        "data/test_splits.py::test_a_leaking_or_empty_split_is_refused",
    ],
    27: [
        "experiments/test_names.py::test_hostile_names_are_data_like_any_other",
        "data/brats/test_subjects.py::"
        "test_a_root_that_is_the_patient_folder_and_other_alphabets_in_the_path",
    ],
    29: [
        "utils/runs/test_locking.py::test_a_read_only_folder_is_told_before_anything_else",
        "experiments/engine/test_starting.py::test_a_cache_that_cannot_be_written_is_told_before_training",
    ],
    30: [
        "experiments/test_small_disk.py::"
        "test_a_full_disk_ends_the_run_and_the_printed_command_goes_on",
        "utils/training/test_checkpoints.py::test_a_full_disk_leaves_the_earlier_checkpoints_and_is_named",
        "data/test_full_disk.py::test_a_full_disk_leaves_whole_samples_and_the_set_goes_on",
        "models/test_mm_gan.py::test_a_full_disk_for_slabs_is_named_and_nothing_stays",
    ],
    31: [
        "utils/training/test_checkpoints.py::test_a_killed_save_leaves_the_checkpoint_before_it",
        "experiments/test_killed_runs.py::test_runs_survive_fifty_kills_at_random_moments",
    ],
    32: [
        "data/test_shards.py::test_kill_9_half_way_is_made_good_by_the_next_build",
    ],
    33: [
        "experiments/test_processes.py::test_ctrl_c_saves_and_says_how_to_continue",
        "utils/training/test_signals.py::test_the_second_signal_stops_at_once",
        "utils/training/test_signals.py::test_one_signal_lets_the_loop_come_to_its_end",
    ],
    34: [
        "utils/runs/test_files.py::test_a_file_is_on_the_disk_before_it_gets_its_name",
        "utils/training/test_checkpoints.py::test_both_files_are_on_the_disk_before_the_index_gets_its_name",
    ],
    35: ["experiments/engine/test_resuming.py::test_a_change_has_to_be_allowed"],
    36: [
        "utils/training/test_checkpoints.py::test_networks_that_do_not_fit_are_named",
        "utils/training/test_checkpoints.py::test_a_checkpoint_of_less_than_the_system_is_refused",
        "utils/training/test_checkpoints.py::"
        "test_a_checkpoint_of_more_than_the_system_is_refused_where_training_goes_on",
    ],
    37: [
        "utils/training/test_checkpoints.py::"
        "test_all_readers_pass_by_a_damaged_checkpoint_and_say_so"
    ],
    38: [
        "experiments/engine/test_starting.py::test_a_second_start_ends_with_2_and_touches_nothing",
        "utils/runs/test_locking.py::test_what_a_killed_process_leaves_locks_nobody_out",
    ],
    39: [
        "utils/training/test_trainer.py::test_stop_and_resume_equal_an_uninterrupted_run_bit_by_bit"
    ],
    40: [
        "utils/training/test_faults.py::"
        "test_the_state_before_a_bad_step_is_saved_and_all_is_written_down"
    ],
    41: ["utils/training/test_alarms.py::test_a_storm_of_overflows_is_told"],
    42: [
        "utils/training/test_alarms.py::"
        "test_a_constant_generator_is_told_once_and_a_healthy_one_never"
    ],
    43: [
        "utils/training/test_faults.py::test_too_little_memory_is_told_and_the_checkpoint_kept",
    ],
    44: ["utils/training/test_distribute.py::test_a_run_without_gpu_says_so"],
    45: [
        "experiments/test_faults.py::test_the_other_worker_ends_with_a_sentence",
        "utils/runs/test_cluster.py::test_a_lost_process_is_named",
    ],
    46: [
        "utils/runs/test_cluster.py::test_an_unusable_description_is_told",
        "utils/runs/test_cluster.py::test_a_second_process_with_the_same_index_is_told",
    ],
    47: ["data/test_sharding.py::test_one_file_feeds_any_number_of_workers"],
    48: [
        "utils/runs/test_environment.py::test_wrong_packages_are_named_with_their_remedy",
    ],
    50: [
        "experiments/engine/test_cli.py::test_runs_of_the_same_second_have_folders_of_their_own",
    ],
    51: [
        "data/test_shards.py::test_other_settings_or_sources_get_another_directory",
    ],
    52: [
        "utils/metrics/test_features.py::test_inception_weights_are_checked_before_use",
    ],
    53: [
        "utils/metrics/test_distributions.py::test_too_few_samples_are_warned_about",
    ],
    55: [
        "data/test_integrity.py::test_a_file_that_expands_far_beyond_its_header_is_refused",
        "data/test_integrity.py::test_a_header_that_asks_for_too_much_memory_is_refused",
        "data/test_integrity.py::"
        "test_more_than_the_compressed_bytes_can_hold_is_refused_without_decoding",
        "data/test_integrity.py::test_reading_stops_soon_beyond_what_the_header_promises",
    ],
    56: [
        "test_safety.py::test_no_source_runs_what_it_reads",
        "test_safety.py::test_the_search_finds_it",
        "data/synthetic_sets/test_files.py::test_a_sample_that_is_no_archive_of_arrays_is_named",
        "data/synthetic_sets/test_files.py::test_a_pickled_object_in_a_sample_is_not_run",
    ],
    57: [
        "experiments/engine/test_hostile_settings.py::test_a_file_that_is_no_plain_yaml_is_named",
    ],
    59: ["experiments/test_names.py::test_hostile_names_are_data_like_any_other"],
    60: [
        "utils/reporting/test_tables.py::test_a_formula_becomes_text_and_other_texts_stay",
        "experiments/test_verify_data.py::test_names_of_cases_cannot_harm_terminal_or_spreadsheet",
        "utils/reporting/test_report.py::test_text_from_outside_never_becomes_markup",
    ],
    61: [
        "utils/runs/test_outputs.py::test_a_file_is_made_only_where_none_is",
        "experiments/test_verify_data.py::test_a_table_is_replaced_only_when_told",
    ],
    62: ["test_readme.py::test_servers_are_for_private_networks"],
}
NOT_HERE = {
    49: "there are no optional dependencies: all packages are required at installation",
    54: "no archive is ever unpacked: tests/test_safety.py finds no import that could",
    58: "no model is ever built from a file: tests/test_safety.py finds no call that could",
}
