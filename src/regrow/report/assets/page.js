
// Everything else: the legend, the choice of an example, the contents.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.focus !== undefined) {
    focus = focus === button.dataset.focus ? "" : button.dataset.focus;
    for (const other of all("[data-focus]")) other.setAttribute("aria-pressed", String(other.dataset.focus === focus));
    for (const made of views.values()) made.view.signal("focus", focus).runAsync();
  } else if (button.dataset.pick !== undefined) {
    for (const other of all("[data-pick]", button.closest(".strips"))) other.setAttribute("aria-pressed", String(other === button));
    for (const panel of all("[data-panel]", button.closest(".strips"))) panel.hidden = panel.dataset.panel !== button.dataset.pick;
  } else if (button.dataset.save !== undefined) {
    save(button.dataset.of, button.dataset.save);
  }
});

for (const element of all(".picks, .saves")) element.hidden = false;

const narrow = matchMedia("(max-width: 1019px)");
const fold = document.querySelector(".contents-fold");
const folded = () => { if (fold) fold.open = !narrow.matches; };
folded();
narrow.addEventListener("change", folded);
if (fold) fold.addEventListener("click", (event) => { if (event.target.closest("a") && narrow.matches) fold.open = false; });

const links = new Map(all(".contents li a").map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = links.get(entry.target.id);
    if (link) link.setAttribute("aria-current", "location");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const section of all("main section, main .claim")) seen.observe(section);

startCells();
startFilter();
startCharts();
