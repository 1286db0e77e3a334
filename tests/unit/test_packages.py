"""Discovery and rendering of packages, and their metadata against what each format's specification demands."""

from __future__ import annotations

import functools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from edgeprune import templating
from edgeprune.cli.options import merge_settings
from edgeprune.codegen import Sources
from edgeprune.codegen import packages as module
from edgeprune.codegen.packages import VERSION, check_packages, packages, render, render_all
from edgeprune.config import Settings
from edgeprune.device import load_device
from edgeprune.errors import UsageError
from edgeprune.pipeline import deploy
from edgeprune.resources import resource_dir
from edgeprune.version import __version__
from tests.support.packaged import library

DEVICE = "nucleo-l4r5zi"


@functools.cache
def sources() -> Sources:
    return library("flatten", load_device(DEVICE))


def rendered(name: str, device: str = DEVICE) -> dict[str, str]:
    return render(name, sources(), load_device(device))


@pytest.mark.parametrize("name", packages())
def test_package_is_as_reviewed(name: str, snapshot: SnapshotAssertion) -> None:
    """All but the library's own files, which test_codegen shows."""
    own = set(sources().files.values()) | {rendered(name).get("flatten.c")}
    steady = {__version__: "VERSION", f"{sources().arena_bytes} bytes": "ARENA bytes"}
    texts = {path: text for path, text in rendered(name).items() if text not in own}
    for found, written in steady.items():
        texts = {path: text.replace(found, written) for path, text in texts.items()}
    assert texts == snapshot


@pytest.mark.parametrize("name", packages())
@pytest.mark.parametrize("device", [DEVICE, "esp32c3", "host"])
def test_files_are_whole_and_always_the_same(name: str, device: str) -> None:
    files = rendered(name, device)
    assert files == rendered(name, device)
    for path, text in files.items():
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", path) and not path.startswith("/"), path
        assert text.isascii() and text.endswith("\n"), path
        assert "{{" not in text.replace("${{", "") and "{%" not in text, path
    carried = set(sources().files.values()) & set(files.values())
    assert carried == set(sources().files.values()) or name == "amalgamation"


@pytest.mark.parametrize("name", ["arduino", "cmsis-pack", "zephyr"])
def test_working_memory_is_that_of_all_parts_of_the_arena(name: str) -> None:
    split = replace(sources(), more_arenas=(("BANK1", 768),))
    stated = f"{sources().arena_bytes + 768} bytes of working memory"
    assert any(stated in text for text in render(name, split, load_device(DEVICE)).values())


def test_formats_are_asked_for_by_name() -> None:
    assert check_packages(["cmake", "arduino, zephyr", "cmake"]) == ("cmake", "arduino", "zephyr")
    assert check_packages(Settings(Path("m.onnx"), "host").package) == ("cmake",)
    assert check_packages([]) == ()
    with pytest.raises(
        UsageError, match=r"^--package 'yocto' is not known: choose among amalgamation, arduino, "
    ):
        check_packages(["cmake,yocto"])


@pytest.mark.parametrize("value", ['"arduino,cmake"', '["arduino", "cmake"]'])
def test_formats_are_a_key_of_the_settings_file(value: str, tmp_path: Path) -> None:
    file = tmp_path / "edgeprune.toml"
    file.write_text(f"package = {value}\n")
    settings = merge_settings(file, {"model": Path("m.onnx"), "device": "host"})
    assert check_packages(settings.package) == ("arduino", "cmake")
    settings = merge_settings(file, {"model": Path("m.onnx"), "device": "host", "package": ("zephyr",)})
    assert check_packages(settings.package) == ("zephyr",)


def test_an_unknown_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="yocto"):
        deploy(Settings(Path("missing.onnx"), "host", package=("yocto",)))


def test_packages_of_several_formats_have_a_folder_each() -> None:
    files = render_all(["arduino,cmake"], sources(), load_device(DEVICE))
    assert {path.split("/")[0] for path in files} == {"arduino", "cmake"}
    assert {"arduino/flatten/library.properties", "cmake/CMakeLists.txt"} < files.keys()


