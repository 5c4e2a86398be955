# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What was measured, for people: docs/benchmark.md and .svg are made of docs/benchmark.json and of nothing else. Pure."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import typing as t

GOAL = 1.25
RESTART, BY_HAND, OURS, WARM = "restart", "by hand", "drydock", "warm copy"
NAMES = {
    RESTART: "A, plain restart",
    BY_HAND: "B, move by hand",
    OURS: "C, move by drydock.dockerd",
    WARM: "D, warm copy by plain rsync",
}
# From one moment to the next, in the order in which they come.
SEGMENTS = (
    ("stop of the daemon", None, "stopped"),
    ("stopped: copy, compare, switch", "stopped", "starting"),
    ("dockerd starts, until it loads containers", "starting", "loading"),
    ("it loads and starts them, until the heartbeat is back", "loading", "back"),
)

Run = t.Dict[str, t.Any]
Size = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some figures."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, figures: t.Iterable[float]) -> Spread:
        """:raises ValueError: there are no figures."""
        figures = list(figures)
        if not figures:
            raise ValueError("no figures")
        return cls(statistics.median(figures), min(figures), max(figures))

    def text(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.least:.{digits}f} to {self.greatest:.{digits}f})"


def of_method(size: Size, method: str) -> list[Run]:
    return [run for run in size["runs"] if run["method"] == method]


def gaps(size: Size, method: str) -> Spread:
    return Spread.of(run["gap"] for run in of_method(size, method))


def ratio(size: Size, method: str) -> float:
    """Of the medians, to the plain restart."""
    return gaps(size, method).median / gaps(size, RESTART).median


def pairs(size: Size, method: str) -> list[float]:
    """Ratio to the plain restart of the same round."""
    restarts = {run["round"]: run["gap"] for run in of_method(size, RESTART)}
    return [run["gap"] / restarts[run["round"]] for run in of_method(size, method)]


def phases(size: Size, method: str) -> list[tuple[str, Spread]]:
    """Seconds of each phase in the order of the first run."""
    by_name: dict[str, list[float]] = {}
    for run in of_method(size, method):
        for one in run["phases"]:
            by_name.setdefault(one["phase"], []).append(one["seconds"])
    return [(name, Spread.of(seconds)) for name, seconds in by_name.items()]


def first_passes(size: Size) -> list[float]:
    """Seconds of the first warm pass: a phase of its own where the module gives one, else what its words in the journal say."""
    found = []
    for run in of_method(size, OURS):
        phase = next((one["seconds"] for one in run["phases"] if one["phase"] == "warm copy, pass 1"), None)
        seconds = run.get("first_pass") if phase is None else phase
        if seconds is not None:
            found.append(seconds)
    return found


def segments(run: Run) -> dict[str, float]:
    """The heartbeat's silence in parts, which begin with the last beat before it; a part whose moments are not known is left out."""
    at = {**run["marks"], "back": run["gap"]}
    return {name: at[end] - (at[begin] if begin else 0.0) for name, begin, end in SEGMENTS if end in at and (begin is None or begin in at)}


def verdict(size: Size) -> str:
    ours, plain = gaps(size, OURS), gaps(size, RESTART)
    times = ratio(size, OURS)
    word = "met" if times <= GOAL else "not met"
    return f"{word}: {ours.median:.2f} s against {plain.median:.2f} s, {times:.2f} times"


def summary(size: Size) -> str:
    lines = [
        f"{NAMES[method]:<28} silent for {gaps(size, method).text()} s, {ratio(size, method):.2f} times the restart" for method in (RESTART, BY_HAND, OURS)
    ]
    return "\n".join([*lines, f"The goal, at most {GOAL} times the restart, is {verdict(size)}."])


