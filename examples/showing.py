"""What the notebook shows things with: a graph as a picture, drawn here and now, and rows as a table.

Neither asks the network for anything, and both look right on a light and on a dark page.
"""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any

# From the middle of one node to the middle of the next; lines that pass between nodes need less.
WIDE, NARROW, HIGH = 190.0, 100.0, 62.0
# Fill and letters; the grey of the lines shows on white and on black.
SYNC, HOST, ENDS, GREY = ("#6e56cf", "#ffffff"), ("#dbe4ee", "#1f2933"), ("#6b7682", "#ffffff"), "#8b949e"

Edges = Sequence[tuple[str, str]]


class Picture:
    """An SVG that notebooks display."""

    def __init__(self, svg: str) -> None:
        self._svg = svg

    def _repr_svg_(self) -> str:
        return self._svg

    def __repr__(self) -> str:
        return "a picture of the graph"


class Table:
    """Rows that notebooks display as a table, and terminals as text."""

    def __init__(self, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        self._head, self._rows = head, [["–" if cell is None else str(cell) for cell in row] for row in rows]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self._head)
        rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"

    def __repr__(self) -> str:
        return "\n".join(" | ".join(row) for row in (self._head, *self._rows))


def picture(graph: Any) -> Picture:
    """Draw a compiled graph without loops, top to bottom: syncs violet, edges that a state decides on dashed."""
    drawn = graph.get_graph()
    names = list(drawn.nodes)
    depth = _depths(names, [(edge.source, edge.target) for edge in drawn.edges])
    layers = [[name for name in names if depth[name] == level] for level in range(max(depth.values()) + 1)]
    paths = []
    for number, edge in enumerate(drawn.edges):
        # An edge over several layers is led through each of them.
        between = {level: f"{number}/{level}" for level in range(depth[edge.source] + 1, depth[edge.target])}
        for level, point in between.items():
            layers[level].append(point)
        paths.append((edge, [edge.source, *between.values(), edge.target]))
    x = _columns(layers, [step for _, path in paths for step in pairwise(path)])
    y = {name: level * HIGH + 20 for level, layer in enumerate(layers) for name in layer}
    left, right = min(x.values()) - WIDE / 2, max(x.values()) + WIDE / 2
    parts = [_line([(x[name], y[name]) for name in path], bool(edge.conditional)) for edge, path in paths]
    parts += [_node(name, x[name], y[name]) for name in names]
    width, height = round(right - left), round(max(y.values()) + 20)
    return Picture(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="13" text-anchor="middle">\n'
        f'<marker id="tip" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{GREY}"/></marker>\n' + "\n".join(parts) + "\n</svg>"
    )


def _depths(names: Iterable[str], edges: Edges) -> dict[str, int]:
    """How far down each node stands: below all that lead to it."""
    depth = dict.fromkeys(names, 0)
    for _ in depth:
        for source, target in edges:
            depth[target] = max(depth[target], depth[source] + 1)
    return depth


def _columns(layers: list[list[str]], steps: Edges) -> dict[str, float]:
    """Where each node stands in its layer: near what it is joined to, with room around it."""
    near: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for above, below in steps:
        near[above].append(below)
        near[below].append(above)
    x = {name: place * WIDE for layer in layers for place, name in enumerate(layer)}
    for turn in range(24):
        for layer in layers if turn % 2 == 0 else layers[::-1]:
            wish = {name: sum(x[other] for other in near[name]) / len(near[name]) for name in layer}
            layer.sort(key=wish.__getitem__)
            at = [0.0]
            for one, two in pairwise(layer):
                room = (_room(one) + _room(two)) / 2
                at.append(max(at[-1] + room, wish[two] - wish[layer[0]]))
            shift = sum(wish[name] - place for name, place in zip(layer, at, strict=True)) / len(layer)
            x.update({name: place + shift for name, place in zip(layer, at, strict=True)})
    return x


def _room(name: str) -> float:
    return NARROW if "/" in name else WIDE


def _line(points: list[tuple[float, float]], dashed: bool) -> str:
    """A smooth line through the points, from the lower rim of the first to the upper rim of the last."""
    (x, y), (last_x, last_y) = points[0], points[-1]
    path, y = f"M{x:.0f} {y + 16:.0f}", y + 16
    for to_x, to_y in [*points[1:-1], (last_x, last_y - 17)]:
        bend = (y + to_y) / 2
        path += f"C{x:.0f} {bend:.0f} {to_x:.0f} {bend:.0f} {to_x:.0f} {to_y:.0f}"
        x, y = to_x, to_y
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<path d="{path}" fill="none" stroke="{GREY}" stroke-width="1.5" marker-end="url(#tip)"{dashes}/>'


def _node(name: str, x: float, y: float) -> str:
    fill, ink = ENDS if name.startswith("__") else SYNC if name.startswith("sitniks_") else HOST
    text = escape(name.strip("_").upper() if name.startswith("__") else name)
    wide = max(70, 8 * len(text) + 16)
    box = (
        f'<rect x="{x - wide / 2:.0f}" y="{y - 16:.0f}" width="{wide}" height="32" rx="{16 if fill == ENDS[0] else 8}"'
    )
    return f'{box} fill="{fill}"/><text x="{x:.0f}" y="{y + 4.5:.0f}" fill="{ink}">{text}</text>'