@pytest.fixture
def own_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in place of `templates/`."""
    monkeypatch.setattr(module, "resource_dir", lambda _: tmp_path)
    monkeypatch.setattr(templating, "resource_dir", lambda _: tmp_path)
    templating._environment.cache_clear()
    yield tmp_path
    templating._environment.cache_clear()


def test_a_new_format_is_a_new_folder(own_templates: Path) -> None:
    """The example of docs/packages.md: two files."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "packages.md").read_text(encoding="utf-8")
    for block in re.findall(r"```\w+\n(.*?)```", page[page.index("## Adding a format") :], re.DOTALL):
        place = re.search(r"# templates/(\S+)", block)
        assert place is not None
        (own_templates / place[1]).parent.mkdir(parents=True, exist_ok=True)
        (own_templates / place[1]).write_text(block)
    (own_templates / "package" / "makefile" / "empty.j2").write_text("{% if device.mve %}Helium{% endif %}\n")
    assert packages() == ("makefile",)
    files = rendered("makefile")
    assert files.keys() == {"flatten.mk", *(f"flatten/{name}" for name in sources().files)}
    assert (
        "SOURCES += $(addprefix flatten/,flatten.c flatten_weights.c flatten_self_test.c)"
        in files["flatten.mk"]
    )


def test_templates_are_found_where_resources_are() -> None:
    assert (resource_dir("templates") / "package" / "cmake" / "package.toml").is_file()