def dump(sizes: dict[str, Size]) -> str:
    """benchmark.json, a line a run."""
    parts = []
    for factor, size in ordered(sizes):
        head = json.dumps({key: value for key, value in size.items() if key != "runs"})
        runs = ",\n".join(json.dumps(run) for run in size["runs"])
        parts.append(f'"{factor}": {head[:-1]}, "runs": [\n{runs}\n]}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


# Markdown --------------------------------------------------------------------------------------------------------


def table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    """Text in the first column, figures in the others."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def markdown(sizes: dict[str, Size]) -> str:
    text = [HEAD]
    text += [f"- Size {factor}: {verdict(size)}." for factor, size in ordered(sizes)]
    text += ["", "![Silence of the heartbeat for each method](benchmark.svg)", "", HOW]
    for factor, size in ordered(sizes):
        text += ["", section(factor, size)]
    return "\n".join(text) + "\n"


def ordered(sizes: dict[str, Size]) -> list[tuple[str, Size]]:
    return sorted(sizes.items(), key=lambda item: float(item[0]))


def section(factor: str, size: Size) -> str:
    on = size["machine"]
    return "\n\n".join(
        [
            f"## Size {factor}: {size['bytes'] / 1e9:.2f} GB in {size['files']:,} files",
            f"Measured on {size['date']}: {on['cpus']} CPUs, {on['memory_gib']} GiB of memory, kernel {on['kernel']}, {on['system']} with "
            f"docker {on['engine']} ({on['driver']}) and rsync {on['rsync']}, {on['file_system']} to {on['file_system']} on two loop-mounted images "
            f"of one disk, page cache warm, {on['containers']} containers running. Just before a run "
            f"{statistics.median(run['busy'] for run in size['runs']):.0%} of the CPUs were in use (median): the more, the more do the figures vary.",
            outage_table(size),
            copy_table(size),
            "Where the silence goes, in seconds from the last beat before it to the first one after it, medians:",
            segment_table(size),
            loss(size),
            "Phases of C as its result has them, in seconds:",
            phase_table(size, OURS),
            "Phases of B, in seconds:",
            phase_table(size, BY_HAND),
            "All runs in the order in which they were made:",
            raw_table(size),
        ]
    )


def outage_table(size: Size) -> str:
    rows = []
    for method in (RESTART, BY_HAND, OURS):
        whole = Spread.of(run["seconds"] for run in of_method(size, method))
        to_restart = ["1", "1"] if method == RESTART else [f"{ratio(size, method):.2f}", Spread.of(pairs(size, method)).text()]
        rows.append([NAMES[method], str(len(of_method(size, method))), gaps(size, method).text(), *to_restart, whole.text(1)])
    return table(["method", "runs", "silence in s: median (min to max)", "times A, of medians", "times A, round by round", "whole operation in s"], rows)


def copy_table(size: Size) -> str:
    rows = []
    for name, method, seconds in (
        ("B, rsync in the outage", BY_HAND, [phase["seconds"] for run in of_method(size, BY_HAND) for phase in run["phases"] if phase["phase"] == "rsync"]),
        ("C, first warm pass", OURS, first_passes(size)),
        (NAMES[WARM], WARM, [run["seconds"] for run in of_method(size, WARM)]),
    ):
        if seconds:
            runs = of_method(size, method)
            files, volume = statistics.median(run["files"] for run in runs), statistics.median(run["bytes"] for run in runs)
            took = Spread.of(seconds)
            rows.append([name, f"{files:,.0f}", f"{volume / 1e6:,.0f}", took.text(1), f"{volume / took.median / 1e6:,.0f}", f"{files / took.median:,.0f}"])
    return table(["copy into an empty target", "files", "MB", "seconds: median (min to max)", "MB a second", "files a second"], rows)


def segment_table(size: Size) -> str:
    parts = {method: [segments(run) for run in of_method(size, method)] for method in (RESTART, BY_HAND, OURS)}
    rows = []
    for name, _begin, _end in SEGMENTS:
        cells = []
        for runs in parts.values():
            figures = [run[name] for run in runs if name in run]
            cells.append(f"{statistics.median(figures):.2f}" if figures else "-")
        rows.append([name, *cells])
    return table(["part", "A", "B", "C"], rows)


def loss(size: Size) -> str:
    """What to read from the parts: where ours loses most against the restart."""
    differences = {}
    for name, _begin, _end in SEGMENTS:
        plain, ours = ([segments(run)[name] for run in of_method(size, method) if name in segments(run)] for method in (RESTART, OURS))
        if plain and ours:
            differences[name] = statistics.median(ours) - statistics.median(plain)
    if not differences:
        return "The journal has no moments for it."
    worst = max(differences, key=lambda name: differences[name])
    return f"The goal is {verdict(size)}. C differs most from A in '{worst}': {differences[worst]:+.2f} s."


def phase_table(size: Size, method: str) -> str:
    return table(["phase", "median (min to max)"], [[name, seconds.text(3)] for name, seconds in phases(size, method)])


def raw_table(size: Size) -> str:
    rows = []
    for run in size["runs"]:
        volume = [f"{run['files']:,}", f"{run['bytes']:,}", f"{run['bytes'] / run['seconds'] / 1e6:,.0f}"] if run["files"] else ["-", "-", "-"]
        others = ", ".join(f"{seconds:.2f}" for seconds in run["other_gaps"]) or "-"
        rows.append(
            [f"{run['round']} {run['method']}", run["direction"] or "-", f"{run['gap']:.2f}", others, f"{run['seconds']:.1f}", *volume, f"{run['busy']:.0%}"]
        )
    head = ["run", "partition", "silence", "other silences above 0.3 s", "whole operation", "files", "bytes", "MB a second", "CPUs in use just before"]
    return table(head, rows)


# The plot --------------------------------------------------------------------------------------------------------

WIDTH, LEFT, PLOT, BAR, STEP = 840, 200, 460, 18, 34
# Colours are never the only sign: each bar has its name beside it, and a pattern.
STYLE = """
text { font: 13px sans-serif; fill: #1f2328; }
.title { font-weight: bold; }
.axis, .whisker, .outline { stroke: #1f2328; fill: none; }
.grid { stroke: #8884; }
.goal { stroke: #b35900; stroke-width: 2; stroke-dasharray: 6 3; }
.a { fill: #8c959f; } .b { fill: url(#stripes); } .c { fill: #2f6fd0; } .stripe { stroke: #c4572e; stroke-width: 5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .axis, .whisker, .outline { stroke: #e6edf3; }
  .goal { stroke: #ffb05c; }
  .c { fill: #5b9bff; } .stripe { stroke: #ff9166; }
}"""
CLASSES = {RESTART: "a", BY_HAND: "b", OURS: "c"}


def svg(sizes: dict[str, Size]) -> str:
    """Two panels a size: all methods, and the restart and ours alone on a scale of their own, with the goal."""
    parts: list[str] = []
    top = 20
    for factor, size in ordered(sizes):
        title = f"Size {factor}: {size['bytes'] / 1e9:.1f} GB, {size['files']:,} files"
        parts += panel(size, (RESTART, BY_HAND, OURS), title + ", silence of the heartbeat in seconds", top, goal=False)
        top += 3 * STEP + 70
        parts += panel(size, (RESTART, OURS), "A and C again, on a larger scale", top, goal=True)
        top += 2 * STEP + 80
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" role="img">',
            "<title>Silence of the heartbeat: median as a bar, least and greatest as a whisker</title>",
            f"<style>{STYLE}\n</style>",
            '<defs><pattern id="stripes" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<line class="stripe" x1="0" y1="0" x2="0" y2="8"/></pattern></defs>',
            *parts,
            "</svg>\n",
        ]
    )


def panel(size: Size, methods: t.Sequence[str], title: str, top: float, goal: bool) -> list[str]:
    limit = GOAL * gaps(size, RESTART).median
    greatest = max([gaps(size, method).greatest for method in methods] + [limit] * goal)
    tick = nice_tick(greatest)
    ticks = math.ceil(round(greatest / tick, 6))

    def x(seconds: float) -> float:
        return round(LEFT + PLOT * seconds / (tick * ticks), 1)

    bottom = top + 24 + len(methods) * STEP
    parts = [f'<text class="title" x="10" y="{top + 8}">{title}</text>']
    for number in range(ticks + 1):
        parts.append(f'<line class="grid" x1="{x(number * tick)}" y1="{top + 18}" x2="{x(number * tick)}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(number * tick)}" y="{bottom + 16}" text-anchor="middle">{number * tick:g}</text>')
    for number, method in enumerate(methods):
        spread = gaps(size, method)
        y = top + 26 + number * STEP
        middle = y + BAR / 2
        label = f"{spread.median:.2f} s" + ("" if method == RESTART else f" ({ratio(size, method):.2f} times A)")
        parts += [
            f'<text x="{LEFT - 8}" y="{middle + 5}" text-anchor="end">{NAMES[method]}</text>',
            f'<rect class="{CLASSES[method]}" x="{LEFT}" y="{y}" width="{round(x(spread.median) - LEFT, 1)}" height="{BAR}"/>',
            f'<rect class="outline" x="{LEFT}" y="{y}" width="{round(x(spread.median) - LEFT, 1)}" height="{BAR}"/>',
            f'<path class="whisker" d="M{x(spread.least)} {middle}H{x(spread.greatest)}M{x(spread.least)} {y + 4}V{y + BAR - 4}'
            f'M{x(spread.greatest)} {y + 4}V{y + BAR - 4}"/>',
            f'<text x="{max(x(spread.greatest), x(limit) if goal else 0) + 8}" y="{middle + 5}">{label}</text>',
        ]
    if goal:
        parts.append(f'<line class="goal" x1="{x(limit)}" y1="{top + 18}" x2="{x(limit)}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(limit)}" y="{bottom + 32}" text-anchor="middle">goal: {GOAL} times A</text>')
    return [*parts, f'<line class="axis" x1="{LEFT}" y1="{top + 18}" x2="{LEFT}" y2="{bottom}"/>']


def nice_tick(greatest: float) -> float:
    """The least round step of which five hold the value."""
    step = 0.01
    while True:
        for factor in (1, 2, 5):
            if step * factor * 5 >= greatest:
                return round(step * factor, 2)
        step *= 10


HEAD = f"""\
# Benchmark

`make bench` measures how long containers are silent when the data root moves, and writes this file, the plot and `benchmark.json` whole.
`SIZE_FACTOR=4 make bench` does it with four times as much. The goal: silent for at most {GOAL} times as long as for a plain restart.
"""

HOW = """\
Each figure comes from one run of the command, on one throw-away host, the methods in turn (A B C, A C B, ...), each from the same state:

- **A** is `systemctl restart docker`.
- **B** is the usual way by hand: `systemctl stop docker.socket docker`, `rsync -aHAXS OLD/ NEW/`, `data-root` in `daemon.json`, `systemctl start docker`.
- **C** is `ansible HOST -m drydock.dockerd.data_root -a path=NEW`. Its whole operation is that of the command, with the copies while containers run.
- **D** is `rsync -aHAXS OLD/ NEW/` into an empty target while containers run, to compare with C's first pass, which also lists both sides, syncs and
  runs with idle priority.

The silence is the longest one of a container that writes the time of `/proc/uptime` (a hundredth of a second fine) into a volume about every 20 ms; it
covers the whole operation and eight seconds after it. Another container appends to files and replaces some 20 times a second; six more only run. All
have a restart policy, because a plain restart loses those without one. Half of the files and bytes are in the layers of an image, half in five volumes.

Before each run the target is emptied, all of the data root is read once (so the page cache is warm), everything is synced, and the daemon is idle.
After each run the containers with ids and states, images, volumes, and the number and bytes of files in layers and volumes have to be what they were;
else the command fails. Files and bytes count each inode's bytes once, without directories.
"""
