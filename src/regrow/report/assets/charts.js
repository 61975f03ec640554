
// Charts: drawn when they come near the window, again when the theme, the width or a filter changes.
const WIDE = 520;
const views = new Map();
const waiting = new Set();
let drawing = false;
let looked = false;

const themed = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
const onPaper = (name) => settings.paper[name];
const untouched = new Set(["datasets", "values", "domain", "sort", "usermeta"]);
const coloured = (value, token) => {
  if (typeof value === "string") return /^\$[a-z0-9-]+$/.test(value) ? token(value.slice(1)) || value : value;
  if (Array.isArray(value)) return value.map((v) => coloured(v, token));
  if (value && typeof value === "object") {
    // Names of the study are left as they are: only our own tokens are colours.
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, untouched.has(k) ? v : coloured(v, token)]));
  }
  return value;
};

// Vega writes marks of its own into the rows, so that each drawing gets its own.
const filtered = (datasets) => Object.fromEntries(
  Object.entries(datasets).map(([name, rows]) => [name, rows.filter((r) => isShown(r.arm, r.family)).map((r) => ({ ...r }))]),
);
const isEmptied = (before, after) => {
  const owned = (sets) => Object.values(sets).flat().filter((row) => row.arm !== undefined || row.family !== undefined).length;
  return owned(before) > 0 && owned(after) === 0;
};

const narrowed = (value) => {
  if (Array.isArray(value)) return value.map(narrowed);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === "labelLimit" ? Math.min(v, 112) : k === "datasets" ? v : narrowed(v)]));
};

// A chart with its colours and the rows that are shown; where it has a line for each thing, it is as high as they are many.
const shown = (spec, token) => {
  const made = { ...coloured(spec, token), datasets: filtered(spec.datasets) };
  const { step, by } = spec.usermeta;
  const lines = new Set(Object.values(made.datasets).flat().map((row) => row[by]).filter((name) => name !== undefined));
  if (step && by && filterWords()) made.height = step * Math.max(1, lines.size);
  return made;
};

const fitted = (spec, width) => {
  const made = shown(spec, themed);
  const room = spec.usermeta.labelRoom;
  made.padding = { left: 0, top: 6, bottom: 4, right: room && width >= WIDE ? room : 12 };
  if (width >= WIDE) return made;
  if (made.layer) made.layer = made.layer.filter((part) => part.name !== "labels");
  return narrowed(made);
};

const embed = (element, spec, config) => window.vegaEmbed(element, spec, {
  mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false, config,
  tooltip: { disableDefaultStyle: true, offsetX: 14, offsetY: 14 },
});

const draw = async (element) => {
  const id = element.dataset.chart;
  const spec = fitted(specs[id], element.clientWidth);
  if (views.has(id)) views.get(id).finalize();
  views.delete(id);
  element.dataset.drawn = element.clientWidth >= WIDE ? "wide" : "narrow";
  if (isEmptied(specs[id].datasets, spec.datasets)) {
    element.textContent = "Nothing here under this filter.";
    return;
  }
  const made = await embed(element, spec, { ...coloured(settings.config, themed), legend: { disable: true } });
  // The figure has its own words; the marks themselves say nothing to a reader who cannot see them.
  const drawn = element.querySelector("svg");
  if (drawn) drawn.setAttribute("aria-hidden", "true");
  element.style.minHeight = "0";
  views.set(id, made);
  if (focus) made.view.signal("focus", focus).runAsync();
  made.view.addEventListener("click", (_, item) => {
    if (item && item.datum && item.datum.corruption !== undefined) showCell(item.datum, id);
  });
};

const work = async () => {
  if (drawing) return;
  drawing = true;
  while (waiting.size) {
    const [element] = waiting;
    waiting.delete(element);
    if (!element.clientWidth) continue;  // hidden; it comes back when it is shown
    try {
      await draw(element);
    } catch (error) {
      element.textContent = "This chart could not be drawn; its data is below.";
      console.error(element.dataset.chart, error);
    }
    // Let the page answer to the reader between two charts.
    await new Promise((go) => setTimeout(go));
  }
  drawing = false;
  if (looked) root.dataset.charts = "drawn";
};

const queue = (elements) => {
  delete root.dataset.charts;
  for (const element of elements) waiting.add(element);
  return work();
};

const near = new IntersectionObserver((entries) => {
  looked = true;
  queue(entries.filter((e) => e.isIntersecting && !e.target.dataset.drawn).map((e) => e.target));
}, { rootMargin: "500px 0px" });

const canDraw = () => Boolean(window.vegaEmbed) && Object.keys(specs).length > 0;
const charts = () => all("[data-chart]");
const drawAll = () => (canDraw() ? queue(charts().filter((e) => !e.dataset.drawn)) : Promise.resolve());

const redraw = () => {
  if (!canDraw()) return;
  delete root.dataset.charts;
  for (const element of charts()) {
    delete element.dataset.drawn;
    near.unobserve(element);
    near.observe(element);
  }
};

const startCharts = () => {
  if (!canDraw()) {
    root.dataset.charts = "drawn";
    return;
  }
  for (const element of charts()) near.observe(element);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let late = 0;
  addEventListener("resize", () => {
    clearTimeout(late);
    late = setTimeout(() => {
      const width = (e) => (e.clientWidth >= WIDE ? "wide" : "narrow");
      if (charts().some((e) => e.dataset.drawn && e.clientWidth && width(e) !== e.dataset.drawn)) redraw();
    }, 200);
  });
  // A printed page has every chart: the browser does not wait for them, so the key for it does.
  addEventListener("beforeprint", drawAll);
  addEventListener("keydown", (event) => {
    if (event.key !== "p" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    drawAll().then(() => window.print());
  });
};
