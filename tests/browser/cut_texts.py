"""Find texts that a page cuts off."""

from __future__ import annotations

# Texts and controls: both ends of each must be on top, and within the window.
CUT = """() => {
  const cut = [];
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) cut.push(`the page is ${page.scrollWidth} wide`);
  const seen = "button, a[href], input, summary, h1, h2, h3, p, li, th, td, label";
  for (const part of document.querySelectorAll(`#rendered_cells :is(${seen})`)) {
    if (!part.checkVisibility({ visibilityProperty: true }) || part.closest(".rb-heard")) continue;
    const scrolls = part.closest(".rb-steps, .rb-table, pre");
    if (scrolls) continue;
    part.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const box = part.getBoundingClientRect();
    if (box.width < 8 || box.height < 4) continue;
    for (const x of [box.left + 3, box.right - 3]) {
      const top = document.elementFromPoint(x, box.top + Math.min(box.height / 2, 8));
      const is_seen = top && (part.contains(top) || top.contains(part));
      const name = `${part.tagName} ${part.textContent.slice(0, 40)}`;
      if (!is_seen) cut.push(`${name} at ${Math.round(x)}`);
    }
  }
  return cut;
}"""
