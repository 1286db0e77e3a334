"""The terminal summary of a `report.json`, as rich tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.report.in_float import in_float_text
from edgeprune.report.pruning_text import pruning_facts
from edgeprune.report.text import clean, printable
from edgeprune.report.zeros import zeros_facts

__all__ = ["new_table", "printable", "summary"]

_BAR = 24
_TIMES = "\N{MULTIPLICATION SIGN}"


def summary(report: Mapping[str, Any], directory: Path | None) -> RenderableType:
    """Budget against measured, layers, accuracy, proof, pruning, tools, and where the library is.

    Args:
        report: As `make_report` made it or `read_report` read it.
        directory: The bundle, or None when nothing fits.
    """
    parts: list[RenderableType] = [_headline(report)]
    if not report["fits"]:
        return Group(*parts, *_refusal(report))
    parts += [_budget(report), *_breakdown(report), Text(), _layers(report), Text()]
    if _pruned_groups(report):
        parts += [_pruning(report), Text()]
    parts += _facts(report)
    if directory is not None:
        parts += [Text(), *_usage(report, directory)]
    return Group(*parts)


def new_table(*left: str, right: Sequence[str] = ()) -> Table:
    """A plain table with columns aligned to the left and, after them, to the right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in left:
        table.add_column(title, overflow="fold")
    for title in right:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _headline(report: Mapping[str, Any]) -> Text:
    verdict = Text(" fits", "bold green") if report["fits"] else Text(" does not fit", "bold red")
    arrow = "\N{RIGHTWARDS ARROW}"
    return (
        Text(f"{printable(report['model']['name'])} {arrow} {printable(report['device'])}:", "bold") + verdict
    )


def _refusal(report: Mapping[str, Any]) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(clean(str(report["reason"])))]
    nearest = report["nearest"]
    if nearest is not None:
        named = [f"--flash {int(nearest['flash'])}", f"--ram {int(nearest['ram'])}"]
        if nearest.get("latency_ms") is not None:
            named.append(f"--latency {math.ceil(100 * nearest['latency_ms']) / 100:.2f}ms")
        for option, word in (("--macs", "macs"), ("--params", "parameters")):
            if report["budget"].get(word) is not None and nearest.get(word) is not None:
                named.append(f"{option} {int(nearest[word])}")
        lines.append(Text(f"Nearest: {' '.join(named)}"))
    return lines


def _budget(report: Mapping[str, Any]) -> Table:
    unpruned = (report["pruning"] or {}).get("unpruned")
    table = new_table("budget", right=("used", "limit"))
    for justify in ("left", "right", "left"):
        table.add_column("", justify=justify)
    if unpruned is not None:
        table.add_column("unpruned", justify="right")
    budget, latency = report["budget"], report["latency"]
    rows = [
        ("flash", report["flash"]["total"], budget["flash"], _bytes, "flash"),
        ("RAM", report["ram"]["total"], budget["ram"], _bytes, "ram"),
    ]
    if latency is not None:
        rows.append(("latency", latency["ms"], budget["latency_ms"], _ms, "latency_ms"))
    for name, used, limit, show, key in rows:
        cells: list[str | Text] = [name, show(used), "none", "", "", ""]
        if limit is not None:
            mark = Text("\N{CHECK MARK}", "green") if used <= limit else Text("\N{BALLOT X}", "red")
            cells[2:] = [show(limit), _bar(used / limit), f"{100 * used / limit:.0f} %", mark]
        if unpruned is not None:
            cells.append(show(unpruned[key]))
        table.add_row(*cells)
    return table


def _bar(share: float) -> Text:
    full = min(_BAR, max(1, round(share * _BAR)))
    colour = "green" if share <= 1 else "red"
    return Text("\N{BLACK SQUARE}" * full, colour) + Text("\N{WHITE SQUARE}" * (_BAR - full), "dim")


def _breakdown(report: Mapping[str, Any]) -> list[Text]:
    flash, ram, latency = report["flash"], report["ram"], report["latency"]
    kept = f", of which {ram['state']:,} B last between runs" if ram.get("state") else ""
    lines = [
        f"flash: code {flash['code']:,} B, weights {flash['weights']:,} B",
        f"RAM: arena {ram['arena']:,} B (at least {ram['arena_lower_bound']:,} B without overlap"
        f"{kept}), static {ram['static']:,} B, stack {ram['stack']:,} B",
    ]
    if latency is not None:
        lines.append(f"instructions: {latency['instructions']:,}, counted in the emulator")
        lines.append(
            f"cycles: {latency['cycles']:,}, an estimate by the {latency['cycles_model']}; "
            f"error: {latency['cycles_error']}"
        )
        lines += _measured(latency)
    lines.append(f"network: {report['macs']:,} multiply-accumulates, {report['parameters']:,} parameters")
    return [Text(clean(line), "dim") for line in lines]


