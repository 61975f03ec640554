
// The examples behind a point, as pictures: clean and at every severity, from the strip of examples further down the page.
const dialog = document.getElementById("cell");
let opener = null;

const strips = () => all(".strip").filter((strip) => strip.querySelector("[data-corruption]"));
const copied = (picture, words) => {
  const cell = document.createElement("figure");
  const image = picture ? picture.cloneNode() : document.createElement("span");
  if (!picture) image.textContent = "none";
  image.loading = "eager";
  const caption = document.createElement("figcaption");
  caption.textContent = words;
  cell.append(image, caption);
  return cell;
};

const fillCell = (corruption, severity) => {
  const body = dialog.querySelector(".cell-body");
  body.replaceChildren();
  for (const strip of strips()) {
    const row = all("[data-corruption]", strip).find((r) => r.dataset.corruption === corruption);
    if (!row) continue;
    const line = document.createElement("div");
    line.className = "cell-line";
    const clean = strip.querySelector(".strip-clean img");
    if (clean) line.append(copied(clean, "clean"));
    for (const cell of all(".strip-cells > span", row)) {
      const made = copied(cell.querySelector("img"), cell.dataset.label);
      if (severity !== undefined && cell.dataset.label === `severity ${severity}`) made.className = "is-chosen";
      line.append(made);
    }
    body.append(line);
  }
  if (!body.childElementCount) body.textContent = "No example of this corruption was kept.";
};

const showCell = (datum, figure) => {
  if (!dialog) return;
  const select = dialog.querySelector("select");
  if (![...select.options].some((o) => o.value === datum.corruption)) return;
  opener = document.querySelector(`[data-cells="${CSS.escape(figure)}"]`);
  select.value = datum.corruption;
  fillCell(datum.corruption, datum.severity);
  dialog.showModal();
  select.focus();
};

const startCells = () => {
  if (!dialog) return;
  const select = dialog.querySelector("select");
  const first = strips()[0];
  for (const row of first ? all("[data-corruption]", first) : []) {
    const option = document.createElement("option");
    option.value = row.dataset.corruption;
    option.textContent = row.dataset.corruption.replaceAll("_", " ");
    select.append(option);
  }
  select.addEventListener("change", () => fillCell(select.value));
  dialog.addEventListener("close", () => { if (opener) opener.focus(); });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  for (const button of all("[data-cells]")) {
    button.hidden = false;
    button.addEventListener("click", () => showCell({ corruption: select.options[0].value }, button.dataset.cells));
  }
};
