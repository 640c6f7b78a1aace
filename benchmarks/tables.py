"""A result as Markdown: ratios first, then the figures they are made of."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.ceilings import LONE
from benchmarks.machine import sentence
from benchmarks.servers import OURS, TITLES
from benchmarks.verdicts import Verdict, ceiling, divided, figure

NONE = "—"


def summary(result: dict[str, Any]) -> str:
    """The whole of it."""
    served = ", ".join(f"{one['backend']} {one['precision']}" for one in result["served"])
    settings = result["settings"]
    rounds = f"medians of {settings['rounds']} rounds of {settings['seconds']:g} s"
    head = f"{sentence(result['machine'])}; served by {served or 'nothing'}; {rounds}."
    parts = [head, verdict_table(result["verdicts"]), ratio_table(result)]
    parts += [server_table(result), engine_table(result), load_table(result["http_alone"])]
    return "\n\n".join(parts) + "\n"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Each bar, and whether it is reached."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    rows = [
        [one["what"], number(one["found"]), one["bar"], words[one["reached"]]] for one in verdicts
    ]
    return table(["what", "found", "bar", "reached"], rows)


def ratio_table(result: dict[str, Any]) -> str:
    """Our throughput as a share of the best engine's and in multiples of each peer's."""
    peers = [name for name in result["servers"] if name != OURS]
    rows = []
    for texts, loads in result["servers"].get(OURS, {}).items():
        best = ceiling(result, texts)
        for clients in loads:
            mine = figure(result, OURS, texts, int(clients), "per_second")
            others = [figure(result, name, texts, int(clients), "per_second") for name in peers]
            share = divided(mine, best[1] if best else None)
            times = [number(divided(mine, other)) for other in others]
            rows.append([texts, clients, number(share), *times])
    names = [f"times {TITLES[name]}" for name in peers]
    return table(["texts", "clients", "share of the best engine", *names], rows)


def server_table(result: dict[str, Any]) -> str:
    """Requests per second, latency, failures and processor time of every server."""
    rows = []
    for name, sets in result["servers"].items():
        for texts, loads in sets.items():
            for clients, cell in loads.items():
                cpu = cell["cpu_ms"]
                spent = " + ".join(
                    f"{value:.2f} {part}" for part, value in cpu.items() if value > 0.005
                )
                rows.append(
                    [
                        *(TITLES[name], texts, clients, f"{cell['per_second']:,.0f}"),
                        *(f"{cell[key]:.1f}" for key in ("p50_ms", "p99_ms")),
                        *(
                            str(cell["failed"]),
                            spent,
                            f"{min(cell['rounds']):,.0f} to {max(cell['rounds']):,.0f}",
                        ),
                    ]
                )
    head = ["server", "texts", "clients", "requests/s", "p50 ms", "p99 ms", "failed"]
    return table([*head, "CPU ms per request", "requests/s by round"], rows)


def load_table(loads: dict[str, Any]) -> str:
    """A server without a model, by clients."""
    rows = [
        [
            clients,
            f"{cell['per_second']:,.0f}",
            f"{cell['p50_ms']:.1f}",
            f"{cell['p99_ms']:.1f}",
            f"{sum(cell['cpu_ms'].values()):.3f}",
            ", ".join(f"{part} {ms:.3f}" for part, ms in cell["cpu_ms"].items() if ms > 0.0005),
            str(cell["failed"]),
        ]
        for clients, cell in loads.items()
    ]
    head = ["HTTP alone, clients", "requests/s", "p50 ms", "p99 ms", "CPU ms per request"]
    return table([*head, "by part", "failed"], rows)


def engine_table(result: dict[str, Any]) -> str:
    """The ceilings."""
    rows = []
    for name, found in result["engines"].items():
        if "error" in found:
            rows.append([name, found["error"], NONE, NONE])
            continue
        rates = [
            f"{found[texts]['per_second']:,.0f}" if texts in found else NONE
            for texts in ("short", "mixed")
        ]
        rows.append([name, *rates, f"{found[LONE]['p50_ms']:.2f}"])
    return table(["engine in process", "short texts/s", "mixed texts/s", "lone text p50 ms"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def number(value: float | None) -> str:
    """Two decimals, or a dash."""
    return NONE if value is None else f"{value:.2f}"
