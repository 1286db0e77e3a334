"""Packages: the library as the build systems of firmware take it, one folder of templates per format.

A format is `templates/package/<name>/`: Jinja files whose tree is the package's tree, and `package.toml`, which says
where the library's own files go. Nothing else names a format, so that a new one is a new folder; docs/packages.md shows
how to write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib  # type: ignore[import-not-found,no-redef]

from edgeprune import templating
from edgeprune.codegen.semihosting import emulator_command, link_flags, machine_flags
from edgeprune.codegen.sources import Sources
from edgeprune.device import Device
from edgeprune.errors import UsageError
from edgeprune.resources import resource_dir
from edgeprune.version import __version__

__all__ = ["VERSION", "check_packages", "packages", "render", "render_all"]

VERSION = "1.0.0"
"""Of a package, where its format wants one; it is the user's to edit."""

_MANIFEST = "package.toml"
_TEMPLATE = ".j2"
_PLACES = ("headers", "sources", "archives")
_PREFIX = "{{prefix}}"
"""Stands for the library's prefix in names of files and folders."""
_CORE = "{{core}}"
"""Stands for the core's name in the manifest."""


@dataclass(frozen=True)
class _Format:
    """A format's manifest.

    `headers` and `sources` are the folders of the public header and of all other files of the library; None: they are
    not copied, because a template holds their text. `archives` is the folder of machine code; None: it can hold none.
    """

    title: str
    headers: str | None
    sources: str | None
    archives: str | None


def packages() -> tuple[str, ...]:
    """The names of all formats, sorted."""
    return tuple(sorted(path.parent.name for path in _root().glob(f"*/{_MANIFEST}")))


def check_packages(names: Sequence[str], machine_code: bool = False) -> tuple[str, ...]:
    """The formats that `names` ask for, each once; a name may be several with commas between them.

    Raises:
        UsageError: there is no such format, or it cannot hold `machine_code`.
    """
    known = packages()
    asked = [part.strip() for name in names for part in name.split(",")]
    for name in asked:
        if name not in known:
            raise UsageError(f"--package {name!r} is not known: choose among {', '.join(known)}")
        if machine_code and _read(_root() / name, "", "").archives is None:
            raise UsageError(
                f"--package {name} holds no machine code: choose another, or --tvm-output source"
            )
    return tuple(dict.fromkeys(asked))


def render_all(names: Sequence[str], sources: Sources, device: Device) -> dict[str, str | bytes]:
    """The packages of the formats that `names` ask for: `<format>/<path>` -> contents.

    Raises:
        UsageError: there is no such format.
    """
    formats = {name: render(name, sources, device) for name in check_packages(names)}
    return {f"{name}/{path}": data for name, files in formats.items() for path, data in files.items()}


def render(name: str, sources: Sources, device: Device) -> dict[str, str | bytes]:
    """One package: path -> contents, the library's files among them. A template that renders to nothing is left out.

    Args:
        name: one of `packages()`.
        sources: the library, with its self test, which every package's example runs.
        device: what the library was generated for.
    """
    assert _self_test(sources) in sources.files, "the examples run the self test"
    folder = _root() / name
    chosen = _read(folder, sources.prefix, device.core)
    values = _values(chosen, sources, device)
    files: dict[str, str | bytes] = dict(_library_files(chosen, sources))
    for path in sorted(folder.rglob(f"*{_TEMPLATE}")):
        place = path.relative_to(folder).as_posix()
        text = templating.render(f"package/{name}/{place}", values)
        if text.strip():
            files[_named(place.removesuffix(_TEMPLATE), sources.prefix)] = text
    return dict(sorted(files.items()))


def _root() -> Path:
    return resource_dir("templates") / "package"


def _read(folder: Path, prefix: str, core: str) -> _Format:
    values = tomllib.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    unknown = values.keys() - {"title", *_PLACES}
    assert not unknown, f"{folder / _MANIFEST} has unknown keys: {', '.join(sorted(unknown))}"
    places = {key: _named(values[key], prefix).replace(_CORE, core) for key in _PLACES if key in values}
    return _Format(values["title"], *(places.get(key) for key in _PLACES))


def _named(text: str, prefix: str) -> str:
    return text.replace(_PREFIX, prefix)


def _self_test(sources: Sources) -> str:
    return f"{sources.prefix}_self_test.c"


def _library_files(chosen: _Format, sources: Sources) -> Iterator[tuple[str, str | bytes]]:
    """The library's files that the package holds as they are."""
    assert chosen.archives is not None or not sources.archives, "formats without machine code were refused"
    for name, data in sources.archives.items():
        yield f"{chosen.archives}/{name}", data
    for name, text in sources.files.items():
        folder = chosen.headers if name == sources.header else chosen.sources
        if folder is not None:
            yield (name if folder == "." else f"{folder}/{name}"), text


def _values(chosen: _Format, sources: Sources, device: Device) -> Mapping[str, object]:
    """What templates may name; the list for authors of formats is in docs/packages.md."""
    own_headers = tuple(name for name in sources.files if name.endswith(".h"))
    return {
        "version": __version__,
        "package_version": VERSION,
        "title": chosen.title,
        "prefix": sources.prefix,
        "macro": sources.prefix.upper(),
        "device": device,
        "is_cortex_m": device.core.startswith("cortex-m"),
        "header": sources.header,
        "header_dir": chosen.headers,
        "source_dir": chosen.sources,
        "private_headers": [name for name in own_headers if name != sources.header],
        "c_files": sources.c_files,
        "archives": list(sources.archives),
        "archive_dir": chosen.archives,
        "body": lambda name: _without_includes(sources.files[name], own_headers).strip(),
        "arena_bytes": sources.arena_bytes + sum(size for _, size in sources.more_arenas),
        "more_arenas": sources.more_arenas,
        "tool_prefix": device.compiler.removesuffix("gcc"),
        "machine_flags": machine_flags(device),
        "link_flags": link_flags(device),
        "emulator_command": emulator_command(device),
    }


def _without_includes(text: str, headers: Sequence[str]) -> str:
    """`text` without the lines that include one of `headers`."""
    lines = {f'#include "{name}"' for name in headers}
    return "\n".join(line for line in text.splitlines() if line.strip() not in lines)
