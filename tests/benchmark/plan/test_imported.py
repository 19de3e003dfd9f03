"""A user's own method outside the package: its file is part of the recipe, and an import that fails is told."""

from pathlib import Path

import pytest

from mixedae.benchmark.plan.imported import check_imports, hash_of_modules, own_modules
from mixedae.benchmark.plan.recipe import read_config, recipe_of
from mixedae.errors import ConfigError
from mixedae.files import ROOT

METHOD = '''"""Half of MAE's masks."""

from mixedae.methods import MAE
from mixedae.registry import MODELS


@MODELS.register_module()
class {name}(MAE):
    """MAE with another default ratio.

    Args:
        **kwargs: see :class:`mixedae.methods.MAE`.
    """

    def __init__(self, **kwargs):
        super().__init__(mask_ratio={ratio}, **kwargs)
'''
CONFIG = f'''_base_ = "{ROOT}/mm_configs/mini/pretrain/mae_vit-mini-p8_1xb64-coslr-15e_mini.py"
custom_imports = dict(imports=["mixedae.registry", "MODULE"])
model = dict(type="mixedae.NAME")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A module and a config that names it."""
    name = f"own_{abs(hash(request.node.name)) % 10**8}"
    module, config = tmp_path / f"{name}.py", tmp_path / "own_method.py"
    module.write_text(METHOD.format(name=f"Own{name[4:]}", ratio=0.5))
    config.write_text(CONFIG.replace("MODULE", name).replace("NAME", f"Own{name[4:]}"))
    monkeypatch.syspath_prepend(tmp_path)
    return module, config


def test_an_edited_module_is_another_recipe(own: tuple[Path, Path]) -> None:
    module, config = own
    first = recipe_of(read_config(config), config)
    assert first.modules == (module.stem,)
    assert recipe_of(read_config(config), config).hash == first.hash
    module.write_text(module.read_text().replace("0.5", "0.6"))
    assert recipe_of(read_config(config), config).hash != first.hash


def test_packages_count_with_all_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "own_package_of_methods"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "method.py").write_text("x = 1")
    monkeypatch.syspath_prepend(tmp_path)
    first = hash_of_modules([package.name])
    (package / "method.py").write_text("x = 2")
    assert hash_of_modules([package.name]) != first


def test_libraries_are_left_to_their_versions() -> None:
    config = {"custom_imports": {"imports": ["mixedae.registry", "mmpretrain.models", "mine.method"]}}
    assert own_modules(config) == ["mine.method"]
    assert own_modules({}) == [] and own_modules({"custom_imports": {"imports": "mine"}}) == ["mine"]


def test_an_import_that_fails_is_told_with_what_to_do(own: tuple[Path, Path]) -> None:
    module, config = own
    check_imports([module.stem])
    with pytest.raises(ConfigError, match=r"there is no module not_there_at_all; put its folder on PYTHONPATH"):
        hash_of_modules(["not_there_at_all"])
    broken = module.with_name("broken_" + module.name)
    broken.write_text("import no_such_library_here")
    with pytest.raises(ConfigError, match=r"cannot be imported \(ModuleNotFoundError: .*no_such_library_here.*mend it"):
        check_imports([broken.stem])
    config.write_text(config.read_text().replace(module.stem, "not_there_at_all"))
    with pytest.raises(ConfigError, match="not_there_at_all"):
        recipe_of(read_config(config), config)