def _measured(latency: Mapping[str, Any]) -> list[str]:
    note = latency.get("measured_note")
    if note is None:
        return []
    if latency["measured_ms"] is None:
        cycles = latency["measured_cycles"]
        counted = "" if cycles is None else f" {cycles:,} cycles;"
        return [f"on the board: latency not measured:{counted} {note}"]
    return [
        f"on the board: {latency['measured_ms']:.3f} ms, {latency['measured_cycles']:,} cycles, measured {note}"
    ]


def _layers(report: Mapping[str, Any]) -> Table:
    table = new_table("layer", "op", "kernel", "output", right=("MACs", "instructions", "cycles", "flash B"))
    for row in report["layers"]:
        names = (
            printable(row["name"]),
            printable(row["op"]),
            clean(row["kernel"]),
            _TIMES.join(map(str, row["shape"][1:])),
        )
        numbers = (row["macs"], row["instructions"], row["cycles"], row["flash"])
        cells = ("" if number is None else f"{number:,}" for number in numbers)
        table.add_row(*map(Text, names), *cells)
    return table


def _pruned_groups(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    pruning = report["pruning"]
    return [] if pruning is None else list(pruning["groups"])


def _pruning(report: Mapping[str, Any]) -> Table:
    table = new_table("pruned channels", right=("before", "after"))
    table.add_column("")
    for group in _pruned_groups(report):
        share = group["after"] / group["before"]
        table.add_row(Text(printable(group["name"])), str(group["before"]), str(group["after"]), _bar(share))
    return table


def _facts(report: Mapping[str, Any]) -> list[Text]:
    facts = []
    accuracy, verify, tools = (report[key] for key in ("accuracy", "verify", "tools"))
    if accuracy is not None and _stages(accuracy):
        name = accuracy["metric"]
        facts.append((name, f"{_stages(accuracy)} on {accuracy['samples']:,} samples"))
    if verify is not None:
        place = "board" if "board" in tools else "QEMU"
        where = f"reference = host = {place}" if report["latency"] is not None else "reference = host"
        difference = verify["max_difference_to_onnx"]
        apart = "" if difference is None else f"; at most {difference} step(s) from ONNX Runtime"
        steps = verify.get("steps") or 1
        what = "inputs" if steps == 1 else f"sequences of {steps:,} runs"
        exact = f"{exactness(verify)} on {verify['samples']:,} {what}"
        facts.append(("verified", f"{exact}: {where}{apart}"))
    facts += pruning_facts(report) + zeros_facts(report["layers"] or [])
    if floats := report.get("in_float"):
        facts.append(("in float32, for want of an integer form", in_float_text(floats)))
    if tools:
        facts.append(("tools", ", ".join(f"{name} {value}" for name, value in tools.items())))
    return [Text(f"{clean(name)}: ", "bold") + Text(clean(value)) for name, value in facts]


def exactness(verify: Mapping[str, Any]) -> str:
    """How outputs equal the reference: to the byte or, floats, within how much."""
    if verify["bit_exact"]:
        return "bit-exact"
    tolerance = verify.get("tolerance")
    if tolerance is None or verify["first_mismatch"] is not None:
        return "NOT bit-exact"
    return f"within {tolerance:g} relative (at most {verify['max_relative_difference']:.1g})"


def _stages(accuracy: Mapping[str, Any]) -> str:
    """`float 99.0 % -> int8 98.7 %`, of the stages that were measured."""
    percent = "accuracy" in accuracy["metric"]
    arrow = " \N{RIGHTWARDS ARROW} "
    return arrow.join(
        f"{stage} {100 * value:.1f} %" if percent else f"{stage} {value:.4g}"
        for stage in ("float", "pruned", "int8", "emulated")
        if (value := accuracy[stage]) is not None
    )


def _usage(report: Mapping[str, Any], directory: Path) -> list[Text]:
    prefix, library = report["library"]["prefix"], directory / "library"
    sources = " ".join(name for name in report["library"]["files"] if name.endswith(".c"))
    linked = "".join(f" and link {name}" for name in report["library"].get("archives") or ())
    work = ("push_row",) if report["library"].get("fed_rows") else ("input_0", "run")
    if report["ram"].get("state"):
        work = ("reset", *work)
    calls = ", ".join(f"{prefix}_{name}" for name in ("init", *work, "output_0"))
    return [
        Text("library: ", "bold") + Text(str(library)),
        Text(
            f'  compile {sources} with your firmware{linked}, #include "{prefix}.h", and call {calls}', "dim"
        ),
    ]


def _bytes(value: float) -> str:
    return f"{value:,.0f} B"


def _ms(value: float) -> str:
    return f"{value:.2f} ms"
