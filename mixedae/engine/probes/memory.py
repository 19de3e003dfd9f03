"""How much memory patches take, and how much there is: said before any feature is computed."""

from mixedae.errors import ConfigError


def check_memory(patches: int, width: int, copies: int, available: int | None) -> None:
    """Refuse a number of patches that does not fit, before any feature is computed.

    Args:
        patches: P.
        width: D.
        copies: of the features in float32.
        available: bytes; None where nobody knows.

    Raises:
        ConfigError: naming the size and what would fit.
    """
    needed = patches * width * 4 * copies
    if available is not None and needed > available:
        raise ConfigError(
            f"train_cfg.patches={patches:,} with {width} features each would take {needed / 1e9:.1f} GB, and "
            f"{available / 1e9:.1f} GB are free; {available // (width * 4 * copies):,} patches would fit"
        )


def available_memory() -> int | None:
    """Bytes that may be used, or None where the system does not tell (it is Linux's ``MemAvailable``)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
