#!/usr/bin/env python
"""Test a trained model: python tools/test.py CONFIG CHECKPOINT --out metrics.json.

The checkpoint must fit the model exactly: a tensor that is missing, unexpected or of another shape is an error.
"""

from mixedae.command_line import argument_parser, import_library, read_config, run


def main() -> None:
    """Parse, check, build mmengine's Runner, load strictly, test, print the metrics."""
    parser = argument_parser(__doc__)
    parser.add_argument("checkpoint", help="what tools/train.py wrote, or any state dict of the whole model")
    parser.add_argument("--out", help="write the metrics to this JSON file")
    args = parser.parse_args()
    cfg = read_config(args)
    cfg.load_from, cfg.resume = None, False  # loaded below: mmengine's way takes what fits and goes on
    cfg.merge_from_dict(args.cfg_options or {})

    from mmengine.dist import is_main_process
    from mmengine.model import is_model_wrapper
    from mmengine.runner import Runner

    from mixedae.engine.atomic import write_json
    from mixedae.engine.check_config import check_launcher, check_sizes
    from mixedae.engine.check_data import check_datasets
    from mixedae.engine.config_keys import check_known_keys
    from mixedae.engine.quiet import quiet_console
    from mixedae.weights import load_model

    quiet_console()
    check_launcher(args.launcher)
    check_sizes(cfg)
    check_datasets(cfg, splits=("test",))
    import_library(cfg)
    check_known_keys(cfg)
    runner = Runner.from_cfg(cfg)
    load_model(runner.model.module if is_model_wrapper(runner.model) else runner.model, args.checkpoint)
    metrics = runner.test()
    if is_main_process():
        for name, value in metrics.items():
            print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
        if args.out:
            write_json(args.out, metrics)


if __name__ == "__main__":
    run(main)