def test_arduino_properties_follow_the_library_specification() -> None:
    """https://docs.arduino.cc/arduino-cli/library-specification, format 1.5, revision 2.2."""
    files = rendered("arduino")
    lines = files["flatten/library.properties"].splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    required = {
        "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
    }  # fmt: skip
    assert properties.keys() >= required and all(properties[name] for name in required)
    assert properties.keys() - required <= {
        "depends",
        "dot_a_linkage",
        "includes",
        "precompiled",
        "ldflags",
    }
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]*", properties["name"]) and len(properties["name"]) <= 63
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["category"] in {
        "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
        "Data Processing", "Other",
    }  # fmt: skip
    assert f"flatten/src/{properties['includes']}" in files
    assert "flatten/examples/SelfTest/SelfTest.ino" in files, "a sketch has its folder's name"
    keywords = [line for line in files["flatten/keywords.txt"].splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\w+\t(KEYWORD[123]|LITERAL1)", line) for line in keywords)


def test_platformio_manifest_follows_its_schema() -> None:
    """platformio/package/manifest/schema.py of PlatformIO Core, and docs.platformio.org on library.json."""
    files = rendered("platformio")
    manifest = json.loads(files["flatten/library.json"])
    assert re.fullmatch(r"[^:;/,@<>]{1,100}", manifest["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert 1 <= len(manifest["description"]) <= 1000
    assert all(re.fullmatch(r"[a-z\d\-+. ]{1,50}", keyword) for keyword in manifest["keywords"])
    assert all(1 <= len(author["name"]) <= 50 for author in manifest["authors"])
    for key in ("frameworks", "platforms"):
        assert all(re.fullmatch(r"[a-z\d\-_]+|\*", name) for name in manifest[key])
    build = manifest["build"]
    assert build.keys() <= {
        "includeDir",
        "srcDir",
        "srcFilter",
        "flags",
        "unflags",
        "libArchive",
        "extraScript",
    }
    assert f"flatten/{build['includeDir']}/{manifest['headers']}" in files
    assert f"flatten/{build['srcDir']}/flatten.c" in files
    for example in manifest["examples"]:
        assert re.fullmatch(r"[a-zA-Z\d\-_/]{1,100}", example["name"])
        assert {f"flatten/{example['base']}/{name}" for name in example["files"]} <= files.keys()


def test_pack_description_follows_the_schema() -> None:
    """Structure and patterns of PACK.xsd 1.7.28 (Open-CMSIS-Pack-Spec), as far as the description uses them."""
    files = rendered("cmsis-pack")
    name = "edgeprune.flatten.pdsc"
    root = ElementTree.fromstring(files[name])
    assert root.tag == "package" and re.fullmatch(r"\d+\.\d+(\.\d+)?", root.attrib["schemaVersion"])
    assert name == f"{root.findtext('vendor')}.{root.findtext('name')}.pdsc"
    tags = [child.tag for child in root]
    assert len(set(tags)) == len(tags)
    assert {"name", "vendor", "description", "url", "releases"} <= set(tags)
    assert set(tags) <= {
        "name",
        "vendor",
        "description",
        "url",
        "releases",
        "keywords",
        "taxonomy",
        "components",
    }
    for tag in ("name", "vendor"):
        assert re.fullmatch(r"[\-_A-Za-z0-9]+", root.findtext(tag) or "")
    assert len(root.findtext("description") or "") <= 256
    assert all(release.attrib.keys() >= {"version"} for release in root.findall("releases/release"))
    assert root.find("releases/release") is not None
    (component,) = root.findall("components/component")
    assert component.attrib.keys() >= {"Cclass", "Cgroup", "Cversion"}
    assert component.attrib["Cversion"] == VERSION
    assert [child.tag for child in component] == ["description", "files"]
    categories = {"doc", "include", "header", "source"}
    for file in component.findall("files/file"):
        assert file.attrib["category"] in categories
        assert file.attrib.keys() <= {"category", "name", "attr", "select"}
        path = file.attrib["name"]
        if file.attrib["category"] == "include":
            assert path.endswith("/") and any(held.startswith(path) for held in files)
        else:
            assert path in files
        assert (file.attrib.get("attr") == "template") == ("select" in file.attrib)


def test_zephyr_module_follows_its_schema() -> None:
    """METADATA_SCHEMA of scripts/zephyr_module.py, Zephyr's documentation on modules, and the Kconfig language."""
    files = rendered("zephyr")
    metadata = yaml.safe_load(files["zephyr/module.yml"])
    assert metadata.keys() == {"name", "build", "samples"}
    assert metadata["build"] == {"cmake": "zephyr", "kconfig": "zephyr/Kconfig"}
    assert f"{metadata['build']['cmake']}/CMakeLists.txt" in files and metadata["build"]["kconfig"] in files
    assert all(any(path.startswith(f"{folder}/") for path in files) for folder in metadata["samples"])
    statement = (
        r"(config [A-Z0-9_]+|\tbool \"[^\"]+\"|\tdefault y|\tdepends on [A-Z0-9_]+|\thelp|\t  .+|#.*|)"
    )
    kconfig = files["zephyr/Kconfig"]
    assert all(re.fullmatch(statement, line) for line in kconfig.splitlines())
    symbols = set(re.findall(r"^config (\w+)$", kconfig, re.MULTILINE))
    used = set(
        re.findall(r"CONFIG_(\w+)", files["zephyr/CMakeLists.txt"] + files["samples/self_test/prj.conf"])
    )
    assert used == symbols
    sample = yaml.safe_load(files["samples/self_test/sample.yaml"])
    assert sample.keys() == {"sample", "tests"} and sample["sample"]["name"]
    for name, test in sample["tests"].items():
        assert re.fullmatch(r"[\w.]+", name) and test["harness"] == "console"
        assert test["harness_config"]["regex"] == ["flatten: the self test passes"]


def test_esp_idf_component_follows_its_manifest() -> None:
    """docs.espressif.com, IDF Component Manager: idf_component.yml."""
    files = rendered("esp-idf")
    manifest = yaml.safe_load(files["flatten/idf_component.yml"])
    assert manifest.keys() <= {
        "version",
        "description",
        "dependencies",
        "targets",
        "url",
        "license",
        "maintainers",
    }
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["dependencies"] == {"idf": ">=4.4"}
    lists = files["flatten/CMakeLists.txt"]
    listed = re.findall(r"src/\w+\.c", lists)
    assert {f"flatten/{name}" for name in listed} == {
        path for path in files if re.match(r"flatten/src/.*\.c", path)
    }
    assert re.search(r"idf_component_register\(\s+SRCS\s", lists)
    assert "idf_component_register(SRCS main.c" in files["flatten/examples/self_test/main/CMakeLists.txt"]


MACHINE_CODE = {
    "arduino": ("flatten/src/cortex-m4/libflatten_kernels.a", "flatten/library.properties"),
    "cmake": ("lib/libflatten_kernels.a", "CMakeLists.txt"),
    "cmsis-pack": ("lib/libflatten_kernels.a", "edgeprune.flatten.pdsc"),
    "esp-idf": ("flatten/lib/libflatten_kernels.a", "flatten/CMakeLists.txt"),
    "platformio": ("flatten/lib/libflatten_kernels.a", "flatten/library.json"),
    "zephyr": ("lib/libflatten_kernels.a", "zephyr/CMakeLists.txt"),
}


@pytest.mark.parametrize("name", MACHINE_CODE)
def test_machine_code_lies_where_the_build_looks_for_it(name: str) -> None:
    place, build_file = MACHINE_CODE[name]
    archives = {"libflatten_kernels.a": b"!<arch>\n"}
    files = render(name, replace(sources(), archives=archives), load_device(DEVICE))
    assert files[place] == archives["libflatten_kernels.a"]
    text = files[build_file]
    assert isinstance(text, str)
    assert "flatten_kernels" in text
    assert "flatten_kernels" not in str(rendered(name)[build_file])
    if build_file.endswith(".json"):
        assert "-lflatten_kernels" in json.loads(text)["build"]["flags"]
    if build_file.endswith(".pdsc"):
        assert place in [file.get("name") for file in ElementTree.fromstring(text).iter("file")]


def test_a_format_of_one_file_refuses_machine_code() -> None:
    assert set(packages()) - set(MACHINE_CODE) == {"amalgamation"}
    with pytest.raises(UsageError, match="amalgamation holds no machine code"):
        check_packages(["cmake,amalgamation"], machine_code=True)
