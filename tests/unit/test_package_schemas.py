"""The metadata of packages, read by the tools that publish their schemas: PlatformIO Core, Espressif's component
manager and kconfiglib. What has no such tool in Python is held against its specification in `test_packages`."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from edgeprune.codegen.packages import VERSION, render
from edgeprune.device import load_device
from tests.support.packaged import library, write


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    device, place = load_device("nucleo-l4r5zi"), tmp_path_factory.mktemp("packages")
    sources = library("flatten", device)
    for name in ("platformio", "esp-idf", "zephyr"):
        write(place / name, render(name, sources, device))
    return place


def test_platformio_core_takes_the_manifest(packages: Path) -> None:
    """Its parser, and its ManifestSchema (platformio/package/manifest/schema.py, Apache-2.0), which is strict."""
    from platformio.package.manifest.parser import ManifestParserFactory
    from platformio.package.manifest.schema import ManifestSchema, ManifestValidationError

    folder = packages / "platformio" / "flatten"
    values = ManifestParserFactory.new_from_dir(str(folder)).as_dict()
    found = ManifestSchema().load_manifest(values)
    assert (found["name"], found["version"]) == ("flatten", VERSION)
    assert found["headers"] == ["flatten.h"]
    with pytest.raises(ManifestValidationError):
        ManifestSchema().load_manifest({**values, "keywords": ["Not Lower_Case!"]})


def test_the_component_manager_takes_the_manifest(packages: Path) -> None:
    """Its JSON schema, which Espressif publishes from the same model, and its loader."""
    from idf_component_tools.manager import ManifestManager
    from idf_component_tools.manifest import MANIFEST_JSON_SCHEMA

    folder = packages / "esp-idf" / "flatten"
    values = yaml.safe_load((folder / "idf_component.yml").read_text())
    jsonschema.validate(values, MANIFEST_JSON_SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "dependencies": 1}, MANIFEST_JSON_SCHEMA)
    manager = ManifestManager(str(folder), "flatten")
    assert not manager.validation_errors, manager.validation_errors
    manifest = manager.load()
    assert str(manifest.version) == VERSION
    assert json.loads(manifest.model_dump_json())["description"] == values["description"]


def test_kconfiglib_reads_the_options_of_the_module(packages: Path) -> None:
    import kconfiglib

    options = kconfiglib.Kconfig(str(packages / "zephyr" / "zephyr" / "Kconfig"), warn_to_stderr=False)
    assert not options.warnings
    assert "EDGEPRUNE_FLATTEN" in options.syms
    assert options.syms["EDGEPRUNE_FLATTEN"].type == kconfiglib.BOOL
    assert all(symbol.name.startswith("EDGEPRUNE_FLATTEN") for symbol in options.unique_defined_syms)
