
// One filter for the whole page, kept in the address: #SECTION?method=rigl,set&family=noise
const boxes = (kind) => all(`[data-filter="${kind}"] input`);

const filterWords = () => Object.values(chosen).filter(Boolean).map((values) => [...values].join(", ") || "none").join(" · ");

const readAddress = () => {
  const [place, query] = location.hash.slice(1).split("?");
  const wanted = new URLSearchParams(query || "");
  return { place: decodeURIComponent(place || ""), wanted };
};

const writeAddress = () => {
  const query = Object.entries(chosen).filter(([, values]) => values)
    .map(([kind, values]) => `${kind}=${[...values].map(encodeURIComponent).join(",")}`).join("&");
  const { place } = readAddress();
  const hash = query ? `#${encodeURIComponent(place)}?${query}` : place ? `#${encodeURIComponent(place)}` : "";
  history.replaceState(null, "", hash || location.href.split("#")[0]);
};

const filterPage = () => {
  for (const element of all("main [data-arm], main [data-family]")) {
    if (element.tagName === "TH") continue;
    element.hidden = !isShown(element.dataset.arm, element.dataset.family);
  }
  for (const table of all("main table")) {
    all("thead th", table).forEach((head, i) => {
      if (head.dataset.arm === undefined && head.dataset.family === undefined) return;
      const hidden = !isShown(head.dataset.arm, head.dataset.family);
      if (head.hidden === hidden) return;
      for (const row of table.rows) row.cells[i].hidden = hidden;
    });
  }
  const words = filterWords();
  const note = document.querySelector(".filtered");
  note.hidden = !words;
  note.firstElementChild.textContent = words ? `Shown: ${words}. Verdicts and means are over everything.` : "";
  document.body.classList.toggle("is-filtered", Boolean(words));
  redraw();
};

const choose = () => {
  const before = filterWords();
  for (const kind of Object.keys(chosen)) {
    const ticked = boxes(kind).filter((box) => box.checked).map((box) => box.value);
    chosen[kind] = ticked.length === boxes(kind).length ? null : new Set(ticked);
  }
  writeAddress();
  if (filterWords() !== before) filterPage();
};

const followAddress = () => {
  const { place, wanted } = readAddress();
  for (const kind of Object.keys(chosen)) {
    const value = wanted.get(kind);
    if (value === null) continue;
    const names = new Set(value.split(",").map(decodeURIComponent));
    if (!boxes(kind).some((box) => names.has(box.value))) continue;
    for (const box of boxes(kind)) box.checked = names.has(box.value);
  }
  choose();
  const target = place && document.getElementById(place);
  if (target && location.hash.includes("?")) target.scrollIntoView();
};

const startFilter = () => {
  for (const fold of all(".filter-fold")) {
    fold.hidden = false;
    fold.addEventListener("change", choose);
  }
  for (const button of all("[data-reset]")) {
    button.addEventListener("click", () => {
      for (const box of all("[data-filter] input")) box.checked = true;
      choose();
      const summary = document.querySelector(".filter-fold > summary");
      if (summary) summary.focus();
    });
  }
  addEventListener("hashchange", followAddress);
  if (location.hash.includes("?")) followAddress();
};
