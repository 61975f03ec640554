"use strict";
(() => {
  const root = document.documentElement;
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const views = new Map();
  let focus = "";
  let turn = 0;

  const token = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const untouched = new Set(["datasets", "values", "domain", "sort"]);
  const coloured = (value) => {
    if (typeof value === "string") return /^\$[a-z0-9-]+$/.test(value) ? token(value.slice(1)) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") {
      // Names of the study are left as they are: only our own tokens are colours.
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, untouched.has(k) ? v : coloured(v)]));
    }
    return value;
  };

  const config = () => {
    const font = token("font");
    const axis = {
      labelColor: token("ink-soft"), titleColor: token("ink-soft"), gridColor: token("rule"), domainColor: token("rule-strong"),
      tickColor: token("rule-strong"), labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500,
      labelPadding: 6, titlePadding: 8, tickSize: 4, domain: false, ticks: false,
    };
    return {
      background: "transparent", font, aria: false, view: { stroke: null }, axis,
      axisX: { domain: true }, axisY: { grid: true }, axisXQuantitative: { grid: true }, axisBand: { grid: false },
      text: { font, color: token("ink") }, line: { strokeCap: "round", strokeJoin: "round", interpolate: "linear" },
    };
  };

  const fitted = (spec, width) => {
    const made = coloured(structuredClone(spec));
    const room = made.usermeta && made.usermeta.labelRoom;
    if (room && width >= 520) made.padding = { left: 0, top: 6, bottom: 4, right: room };
    else {
      made.padding = { left: 0, top: 6, bottom: 4, right: 12 };
      if (made.layer) made.layer = made.layer.filter((part) => part.name !== "labels");
    }
    return made;
  };

  const draw = async (element, now) => {
    const id = element.dataset.chart;
    const wide = element.clientWidth >= 520;
    const made = await window.vegaEmbed(element, fitted(specs[id], element.clientWidth), {
      mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false, config: config(),
      tooltip: { disableDefaultStyle: true, offsetX: 14, offsetY: 14 },
    });
    if (now !== turn) return made.finalize();
    // The figure has its own words; the marks themselves say nothing to a reader who cannot see them.
    const drawn = element.querySelector("svg");
    if (drawn) drawn.setAttribute("aria-hidden", "true");
    const old = views.get(id);
    if (old) old.finalize();
    views.set(id, made);
    element.dataset.wide = wide;
    if (focus) made.view.signal("focus", focus).runAsync();
    element.dataset.drawn = "yes";
    const save = document.querySelector(`[data-save="${CSS.escape(id)}"]`);
    if (save) save.hidden = false;
  };

  const drawAll = async () => {
    const now = ++turn;
    const charts = [...document.querySelectorAll("[data-chart]")];
    for (const element of charts) {
      if (now !== turn) return;
      try {
        await draw(element, now);
      } catch (error) {
        element.textContent = "This chart could not be drawn; its data is below.";
        console.error(element.dataset.chart, error);
      }
      // Let the page answer to the reader between two charts.
      await new Promise((go) => setTimeout(go));
    }
    if (now === turn) root.dataset.charts = "drawn";
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.arm !== undefined) {
      focus = focus === button.dataset.arm ? "" : button.dataset.arm;
      for (const other of document.querySelectorAll("[data-arm]")) other.setAttribute("aria-pressed", String(other.dataset.arm === focus));
      for (const made of views.values()) made.view.signal("focus", focus).runAsync();
    } else if (button.dataset.pick !== undefined) {
      for (const other of document.querySelectorAll("[data-pick]")) other.setAttribute("aria-pressed", String(other === button));
      for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== button.dataset.pick;
    } else if (button.dataset.save !== undefined) {
      views.get(button.dataset.save).view.toSVG(2).then((text) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
        link.download = button.dataset.save + ".svg";
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
    }
  });

  for (const picks of document.querySelectorAll(".picks")) picks.hidden = false;

  const narrow = matchMedia("(max-width: 1019px)");
  const fold = document.querySelector(".contents-fold");
  const folded = () => { if (fold) fold.open = !narrow.matches; };
  folded();
  narrow.addEventListener("change", folded);
  if (fold) fold.addEventListener("click", (event) => { if (event.target.closest("a") && narrow.matches) fold.open = false; });

  const links = new Map([...document.querySelectorAll(".contents li a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      if (link) link.setAttribute("aria-current", "location");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main section")) seen.observe(section);

  if (window.vegaEmbed && Object.keys(specs).length) {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    let waiting = 0;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const changed = [...document.querySelectorAll("[data-drawn]")].some((e) => String(e.clientWidth >= 520) !== e.dataset.wide);
        if (changed) drawAll();
      }, 200);
    });
    drawAll();
  } else {
    root.dataset.charts = "drawn";
  }
})();
