"""Where the time of a start goes, as bars: an SVG from plain strings."""

from xml.sax.saxutils import escape

COLOURS = {
    "starting": "#8da0cb",
    "reading weights": "#66c2a5",
    "compiling": "#fc8d62",
    "capturing": "#e78ac3",
    "warming": "#a6d854",
}
WIDTH, LEFT, BAR, GAP = 900, 260, 22, 12


def plot(starts: list[tuple[str, dict[str, float]]]) -> str:
    """A bar for each start; its parts are the phases, given by the seconds at which each begins."""
    longest = max(phases["ready"] for _, phases in starts)
    scale = (WIDTH - LEFT - 70) / longest
    height = 60 + len(starts) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, (phase, colour) in enumerate(COLOURS.items()):
        x = LEFT + number * 125
        lines.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 17}" y="25">{phase}</text>')
    for number, (name, phases) in enumerate(starts):
        y = 44 + number * (BAR + GAP)
        lines.append(f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        begins = [(phase, at) for phase, at in phases.items() if phase in COLOURS]
        ends = [at for _, at in begins[1:]] + [phases["ready"]]
        for (phase, begin), end in zip(begins, ends, strict=True):
            width = (end - begin) * scale
            x = LEFT + begin * scale
            lines.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[phase]}">'
                f"<title>{phase}: {end - begin:.1f} s</title></rect>"
            )
        lines.append(f'<text x="{LEFT + phases["ready"] * scale + 6:.1f}" y="{y + 16}">{phases["ready"]:.1f} s</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
