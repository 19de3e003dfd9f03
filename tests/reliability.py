"""What a trusted trainer must show, and which tests show it here: ``python -m tests.reliability`` prints the table."""

import ast
from pathlib import Path

from mixedae.files import ROOT

EXACT, RESUME, RUNS = "engine/test_exact.py", "engine/test_resuming.py", "engine/test_runs.py"
CONTINUITY, TWO, UNREADABLE = "engine/test_continuity.py", "engine/test_two_processes.py", "engine/test_unreadable.py"
TORCHRUN = "tools/test_torchrun.py"
BATCH, WATCHDOG, CACHE = (
    "engine/hooks/test_effective_batch.py",
    "engine/hooks/test_scaler_watchdog.py",
    "benchmark/store/test_cache.py",
)
Shown = tuple[tuple[str, str], ...]

TABLE: dict[str, tuple[str, Shown]] = {
    "R01": (
        "killed in a save, resumed: the unbroken run's weights",
        (
            (RESUME, "test_r01_a_run_killed_in_a_save_ends_as_the_unbroken_one"),
            ("test_saving.py", "test_r01_a_kill_in_the_middle_of_a_save_leaves_the_old_file_whole"),
        ),
    ),
    "R02": (
        "killed at any step, both loops, workers 0 and 2",
        (
            (EXACT, "test_r02_a_run_killed_at_a_step_ends_as_the_unbroken_one"),
            (EXACT, "test_r02_twenty_kill_points"),
            (EXACT, "test_r02_accumulation_that_does_not_divide_an_epoch"),
        ),
    ),
    "R03": ("signals save and end with their status", ((EXACT, "test_r03_a_signal_saves_and_ends_with_its_status"),)),
    "R04": (
        "a truncated checkpoint is named, the one before is taken",
        ((RESUME, "test_r04_a_truncated_checkpoint_is_named_and_the_one_before_is_taken"),),
    ),
    "R05": ("a flipped byte is found", ((RESUME, "test_r05_a_flipped_byte_is_found"),)),
    "R06": (
        "a full disk: path and bytes, nothing lost",
        (
            ("test_saving.py", "test_r06_a_full_disk_names_path_and_bytes_and_leaves_nothing"),
            (CONTINUITY, "test_r06_no_room_for_two_checkpoints_is_told_before_training"),
        ),
    ),
    "R07": ("the folder decides, not its pointer", ((RESUME, "test_r07_the_folder_is_looked_at_and_not_its_pointer"),)),
    "R08": ("wrong shapes are an error", ((RESUME, "test_weights_that_do_not_fit_are_refused"),)),
    "R09": ("foreign weights are an error", ((RESUME, "test_weights_that_do_not_fit_are_refused"),)),
    "R10": (
        "keys are reported, the fingerprint is the source's",
        (
            ("weights/test_load_backbone.py", "test_any_missing_or_changed_tensor_is_named_and_nothing_is_loaded"),
            ("weights/test_tasks.py", "test_the_fingerprint_of_the_loaded_backbone_is_the_checkpoints"),
        ),
    ),
    "R11": (
        "round trip through three libraries, equal features",
        (
            ("weights/test_export.py", "test_three_libraries_give_the_same_features"),
            ("weights/test_export.py", "test_round_trips_keep_every_bit"),
        ),
    ),
    "R12": (
        "NaN or infinity ends the run within a step",
        (
            (RUNS, "test_a_component_that_is_not_finite_ends_the_run_at_once"),
            (RUNS, "test_weights_that_are_not_finite_are_never_saved"),
        ),
    ),
    "R13": ("a collapsed loss scale ends the run", ((WATCHDOG, "test_k_skipped_steps_in_a_row_end_the_run"),)),
    "R14": ("the seed decides", ((EXACT, "test_r14_the_seed_decides"),)),
    "R15": (
        "hash seed, folder and locale do not matter",
        ((TWO, "test_r15_neither_hashes_nor_place_nor_locale_matter"),),
    ),
    "R16": ("no two epochs share draws", ((EXACT, "test_r16_epochs_draw_anew_whatever_the_workers"),)),
    "R17": ("no two ranks share draws", ((EXACT, "test_r17_processes_share_no_stream"),)),
    "R18": (
        "two processes train as one",
        (
            (TWO, "test_r18_r19_two_processes_train_and_measure_as_one"),
            (TORCHRUN, "test_two_processes_train_as_one"),
            (TORCHRUN, "test_dino_of_two_processes_trains_as_one_with_twice_the_batch"),
        ),
    ),
    "R19": (
        "two processes measure as one",
        (
            (TWO, "test_r18_r19_two_processes_train_and_measure_as_one"),
            (TORCHRUN, "test_two_processes_test_as_one"),
            (TORCHRUN, "test_probes_of_frozen_features"),
        ),
    ),
    "R20": (
        "no file is run",
        (
            (RESUME, "test_r20_a_pickled_object_is_not_run"),
            (RESUME, "test_r20_a_program_in_meta_is_not_run"),
            ("tools/test_train_test.py", "test_resume_and_what_is_refused_by_the_commands"),
        ),
    ),
    "R21": (
        "damaged pictures: verified, skipped and counted, an error in a test",
        (
            (UNREADABLE, "test_few_are_skipped_and_counted_once"),
            (UNREADABLE, "test_a_picture_that_does_not_decode_is_named"),
            ("configs/test_classification.py", "test_a_truncated_jpeg_is_an_error"),
        ),
    ),
    "R22": (
        "counts by split and class",
        (
            ("datasets/verify/test_layouts.py", "test_counts_by_class"),
            ("datasets/test_small_set.py", "test_other_numbers_are_refused_with_the_difference"),
        ),
    ),
    "R23": (
        "the cache's key changes exactly with content",
        (
            (CACHE, "test_key_changes_exactly_with_content"),
            (CACHE, "test_nothing_runs_twice"),
            ("benchmark/run/test_runner.py", "test_a_limited_run_never_stands_for_a_full_one"),
            ("benchmark/run/test_runner.py", "test_two_processes_share_a_suite"),
        ),
    ),
    "R24": (
        "what changes on resume is refused",
        (
            (CONTINUITY, "test_r24_a_change_is_refused_by_name"),
            (TWO, "test_r24_another_number_of_processes_cannot_resume"),
        ),
    ),
    "R25": ("batch and learning rate equal the formula", ((BATCH, "test_table"),)),
    "R26": ("MAE's loss and gradients", (("methods/test_mae.py", "test_loss_and_gradients_equal_mmpretrains"),)),
    "R27": (
        "MixedAE's algebra",
        (
            ("ops/test_mixing.py", "test_unmix_is_eq_3_and_inverts_mix"),
            ("ops/attention/test_homologous.py", "test_values_and_gradients_match_loops"),
            ("methods/test_mixedae.py", "test_permuting_the_images_of_a_group_with_their_segments_changes_nothing"),
        ),
    ),
    "R28": ("few pictures are learnt by heart", (("configs/test_overfit.py", "test_eight_coco_pictures"),)),
    "R29": (
        "parameter groups are MAE's",
        (("engine/test_layer_decay.py", "test_mae_fine_tuning_rule_on_a_timm_model"),),
    ),
    "R30": (
        "schedules, also after a resume",
        (
            (BATCH, "test_resuming_continues_the_schedule"),
            (CONTINUITY, "test_a_longer_run_follows_its_own_schedule"),
        ),
    ),
    "R31": (
        "every recipe builds and takes two steps",
        (("configs/test_full_size_steps.py", "test_two_steps_and_a_test"),),
    ),
    "R32": ("losses are the stored ones", (("golden/test_golden.py", "test_r32_losses_are_the_stored_ones"),)),
    "R33": (
        "released weights have their published accuracy (needs ImageNet and a GPU)",
        (("golden/test_golden.py", "test_r33_released_weights_have_their_published_accuracy"),),
    ),
    "R34": (
        "two trainings in one folder",
        (
            ("test_occupancy.py", "test_r34_a_folder_in_use_is_refused_with_process_and_host"),
            (RESUME, "test_r34_a_runner_does_not_train_in_a_folder_in_use"),
        ),
    ),
    "R35": (
        "a worker that dies or hangs (NCCL: GPU.md)",
        ((UNREADABLE, "test_r35_a_worker_that_dies_or_hangs_ends_the_run"),),
    ),
    "R36": (
        "two checkpoints at least",
        (("engine/hooks/test_checkpoints.py", "test_r36_two_checkpoints_are_there_while_the_next_is_written"),),
    ),
    "R37": ("earlier files load", (("golden/test_golden.py", "test_r37_checkpoints_of_earlier_releases_load"),)),
    "R39": (
        "a rank dies or hangs: all end and name it, resume is exact",
        (
            (TWO, "test_r39_a_rank_that_dies_or_is_stopped_ends_both_and_resume_is_exact"),
            (TORCHRUN, "test_a_process_that_dies_or_hangs_ends_all"),
            (TORCHRUN, "test_stopped_in_an_epoch_and_gone_on_exactly"),
        ),
    ),
}
"""Id, what is shown, and the tests: file below ``tests/`` and function. R38 is ``make test-versions``."""


def missing() -> list[str]:
    """Tests that the table names and that do not exist."""
    functions: dict[str, set[str]] = {}
    lost = []
    for _, tests in TABLE.values():
        for file, name in tests:
            if file not in functions:
                tree = ast.parse((Path(ROOT) / "tests" / file).read_text(encoding="utf-8"))
                functions[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            if name not in functions[file]:
                lost.append(f"{file}::{name}")
    return lost


def main() -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "what", "tests")
    for key, (what, tests) in TABLE.items():
        table.add_row(key, what, "\n".join(f"tests/{file}::{name}" for file, name in tests))
    table.add_row("R38", "other versions", "make test-versions")
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
